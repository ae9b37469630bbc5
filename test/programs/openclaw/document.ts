import { Secret } from "../../../src/domain/secret.js";
import { loginOf, type Login, type StoreKind } from "../contract.js";

/** The parts of the contract for a set of profiles as OpenClaw keeps it, in a file or in a row. */
export const profileSet: Pick<StoreKind, "profile" | "provider" | "document" | "misfit"> = {
  profile: "anthropic:claude-cli",
  provider: "claude-cli",
  document,
  misfit: { type: "token", token: new Secret("sk-ant-oat01-made-up"), expiresAt: null },
};

function document({ access, refresh, expires }: Login): string {
  return `{ "version" : 1,\t"unknown": {"big": 12345678901234567890, "exp": 1e3, "text": "\\u00e9 \\/ é"},\r
    "profiles": { "z:last-first":{"type":"api_key","provider":"z","key":"k-of-z"},
      "anthropic:claude-cli": {${refresh === null ? "" : `"refresh": "${refresh}", `}"odd": -0.0 , "type":"oauth",
        "provider":"claude-cli","access" :"${access}", "expires":${String(expires)}, "nested": [ 1,2.50 , {"access": "not mine"} ]
      },
      "anthropic:default" : {"type":"oauth","provider":"anthropic","access":"a","refresh":"r","expires":5,"email":"a@x"}, "x": 5 },
  "order": {"anthropic": ["anthropic:default"]}\n}  \n`;
}

/** Texts that are no set of profiles. */
export const spoiltSets: StoreKind["spoilt"] = [
  ["is cut short", document(loginOf(0)).slice(0, 350), "malformed"],
  ["is empty", "", "malformed"],
  ["is no JSON", `access=${loginOf(0).access}`, "malformed"],
  ["is a list", `["${loginOf(0).access}"]`, "malformed"],
  ["is null", "null", "malformed"],
  ["has no profiles", `{"version":1}`, "malformed"],
  ["has a list of profiles", `{"version":1,"profiles":["${loginOf(0).access}"]}`, "malformed"],
  ["is of a later version", document(loginOf(0)).replace(`"version" : 1`, `"version" : 2`), "unsupported"],
  ["is of a version in words", document(loginOf(0)).replace(`"version" : 1`, `"version" : "1"`), "unsupported"],
  ["is nested too deeply", `{"version":1,"profiles":${'{"a":'.repeat(100_000)}`, "malformed"],
];
