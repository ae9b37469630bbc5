import { describe, expect, test } from "vitest";
import { isOwnGroup, isOwnGroupIn } from "../../src/io/user-group.js";

const passwd =
  "# users\nroot:x:0:0:root:/root:/bin/sh\nanna:x:1000:1000:Anna,,,:/home/anna:/bin/sh\nben:x:1001:100::/home/ben:/bin/sh\n";
const group = "root:x:0:\nusers:x:100:\nanna:x:1000:\nteam:x:1002:anna\n";

describe("a group", () => {
  test.each<[what: string, changes: { passwd?: string; group?: string }, gid: number, expected: boolean]>([
    ["of a user's own name with nobody in it is theirs", {}, 1000, true],
    ["that names its own user as a member is theirs", { group: group.replace("1000:", "1000:anna") }, 1000, true],
    ["with another member is not", { group: group.replace("1000:", "1000:anna,ben") }, 1000, false],
    ["that is another user's main group, too, is not", { passwd: passwd.replace("1001:100:", "1001:1000:") }, 1000, false],
    ["of another name is not, though nobody else is seen in it", {}, 1002, false],
    ["for all users is not", {}, 100, false],
    ["that stands under a second name is not", { group: `${group}friends:x:1000:\n` }, 1000, false],
    ["that only a directory service knows is not", { group: "root:x:0:\n" }, 1000, false],
    ["of a user whom only a directory service knows is not", { passwd: "root:x:0:0::/:/bin/sh\n" }, 1000, false],
    ["is nobody's where nothing can be read", { passwd: "", group: "" }, 1000, false],
    ["is nobody's where what is read is something else", { passwd: "\0{}\n:::\n", group: ":::\n::1000:\n" }, 1000, false],
  ])("%s", (_what, changes, gid, expected) => {
    expect(isOwnGroupIn({ passwd, group, ...changes }, gid, 1000)).toBe(expected);
  });

  test("is looked up in the system's own files", () => {
    expect(isOwnGroup(2 ** 31 - 7, 2 ** 31 - 7)).toBe(false);
  });
});
