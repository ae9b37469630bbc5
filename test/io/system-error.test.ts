import { describe, expect, test } from "vitest";
import { Failure, isTransient, StoreError } from "../../src/domain/errors.js";
import { errnoOf, isAbsent, toStoreError } from "../../src/io/system-error.js";

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
    ["ELOOP", "symlink", false],
    ["EISDIR", "not-a-file", false],
    ["ENXIO", "not-a-file", false],
    ["ENOENT", "conflict", true],
    ["EIO", "io", true],
    ["EMFILE", "io", true],
  ])("%s is a store's failure %s; tried again by itself: %s", (errno, code, transient) => {
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
