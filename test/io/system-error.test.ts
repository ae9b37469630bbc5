import { constants } from "node:os";
import { describe, expect, test } from "vitest";
import { Failure, isTransient, StoreError } from "../../src/domain/errors.js";
import { errnoOf, isAbsent, toFailure, toStoreError } from "../../src/io/system-error.js";

function withCode(code: unknown): Error {
  return Object.assign(new Error("of the system"), { code });
}

describe("the system's error code", () => {
  test.each([
    [withCode("ENOENT"), "ENOENT"],
    [withCode("EAI_AGAIN"), null],
    [withCode("ERR_INVALID_ARG_TYPE"), null],
    [withCode(2), null],
    [new Error("plain"), null],
    [{ code: "ENOENT" }, null],
    [null, null],
    [new StoreError("locked", "busy", "wait"), null],
    [new Failure("busy", "busy", null), null],
  ])("of %s is %s", (error, expected) => {
    expect(errnoOf(error)).toBe(expected);
  });

  test("is found where Node has no name for it, as for a full quota", () => {
    const quota = -constants.errno.EDQUOT;
    const unnamed = Object.assign(withCode(`Unknown system error ${String(quota)}`), { errno: quota });
    expect(errnoOf(unnamed)).toBe("EDQUOT");
    expect(errnoOf(Object.assign(withCode("UNKNOWN"), { errno: quota }))).toBe("EDQUOT");
    expect(errnoOf(withCode("UNKNOWN"))).toBeNull();
    expect(errnoOf(Object.assign(withCode("Unknown system error -4000"), { errno: -4000 }))).toBe("E4000");
  });

  test.each([
    ["ENOENT", true],
    ["ENOTDIR", true],
    ["EACCES", false],
  ])("%s means that nothing is there: %s", (code, expected) => {
    expect(isAbsent(withCode(code))).toBe(expected);
  });
});

describe("a failed file operation", () => {
  test.each([
    ["EACCES", "permission", false],
    ["EPERM", "permission", false],
    ["EROFS", "permission", false],
    ["ENOSPC", "no-space", true],
    ["EDQUOT", "no-space", true],
    ["EFBIG", "no-space", true],
    ["ELOOP", "symlink", false],
    ["EISDIR", "not-a-file", false],
    ["ENXIO", "not-a-file", false],
    ["ENOENT", "conflict", true],
    ["EIO", "io", true],
    ["EMFILE", "io", true],
  ])("%s is a store's failure %s; retried automatically: %s", (errno, code, transient) => {
    const cause = withCode(errno);
    const error = toStoreError(cause, "/path/to/store", "write");
    expect(error).toMatchObject({ code, cause, message: expect.stringContaining("cannot write /path/to/store") as string });
    expect(error.hint).not.toBe("");
    expect(isTransient(error.code)).toBe(transient);
  });

  test("stays what it is where it is a store's failure already", () => {
    const error = new StoreError("torn", "half", "wait");
    expect(toStoreError(error, "/path", "read")).toBe(error);
  });

  test.each([new TypeError("a bug"), withCode("ERR_INVALID_ARG_TYPE"), new Failure("config", "wrong", null), "text"])(
    "%s is no store's failure and goes on up",
    (error) => {
      expect(() => toStoreError(error, "/path", "read")).toThrow(error instanceof Error ? error.message : error);
    },
  );
});

describe("a system error that nobody expected where it came up", () => {
  test("is a failure that names the thing, the reason and the next step", () => {
    const error = Object.assign(withCode("EMFILE"), { syscall: "scandir", path: "/home/a/agents" });
    const hint = expect.stringContaining("tried again") as string;
    expect(toFailure(error)).toMatchObject({ code: "general", message: "cannot read /home/a/agents: EMFILE", hint });
    expect(toFailure(error)).toBeInstanceOf(Failure);
  });

  test("differs from a bug, which stays as it is", () => {
    const bug = new TypeError("a bug");
    expect(toFailure(bug)).toBe(bug);
    const known = new StoreError("locked", "busy", "wait");
    expect(toFailure(known)).toBe(known);
  });
});
