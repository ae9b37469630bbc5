import { applyEdits, parseTree, type Edit, type Node, type ParseError } from "jsonc-parser";
import { StoreError } from "../domain/errors.js";

/** No credential file is nested that deeply, and recursive code fails not far above it. */
const MAX_DEPTH = 1000;

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** Sets the value at a path of keys, or removes the key where the value is undefined. */
export interface JsonChange {
  readonly path: readonly string[];
  readonly value: JsonValue | undefined;
}

/** Checks whether a parsed value is an object with named values. */
export function isJsonObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The named values of a parsed object; null for anything else.
 *
 * Stores are read by the hundred, and schemas would take longer for each than everything else together. `__proto__` is
 * passed over, as schemas do: it names no value.
 */
export function namedValues(value: unknown): Readonly<Record<string, unknown>> | null {
  if (!isJsonObject(value)) return null;
  return Object.hasOwn(value, "__proto__")
    ? Object.fromEntries(Object.entries(value).filter(([name]) => name !== "__proto__"))
    : value;
}

/**
 * Parses JSON whole.
 *
 * @throws StoreError `malformed`, without a word of the text (a `JSON.parse` message quotes it)
 */
export function parseJson(text: string, path: string): unknown {
  refuseDepth(text, path);
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
 * @throws StoreError `malformed` where a key on the path stands twice, so that programs disagree on which one counts, or
 * where the path leads through something that is no object
 */
export function changeJson(text: string, changes: readonly JsonChange[], path: string): string {
  return (
    replacedAtOnce(text, changes, path) ??
    changes.reduce((result, change) => edited(result, change.path, contentOf(change), path), text)
  );
}

/** Null where something is added or removed, or one change is inside another: then each may move the next. */
function replacedAtOnce(text: string, changes: readonly JsonChange[], path: string): string | null {
  if (changes.some(({ value }) => value === undefined) || areNested(changes)) return null;
  const root = parse(text, path);
  const properties = new Properties(path);
  const edits: Edit[] = [];
  for (const change of changes) {
    const node = properties.locate(root, change.path);
    if (node === null) return null;
    edits.push({ offset: node.offset, length: node.length, content: JSON.stringify(change.value) });
  }
  return applyEdits(text, edits);
}

/** Checks whether one change is inside another, or at the same place. */
function areNested(changes: readonly JsonChange[]): boolean {
  const places = new Set<string>();
  for (const { path } of changes) places.add(JSON.stringify(path));
  if (places.size < changes.length) return true;
  const isInside = ({ path }: JsonChange): boolean => path.some((_, length) => places.has(JSON.stringify(path.slice(0, length))));
  return changes.some(isInside);
}

/** Finds values in a parsed text; each object is gone through once, however many are asked for. */
class Properties {
  readonly #path: string;
  readonly #byKey = new Map<Node, ReadonlyMap<unknown, Node | "twice">>();

  constructor(path: string) {
    this.#path = path;
  }

  locate(root: Node, keys: readonly string[]): Node | null {
    let node = root;
    for (const key of keys) {
      const property = this.#propertiesOf(node).get(key);
      if (property === "twice") throw twice(this.#path);
      const value = property?.children?.[1];
      if (value === undefined) return null;
      node = value;
    }
    return node;
  }

  #propertiesOf(object: Node): ReadonlyMap<unknown, Node | "twice"> {
    const present = this.#byKey.get(object);
    if (present !== undefined) return present;
    const found = new Map<unknown, Node | "twice">();
    for (const property of object.type === "object" ? (object.children ?? []) : []) {
      const key: unknown = property.children?.[0]?.value;
      found.set(key, found.has(key) ? "twice" : property);
    }
    this.#byKey.set(object, found);
    return found;
  }
}

function contentOf({ value }: JsonChange): string | null {
  return value === undefined ? null : JSON.stringify(value);
}

/**
 * Puts a JSON text at a path of keys, byte for byte, instead of the value there.
 *
 * @param next the key to insert a new one before; without it, or if it is absent, a new one comes last
 * @throws StoreError as `changeJson` does, and `malformed` if `content` is not JSON
 */
export function putJson(
  text: string,
  keys: readonly string[],
  content: string,
  path: string,
  next: string | null = null,
): string {
  parseJson(content, "the backup");
  return edited(text, keys, content, path, next);
}

/** The key that stands behind the one at the end of a path; null where there is none. */
export function keyAfter(text: string, keys: readonly string[], path: string): string | null {
  const object = locate(parse(text, path), keys.slice(0, -1), path);
  const property = object === null ? null : propertyOf(object, keys.at(-1) ?? "", path);
  const siblings = object?.children ?? [];
  const key: unknown = property === null ? null : siblings[siblings.indexOf(property) + 1]?.children?.[0]?.value;
  return typeof key === "string" ? key : null;
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

/** As `textAt`, for a text that many values are asked of: it is parsed once, when the first is. */
export function textsOf(text: string, path: string): (keys: readonly string[]) => string | null {
  const properties = new Properties(path);
  let root: Node | null = null;
  return (keys) => {
    const node = properties.locate((root ??= parse(text, path)), keys);
    return node === null ? null : text.slice(node.offset, node.offset + node.length);
  };
}

/** @param content the new value's text; null: the key is removed */
function edited(text: string, keys: readonly string[], content: string | null, path: string, next: string | null = null): string {
  const edit = editFor(text, keys, content, path, next);
  return edit === null ? text : applyEdits(text, [edit]);
}

function editFor(text: string, keys: readonly string[], content: string | null, path: string, next: string | null): Edit | null {
  let node = parse(text, path);
  for (const [index, key] of keys.entries()) {
    const property = propertyOf(node, key, path);
    if (content === null && property !== null && index === keys.length - 1) return removalOf(property);
    const child = property?.children?.[1];
    if (child === undefined) {
      const missing = keys.slice(index);
      const before = content === null || next === null || missing.length > 1 ? null : propertyOf(node, next, path);
      if (content !== null && before !== null) return insertionBefore(text, node, before, key, content);
      return content === null ? null : insertionInto(text, node, missing, content, path);
    }
    node = child;
  }
  return content === null ? null : { offset: node.offset, length: node.length, content };
}

/** Appends a value to an object, set off from the one before it as that one is from what stands before it. */
function insertionInto(text: string, object: Node, keys: readonly string[], content: string, path: string): Edit {
  if (object.type !== "object") throw malformed(path, "has something else where an object belongs");
  const [key = "", ...inner] = keys;
  const nested = inner.reduceRight((result, name) => `{${JSON.stringify(name)}:${result}}`, content);
  const last = object.children?.at(-1);
  const [name, value] = last?.children ?? [];
  if (last === undefined || name === undefined || value === undefined) {
    return { offset: object.offset + 1, length: 0, content: `${JSON.stringify(key)}:${nested}` };
  }
  const before = object.children?.at(-2);
  const gap = text.slice(before === undefined ? object.offset + 1 : endOf(before), last.offset).replace(",", "");
  const colon = text.slice(endOf(name), value.offset);
  return { offset: endOf(last), length: 0, content: `,${gap}${JSON.stringify(key)}${colon}${nested}` };
}

/** Puts a value in front of another one, set off as that one was. */
function insertionBefore(text: string, object: Node, property: Node, key: string, content: string): Edit {
  const siblings = object.children ?? [];
  const before = siblings[siblings.indexOf(property) - 1];
  const gap = text.slice(before === undefined ? object.offset + 1 : endOf(before), property.offset).replace(",", "");
  const [name, value] = property.children ?? [];
  const colon = name === undefined || value === undefined ? ":" : text.slice(endOf(name), value.offset);
  return { offset: property.offset, length: 0, content: `${JSON.stringify(key)}${colon}${content},${gap}` };
}

function removalOf(property: Node): Edit {
  const siblings = property.parent?.children ?? [];
  const index = siblings.indexOf(property);
  const [before, after] = [siblings[index - 1], siblings[index + 1]];
  const offset = after === undefined && before !== undefined ? endOf(before) : property.offset;
  const end = after === undefined ? endOf(property) : after.offset;
  return { offset, length: end - offset, content: "" };
}

function endOf(node: Node): number {
  return node.offset + node.length;
}

function parse(text: string, path: string): Node {
  refuseDepth(text, path);
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { disallowComments: true });
  if (root === undefined || errors.length > 0) throw malformed(path, "is not whole JSON");
  return root;
}

function locate(root: Node, keys: readonly string[], path: string): Node | null {
  let node = root;
  for (const key of keys) {
    const value = propertyOf(node, key, path)?.children?.[1];
    if (value === undefined) return null;
    node = value;
  }
  return node;
}

function propertyOf(node: Node, key: string, path: string): Node | null {
  const properties = node.type === "object" ? (node.children ?? []) : [];
  const matches = properties.filter((property) => property.children?.[0]?.value === key);
  if (matches.length > 1) throw twice(path);
  return matches[0] ?? null;
}

function refuseDepth(text: string, path: string): void {
  if (isTooDeep(text)) throw malformed(path, "is nested too deeply");
}

/**
 * Checks whether a text is nested too deeply for recursive code, in one pass over the brackets outside strings. The parser finds
 * a text that is not JSON.
 */
export function isTooDeep(text: string): boolean {
  if (hasFewBrackets(text)) return false;
  let depth = 0;
  let inString = false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (inString) {
      if (code === BACKSLASH) index += 1;
      else if (code === QUOTE) inString = false;
    } else if (code === QUOTE) inString = true;
    else if (code === OPEN_BRACKET || code === OPEN_BRACE) depth += 1;
    else if (code === CLOSE_BRACKET || code === CLOSE_BRACE) depth -= 1;
    if (depth > MAX_DEPTH) return true;
  }
  return false;
}

/** Checks for few brackets at all, which the runtime does faster than a test of each character. */
function hasFewBrackets(text: string): boolean {
  let count = 0;
  for (const bracket of ["{", "["]) {
    for (let at = text.indexOf(bracket); at !== -1; at = text.indexOf(bracket, at + 1)) {
      count += 1;
      if (count > MAX_DEPTH) return false;
    }
  }
  return true;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

function twice(path: string): StoreError {
  return malformed(path, "has the same key twice");
}

function malformed(path: string, what: string): StoreError {
  return new StoreError(
    "malformed",
    `${path} ${what}`,
    "let its own program repair it (sign in again), or restore a backup; nothing was changed",
  );
}
