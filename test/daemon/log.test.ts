import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";

const LOG_MODULE = new URL("../../build/daemon/log.js", import.meta.url).href;
const WRITER_MODULE = new URL("../../build/daemon/line-writer.js", import.meta.url).href;

interface Surroundings {
  readonly level?: string;
  readonly format?: string;
  readonly isTerminal?: boolean;
  /** Evaluated in the program that logs. */
  readonly journalStream?: string;
}

/** Returns the stdout of a program with this log. */
function logged(script: string, surroundings: Surroundings = {}): string[] {
  const { level = "info", format = "auto", isTerminal = false, journalStream = "undefined" } = surroundings;
  const program = `
    import { fstatSync } from "node:fs";
    import { openLog } from ${JSON.stringify(LOG_MODULE)};
    import { LineWriter } from ${JSON.stringify(WRITER_MODULE)};
    const { dev, ino } = fstatSync(1);
    const variables = { JOURNAL_STREAM: ${journalStream} };
    const log = openLog(${JSON.stringify(level)}, ${JSON.stringify(format)}, { variables, isTerminal: ${String(isTerminal)} }, new LineWriter(process.stdout));
    ${script}`;
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" });
  return output.split("\n").slice(0, -1);
}

const everyLevel = `for (const level of ["debug", "info", "warn", "error"]) log[level]({ store: "openclaw:main" }, "said");`;
const ownStream = "`${dev}:${ino}`";

describe("the log", () => {
  test("is JSON, a line an event", () => {
    const lines = logged(everyLevel).map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines).toEqual(
      ["info", "warn", "error"].map((level) => {
        return {
          level,
          time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string,
          store: "openclaw:main",
          msg: "said",
        };
      }),
    );
  });

  test("is for people on a terminal", () => {
    expect(logged(everyLevel, { isTerminal: true })).toEqual([
      expect.stringMatching(/^\d\d:\d\d:\d\d info {2}said store=openclaw:main$/),
      expect.stringMatching(/^\d\d:\d\d:\d\d warn {2}said store=openclaw:main$/),
      expect.stringMatching(/^\d\d:\d\d:\d\d error said store=openclaw:main$/),
    ]);
  });

  test("tells a person the time of their own clock", () => {
    const elsewhere = `
      const Real = Date;
      globalThis.Date = class extends Real { constructor(...given) { super(...(given.length > 0 ? given : ["2026-01-01T12:00:00Z"])); } };
      process.env.TZ = "Asia/Kathmandu";
      log.info("said");`;
    expect(logged(elsewhere, { isTerminal: true })).toEqual(["17:45:00 info  said"]);
  });

  test("has the severity in front under journald", () => {
    expect(logged(everyLevel, { level: "debug", journalStream: ownStream })).toEqual([
      "<7>said store=openclaw:main",
      "<6>said store=openclaw:main",
      "<4>said store=openclaw:main",
      "<3>said store=openclaw:main",
    ]);
  });

  test.each([
    ["trace", ["<7>t", "<2>f"]],
    ["fatal", ["<2>f"]],
    ["silent", []],
  ])("has every level of pino's: at %s", (level, lines) => {
    expect(logged(`log.trace("t"); log.fatal("f");`, { level, journalStream: ownStream })).toEqual(lines);
  });

  test("is JSON where journald reads another stream", () => {
    expect(() => logged(everyLevel, { journalStream: `"1:2"` }).map((line) => JSON.parse(line) as unknown)).not.toThrow();
  });

  test("takes the format that is configured, whatever is around it", () => {
    expect(logged(everyLevel, { format: "journald", isTerminal: true })[0]).toBe("<6>said store=openclaw:main");
    expect(logged(everyLevel, { format: "pretty" })[0]).toMatch(/^\d\d:\d\d:\d\d info {2}said/);
    expect(logged(everyLevel, { format: "json", journalStream: ownStream })[0]).toMatch(/^\{"level":"info"/);
  });

  test("quotes what would not stay one word, so that a line stays one line", () => {
    const fields = String.raw`{ path: "/a b", reason: "one\ntwo", odd: "x=\"y\"", none: null, list: [1], n: 3 }`;
    expect(logged(`log.info(${fields}, "said");`, { format: "journald" })).toEqual([
      String.raw`<6>said path="/a b" reason="one\ntwo" odd="x=\"y\"" none=null list=[1] n=3`,
    ]);
  });

  test.each(["access", "refresh", "token", "key", "accessToken", "refreshToken", "apiKey", "idToken", "image"])(
    "does not print what is named %s, at any depth in use",
    (name) => {
      const value = `{ ${name}: "s3cr3t" }`;
      const script = `log.error(${value}, "a"); log.error({ profile: ${value} }, "b"); log.error({ profiles: { one: ${value} } }, "c");
        log.error({ list: [${value}] }, "d");`;
      for (const format of ["json", "pretty", "journald"]) {
        const lines = logged(script, { format });
        expect(lines).toHaveLength(4);
        for (const line of lines) expect(line).toContain("[secret]");
        expect(lines.join("\n")).not.toContain("s3cr3t");
      }
    },
  );
});
