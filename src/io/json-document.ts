import { modify, applyEdits, parseTree, type Edit, type ModificationOptions, type Node, type ParseError } from "jsonc-parser";
import { StoreError } from "../domain/errors.js";

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** Sets the value at a path of keys, or removes the key where the value is undefined. */
export interface JsonChange {
  readonly path: readonly string[];
  readonly value: JsonValue | undefined;
}

/**
 * Parses JSON whole.
 *
 * @throws StoreError `malformed`, without a word of the text (a `JSON.parse` message quotes it)
 */
export function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // The cause is left out on purpose: its message holds part of the text.
    throw malformed(path, "is not whole JSON");
  }
}

/**
 * Changes values inside a JSON text and leaves every other byte as it is: order, spacing, numbers, unknown keys.
 *
 * @throws StoreError `malformed` where a key on the path stands twice, so that programs disagree on which one counts
 */
export function changeJson(text: string, changes: readonly JsonChange[], path: string): string {
  const root = parse(text, path);
  const replacements: Edit[] = [];
  const insertionsAndRemovals: JsonChange[] = [];
  for (const change of changes) {
    const node = locate(root, change.path, path);
    if (node !== null && change.value !== undefined) {
      replacements.push({ offset: node.offset, length: node.length, content: JSON.stringify(change.value) });
    } else if (node !== null || change.value !== undefined) {
      insertionsAndRemovals.push(change);
    }
  }
  let result = applyEdits(text, replacements);
  for (const { path: keys, value } of insertionsAndRemovals) {
    result = applyEdits(result, modify(result, [...keys], value, formattingOf(text)));
  }
  return result;
}

/**
 * The exact text of the value at a path of keys.
 *
 * @returns null where there is none
 */
export function textAt(text: string, keys: readonly string[], path: string): string | null {
  const node = locate(parse(text, path), keys, path);
  return node === null ? null : text.slice(node.offset, node.offset + node.length);
}

function parse(text: string, path: string): Node {
  const errors: ParseError[] = [];
  try {
    const root = parseTree(text, errors, { disallowComments: true });
    if (root !== undefined && errors.length === 0) return root;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw malformed(path, "is nested too deeply");
  }
  throw malformed(path, "is not whole JSON");
}

function locate(root: Node, keys: readonly string[], path: string): Node | null {
  let node = root;
  for (const key of keys) {
    const matches = (node.type === "object" ? (node.children ?? []) : []).filter(
      (property) => property.children?.[0]?.value === key,
    );
    if (matches.length > 1) throw malformed(path, "has the same key twice");
    const value = matches[0]?.children?.[1];
    if (value === undefined) return null;
    node = value;
  }
  return node;
}

function formattingOf(text: string): ModificationOptions {
  const indent = /\n([ \t]+)"/.exec(text)?.[1];
  if (indent === undefined) return {};
  return { formattingOptions: { insertSpaces: !indent.includes("\t"), tabSize: indent.length } };
}

function malformed(path: string, what: string): StoreError {
  return new StoreError(
    "malformed",
    `${path} ${what}`,
    "let its own program repair it (sign in again), or restore a backup; nothing was changed",
  );
}
