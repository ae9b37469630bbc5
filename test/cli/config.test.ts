import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { TemporaryHome } from "../support/temporary-home.js";

describe("config check", () => {
  test("without a file says that the defaults hold", async () => {
    const home = await TemporaryHome.create();
    expect(await credsyncd(home, ["config", "check"])).toEqual({
      code: 0,
      stdout: "no configuration file: the defaults hold\n",
      stderr: "",
    });
  });

  test("accepts a good file, with comments and trailing commas", async () => {
    const home = await TemporaryHome.create();
    await home.writeConfig(`{ // mine\n  bind: 'listed',\n  agents: { "scratch-*": "ignore", },\n}`);
    expect(await credsyncd(home, ["config", "check"])).toMatchObject({ code: 0, stdout: `${home.configFile} is good\n` });
  });

  test("accepts a keepWarm that may not renew the login, and warns of it without a value", async () => {
    const home = await TemporaryHome.create();
    await home.writeConfig('{ keepWarm: { command: ["claude", "auth", "status"] } }');
    const variables = { CLAUDE_CODE_OAUTH_TOKEN: home.token("access", 3) };
    const { code, stdout, stderr } = await credsyncd(home, ["config", "check"], variables);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${home.configFile} is good\n` });
    expect(stderr).toMatch(/^credsyncd: warning: keepWarm\.command is claude auth status.*\ncredsyncd: hint: .*claude mcp list/);
    expect(stderr).toMatch(
      /credsyncd: warning: CLAUDE_CODE_OAUTH_TOKEN is set.*\ncredsyncd: hint: .*"env", "-u", "CLAUDE_CODE_OAUTH_TOKEN"/,
    );
    const { stdout: json } = await credsyncd(home, ["config", "check", "--json"], variables);
    expect(JSON.parse(json)).toMatchObject({ valid: true, keepWarm: [{ why: expect.any(String) as string }, {}] });
  });

  test("refuses a bad file in one line that names it, the key and its place, with a hint, and exits 78", async () => {
    const home = await TemporaryHome.create();
    await home.writeConfig(`{ settle: { quietMS: 1 } }`);
    expect(await credsyncd(home, ["config", "check"])).toEqual({
      code: 78,
      stdout: "",
      stderr: `credsyncd: error: ${home.configFile}: unknown key "quietMS" at settle\ncredsyncd: hint: did you mean "quietMs"?\n`,
    });
  });

  test("refuses a file that was named and is not there", async () => {
    const home = await TemporaryHome.create();
    const { code, stderr } = await credsyncd(home, ["config", "check", "--config", home.at("none.json5")]);
    expect(code).toBe(78);
    expect(stderr).toMatch(/none\.json5: there is no such file\ncredsyncd: hint: .*config init/);
  });

  test("with --json tells a script what is wrong", async () => {
    const home = await TemporaryHome.create();
    await home.writeConfig(`{ agent: {} }`);
    const { code, stdout } = await credsyncd(home, ["config", "check", "--json"]);
    expect(code).toBe(78);
    expect(JSON.parse(stdout)).toMatchObject({ schemaVersion: 1, error: { code: "config", hint: 'did you mean "agents"?' } });
  });

  test.each([["run"], ["sync"], ["sync", "--dry-run"], ["status"], ["config", "show"]])(
    "a broken file stops %s %s as well",
    async (...args) => {
      const home = await TemporaryHome.create();
      await home.writeConfig(`{ agent: {} }`);
      expect(await credsyncd(home, args)).toMatchObject({ code: 78, stdout: "" });
    },
  );
});

describe("config path", () => {
  test.each([
    ["the XDG default", [], {}, ".config/credsyncd/config.json5"],
    ["$XDG_CONFIG_HOME", [], { XDG_CONFIG_HOME: "~HOME/etc" }, "etc/credsyncd/config.json5"],
    ["$CREDSYNCD_CONFIG before that", [], { CREDSYNCD_CONFIG: "~/mine.json5", XDG_CONFIG_HOME: "~HOME/etc" }, "mine.json5"],
    ["--config before that", ["--config", "~/other.json5"], { CREDSYNCD_CONFIG: "~/mine.json5" }, "other.json5"],
  ])("is %s", async (_what, args, variables, expected) => {
    const home = await TemporaryHome.create();
    const inHome = Object.entries(variables).map(([name, value]) => [name, value.replace("~HOME", home.path)] as const);
    const { code, stdout } = await credsyncd(home, ["config", "path", ...args], Object.fromEntries(inHome));
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${home.at(expected)}\n` });
  });
});

describe("config show", () => {
  test("prints what holds, and what it prints is a good configuration that says the same", async () => {
    const home = await TemporaryHome.create();
    await home.writeConfig(`{ bind: "listed", settle: { quietMs: 5 } }`);
    const shown = await credsyncd(home, ["config", "show"]);
    expect(JSON.parse(shown.stdout)).toMatchObject({
      bind: "listed",
      settle: { quietMs: 5, capMs: 2000 },
      resync: "*/5 * * * *",
    });
    await home.writeConfig(shown.stdout);
    expect(await credsyncd(home, ["config", "show"])).toEqual(shown);
  });
});

describe("config schema", () => {
  test("is a JSON Schema that knows every key and accepts the defaults", async () => {
    const home = await TemporaryHome.create();
    const schema = JSON.parse((await credsyncd(home, ["config", "schema"])).stdout) as Schema;
    expect(schema.$schema).toBe("https://json-schema.org/draft/2020-12/schema");
    expect(schema).toMatchObject({ type: "object", additionalProperties: false });
    expect(schema.required ?? []).toEqual([]);
    const defaults: unknown = JSON.parse((await credsyncd(home, ["config", "show"])).stdout);
    expect(violations(schema, defaults, "")).toEqual([]);
    expect(violations(schema, { agents: { main: "folow" } }, "")).toEqual(["/agents/main"]);
    expect(violations(schema, { bnd: "listed" }, "")).toEqual(["/bnd"]);
  });
});

interface Schema {
  readonly $schema?: string;
  readonly type?: string;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
}

/** Lists the places where a value breaks a schema. It knows the parts of JSON Schema that the configuration's own schema uses. */
function violations(schema: Schema, value: unknown, at: string): string[] {
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return choices.some((choice) => violations(choice, value, at).length === 0) ? [] : [at];
  if (schema.enum !== undefined) return schema.enum.includes(value) ? [] : [at];
  if ("const" in schema) return schema.const === value ? [] : [at];
  if (schema.type === "array")
    return Array.isArray(value)
      ? value.flatMap((item, index) => violations(schema.items ?? {}, item, `${at}/${String(index)}`))
      : [at];
  if (schema.type === "integer") return Number.isInteger(value) ? [] : [at];
  if (schema.type !== "object") return schema.type === undefined || typeof value === schema.type ? [] : [at];
  if (typeof value !== "object" || value === null) return [at];
  const missing = (schema.required ?? []).filter((key) => !(key in value)).map((key) => `${at}/${key}`);
  const wrong = Object.entries(value).flatMap(([key, inner]) => {
    const known = schema.properties?.[key] ?? schema.additionalProperties;
    if (known === false) return [`${at}/${key}`];
    return typeof known === "object" ? violations(known, inner, `${at}/${key}`) : [];
  });
  return [...missing, ...wrong];
}
