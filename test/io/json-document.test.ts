import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StoreError } from "../../src/domain/errors.js";
import {
  changeJson,
  isJsonObject,
  namedValues,
  parseJson,
  putJson,
  textAt,
  type JsonChange,
  type JsonValue,
} from "../../src/io/json-document.js";

const PATH = "/somewhere/file.json";
const DEPTH = 1_000_000;

/** A text, and the pieces that it is made of: what stands for a value at a path, and the white space around it. */
interface Member {
  readonly key: string;
  readonly keyText: string;
  readonly value: Written;
}

interface Written {
  readonly text: string;
  readonly value: JsonValue;
}

const space = fc.string({ unit: fc.constantFrom(" ", "\t", "\r", "\n"), maxLength: 3 });
/** As many as an object of five members has places for. */
const spaces = fc.array(space, { minLength: 20, maxLength: 20, size: "max" });
const key = fc.oneof(
  fc.constantFrom("__proto__", "constructor", "toString", "", "profiles", "a", "b", "c", "length", "0", "\ud800", "é", 'quo"te'),
  fc.string({ maxLength: 4 }),
);
/** Numbers as nobody writes them but everybody reads them. */
const number = fc.constantFrom("0", "-0", "1e3", "1E+3", "1.50", "-0.0", "12345678901234567890", "1e400", "4102444800000");
const scalar: fc.Arbitrary<Written> = fc.oneof(
  number.map((text) => ({ text, value: JSON.parse(text) as number })),
  fc.constantFrom("true", "false", "null").map((text) => ({ text, value: JSON.parse(text) as boolean | null })),
  fc.string({ maxLength: 6 }).map((value) => ({ text: JSON.stringify(value), value })),
  fc.constantFrom('"\\u0061\\/"', '"\\ud83d"', '"\\ud83d\\ude00"', '"}{]["', '"\\\\"', '"\\""').map((text) => ({
    text,
    value: JSON.parse(text) as string,
  })),
);

const { value: written } = fc.letrec<{ value: Written; object: Written; list: Written }>((tie) => ({
  value: fc.oneof({ depthSize: "small" }, scalar, tie("object"), tie("list")),
  object: fc
    .tuple(fc.uniqueArray(key, { maxLength: 4 }), fc.array(tie("value"), { minLength: 4, maxLength: 4 }), spaces)
    .map(([keys, values, gaps]) => writeObject(keys, values, gaps)),
  list: fc.tuple(fc.array(tie("value"), { maxLength: 3 }), space).map(([values, gap]) => ({
    text: `[${gap}${values.map(({ text }) => text).join(`${gap},`)}${gap}]`,
    value: values.map(({ value }) => value),
  })),
}));

const object = fc
  .tuple(fc.uniqueArray(key, { maxLength: 5 }), fc.array(written, { minLength: 5, maxLength: 5 }), spaces)
  .map(([keys, values, gaps]) => writeObject(keys, values, gaps));

function writeObject(keys: readonly string[], values: readonly Written[], gaps: readonly string[]): Written {
  const rest = gaps.values();
  const gap = (): string => rest.next().value ?? "";
  const members = keys.map((name, index): Member => ({
    key: name,
    keyText: JSON.stringify(name),
    value: values[index] ?? nothing,
  }));
  const text = members.map((member) => `${gap()}${member.keyText}${gap()}:${gap()}${member.value.text}${gap()}`).join(",");
  return { text: `{${text}${members.length === 0 ? gap() : ""}}`, value: ownEntries(members.map((m) => [m.key, m.value.value])) };
}

const nothing: Written = { text: "null", value: null };

/** An object whose keys are its own, `__proto__` too. */
function ownEntries(entries: Iterable<readonly [string, JsonValue]>): Readonly<Record<string, JsonValue>> {
  return Object.fromEntries(entries);
}

/** Applies a change to a value, without a text. */
function changed(value: JsonValue, [name, ...inner]: readonly string[], to: JsonValue | undefined): JsonValue {
  if (name === undefined) return to ?? null;
  const before = new Map(Object.entries(value as Readonly<Record<string, JsonValue>>));
  if (inner.length > 0) {
    const child = before.get(name);
    if (child === undefined && to === undefined) return value;
    before.set(name, changed(child ?? {}, inner, to));
  } else if (to === undefined) before.delete(name);
  else before.set(name, to);
  return ownEntries(before);
}

/** A path into a value, all of whose steps but the last are objects or absent. */
function isPassable(value: JsonValue, [name, ...inner]: readonly string[]): boolean {
  if (name === undefined) return true;
  if (!isJsonObject(value)) return false;
  const child = Object.getOwnPropertyDescriptor(value, name)?.value as JsonValue | undefined;
  return inner.length === 0 || child === undefined || isPassable(child, inner);
}

const newValue: fc.Arbitrary<JsonValue | undefined> = fc.oneof(
  fc.constant(undefined),
  fc.string(),
  fc.integer(),
  fc.constant(null),
  fc.constant({ scopes: ["a"], "": 1 }),
);

/** Mostly a path that is there. */
function pathInto(value: JsonValue): fc.Arbitrary<string[]> {
  const present = paths(value);
  const absent = fc.array(key, { minLength: 1, maxLength: 3 });
  return present.length === 0 ? absent : fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...present) }, absent);
}

function paths(value: JsonValue): string[][] {
  if (!isJsonObject(value)) return [];
  return Object.entries(value as Readonly<Record<string, JsonValue>>).flatMap(([name, child]) => [
    [name],
    ...paths(child).map((inner) => [name, ...inner]),
  ]);
}

const changeOfObject = object.chain((document) =>
  fc.tuple(fc.constant(document), pathInto(document.value), newValue, space).map(([written, path, value, around]) => ({
    text: `${around}${written.text}${around}`,
    value: written.value,
    change: { path, value } satisfies JsonChange,
  })),
);

describe("changing a value of a JSON text", () => {
  test("means the same as changing the value that it stands for", () => {
    fc.assert(
      fc.property(changeOfObject, ({ text, value, change }) => {
        fc.pre(isPassable(value, change.path));
        const result = parseJson(changeJson(text, [change], PATH), PATH);
        expect(result).toEqual(changed(value, change.path, change.value));
      }),
      { numRuns: 400 },
    );
  });

  test("and of others with it gives what one after the other gives", () => {
    const several = object.chain(({ text, value }) =>
      fc
        .array(fc.tuple(pathInto(value), newValue), { minLength: 2, maxLength: 4 })
        .map((all) => ({ text, changes: all.map(([path, to]): JsonChange => ({ path, value: to })) })),
    );
    const outcomeOf = (change: () => string): string => {
      try {
        return change();
      } catch (error) {
        if (error instanceof StoreError) return error.code;
        throw error;
      }
    };
    fc.assert(
      fc.property(several, ({ text, changes }) => {
        const atOnce = outcomeOf(() => changeJson(text, changes, PATH));
        const inTurn = outcomeOf(() => changes.reduce((result, change) => changeJson(result, [change], PATH), text));
        expect(atOnce).toBe(inTurn);
      }),
      { numRuns: 400 },
    );
  });

  test("leaves every byte before and after it as it is", () => {
    fc.assert(
      fc.property(changeOfObject, ({ text, value, change }) => {
        fc.pre(isPassable(value, change.path) && change.value !== undefined);
        const before = textAt(text, change.path, PATH);
        fc.pre(before !== null);
        const marked = changeJson(text, [{ path: change.path, value: "\u0001" }], PATH);
        const [head, tail] = marked.split('"\\u0001"');
        expect([head, before, tail].join("")).toBe(text);
        expect(changeJson(text, [change], PATH)).toBe([head, JSON.stringify(change.value), tail].join(""));
      }),
      { numRuns: 400 },
    );
  });

  test("adds and removes nothing but the member and one comma", () => {
    fc.assert(
      fc.property(changeOfObject, ({ text, value, change }) => {
        fc.pre(isPassable(value, change.path) && textAt(text, change.path, PATH) === null);
        const added = changeJson(text, [{ path: change.path, value: 1 }], PATH);
        const position = Array.from(text, (_, index) => text.charAt(index)).findIndex((c, index) => c !== added.charAt(index));
        expect(added.slice(0, position) + added.slice(position + added.length - text.length)).toBe(text);
        const depth = change.path.findIndex((_, index) => textAt(text, change.path.slice(0, index + 1), PATH) === null);
        const removed = changeJson(added, [{ path: change.path.slice(0, depth + 1), value: undefined }], PATH);
        expect(removed).toBe(text);
      }),
      { numRuns: 400 },
    );
  });

  test("twice gives what once gives", () => {
    fc.assert(
      fc.property(changeOfObject, ({ text, value, change }) => {
        fc.pre(isPassable(value, change.path));
        const once = changeJson(text, [change], PATH);
        expect(changeJson(once, [change], PATH)).toBe(once);
      }),
    );
  });

  test("to the text that is there changes nothing, however it is written", () => {
    fc.assert(
      fc.property(changeOfObject, ({ text, change }) => {
        const present = textOrNull(text, change.path);
        if (present !== null) expect(putJson(text, change.path, present, PATH)).toBe(text);
      }),
    );
  });

  test("of anything at all gives JSON or a store's failure that quotes nothing", () => {
    const noise = fc.oneof(
      object.map(({ text }) => text),
      fc.string(),
      written.map(({ text }) => text.slice(1)),
    );
    fc.assert(
      fc.property(noise, fc.array(key, { minLength: 1, maxLength: 3 }), newValue, (text, path, value) => {
        try {
          JSON.parse(changeJson(text, [{ path, value }], PATH));
        } catch (error) {
          expect(error).toBeInstanceOf(StoreError);
          expect(error).toMatchObject({ code: "malformed" });
          expect(error).not.toHaveProperty("cause");
        }
      }),
      { numRuns: 400 },
    );
  });
});

function textOrNull(text: string, path: readonly string[]): string | null {
  try {
    return textAt(text, path, PATH);
  } catch {
    return null;
  }
}

describe("a change in a text", () => {
  test.each<[name: string, text: string, changes: JsonChange[], expected: string]>([
    ["keeps odd numbers", '{"n": 1.50e+3 ,"a":1}', [{ path: ["a"], value: 2 }], '{"n": 1.50e+3 ,"a":2}'],
    [
      "sets off a new member as the one before it",
      '{\n  "a": 1\n}\n',
      [{ path: ["b"], value: 2 }],
      '{\n  "a": 1,\n  "b": 2\n}\n',
    ],
    ["keeps a text on one line there", '{"a":1}', [{ path: ["b"], value: "x" }], '{"a":1,"b":"x"}'],
    ["makes the objects on its way", '{"a":{}}', [{ path: ["a", "b", "c"], value: 1 }], '{"a":{"b":{"c":1}}}'],
    ["removes the first", '{ "a": 1, "b": 2 }', [{ path: ["a"], value: undefined }], '{ "b": 2 }'],
    ["removes the last", '{ "a": 1, "b": 2 }', [{ path: ["b"], value: undefined }], '{ "a": 1 }'],
    ["removes the only one", '{ "a": 1 }', [{ path: ["a"], value: undefined }], "{  }"],
    ["removes nothing that is not there", '{"a" :1}', [{ path: ["b", "c"], value: undefined }], '{"a" :1}'],
    [
      "takes __proto__ for a name like others",
      '{"__proto__":{"x":1}}',
      [{ path: ["__proto__", "x"], value: 2 }],
      '{"__proto__":{"x":2}}',
    ],
    ["adds a __proto__", '{"a":1}', [{ path: ["__proto__", "x"], value: 2 }], '{"a":1,"__proto__":{"x":2}}'],
    ["knows a key however it is escaped", '{"\\u0061":1}', [{ path: ["a"], value: 2 }], '{"\\u0061":2}'],
    ["escapes what is no text", "{}", [{ path: ["a"], value: "\ud800" }], '{"a":"\\ud800"}'],
    [
      "and another one are made in their order",
      '{"a":1,"b":2}',
      [
        { path: ["a"], value: undefined },
        { path: ["c"], value: 3 },
        { path: ["b"], value: 4 },
      ],
      '{"b":4,"c":3}',
    ],
    [
      "touches no other key of the same name",
      '{"a":1,"o":{"a":1,"a":1}}',
      [{ path: ["a"], value: 2 }],
      '{"a":2,"o":{"a":1,"a":1}}',
    ],
  ])("%s", (_name, text, changes, expected) => {
    expect(changeJson(text, changes, PATH)).toBe(expected);
  });

  test("does not pollute any prototype", () => {
    changeJson('{"a":{}}', [{ path: ["__proto__", "polluted"], value: true }], PATH);
    parseJson('{"__proto__":{"polluted":true}}', PATH);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test.each<[name: string, text: string, path: string[]]>([
    ["a key that stands twice", '{"a":1,"a":2}', ["a"]],
    ["a key that stands twice on the way", '{"a":{"b":1},"a":{}}', ["a", "b"]],
    ["a key that stands twice, once escaped", '{"a":1,"\\u0061":2}', ["a"]],
    ["a way through a list", '{"a":[1]}', ["a", "0"]],
    ["a way through text", '{"a":"b"}', ["a", "length"]],
    ["a way through null", '{"a":null}', ["a", "b"]],
    ["a text that is a list", "[1]", ["a"]],
    ["a comment", '{/**/"a":1}', ["a"]],
    ["a comma too many", '{"a":1,}', ["a"]],
    ["a text that goes on after its end", '{"a":1} x', ["a"]],
    ["no text", "", ["a"]],
    ["a byte order mark", '\ufeff{"a":1}', ["a"]],
    ["a line break inside a string", '{"a":"\n"}', ["a"]],
    ["a number with a leading zero", '{"a":01}', ["a"]],
    ["half a text", '{"a":1', ["a"]],
  ])("is refused for %s", (_name, text, path) => {
    expect(() => changeJson(text, [{ path, value: 2 }], PATH)).toThrow(
      expect.objectContaining({
        code: "malformed",
        message: expect.stringContaining(PATH) as string,
        hint: expect.any(String) as string,
      }),
    );
  });
});

describe("a hostile text", () => {
  test.each([
    ["lists in lists", `${"[".repeat(DEPTH)}${"]".repeat(DEPTH)}`],
    ["lists that never end", "[".repeat(DEPTH)],
    ["objects in objects", `${'{"a":'.repeat(DEPTH)}1${"}".repeat(DEPTH)}`],
    ["lists in an unknown field", `{"a":1,"b":${"[".repeat(DEPTH)}${"]".repeat(DEPTH)}}`],
  ])("of %s, a million deep, is a store's failure", (_name, text) => {
    expect(() => parseJson(text, PATH)).toThrow(expect.objectContaining({ code: "malformed" }));
    expect(() => changeJson(text, [{ path: ["a"], value: 2 }], PATH)).toThrow(expect.objectContaining({ code: "malformed" }));
    expect(() => textAt(text, ["a"], PATH)).toThrow(expect.objectContaining({ code: "malformed" }));
  });

  test.each([
    ["brackets", "[".repeat(DEPTH)],
    ["quotes", '\\"'.repeat(DEPTH)],
    ["backslashes", "\\\\".repeat(DEPTH)],
  ])("of a million %s inside a string is just a string", (_name, content) => {
    const text = `{"a":1,"b":"${content}"}`;
    expect(changeJson(text, [{ path: ["a"], value: 2 }], PATH)).toBe(`{"a":2,"b":"${content}"}`);
  });

  test("is never quoted", () => {
    const read = (): unknown => parseJson('{"accessToken":"sk-ant-oat01-made-up', PATH);
    expect(read).toThrow(expect.objectContaining({ message: `${PATH} is not whole JSON` }));
    expect(read).toThrow(expect.not.objectContaining({ cause: expect.anything() as unknown }));
  });

  test("is refused as a backup to put back", () => {
    expect(() => putJson('{"a":1}', ["a"], '{"b":', PATH)).toThrow(expect.objectContaining({ code: "malformed" }));
  });
});

describe("the text at a path", () => {
  test.each([
    [["a"], ' { "x" : 1.0 } '.trim()],
    [["a", "x"], "1.0"],
    [["b"], null],
    [["a", "x", "y"], null],
  ])("%j is %j", (path, expected) => {
    expect(textAt('{ "a": { "x" : 1.0 } }', path, PATH)).toBe(expected);
  });
});

describe("named values", () => {
  test("are those of an object, without __proto__", () => {
    expect(namedValues(JSON.parse(`{"a":1,"b":{}}`))).toEqual({ a: 1, b: {} });
    const values = namedValues(JSON.parse(`{"__proto__":{"a":1},"b":2}`));
    expect(Object.keys(values ?? {})).toEqual(["b"]);
    expect(values?.["a"]).toBeUndefined();
  });

  test.each([null, undefined, 1, "text", [1]])("are none in %j", (value) => {
    expect(namedValues(value)).toBeNull();
  });
});
