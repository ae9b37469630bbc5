import { describe, expect, test } from "vitest";
import type { Account } from "../../src/domain/credential.js";
import type { Held } from "../../src/domain/observation.js";
import { sentOf, type Sent } from "../../src/domain/turn.js";
import { absent, anna, apiKey, bearerToken, bert, fence, login, NOW } from "../support/planning.js";

const later = login("shared", { endsInHours: 8 });
const named = (email: string): Account => ({ uuid: null, email });

/** The own one, whose it is, the inherited one, whose that is, and which of them is sent. */
type Case = readonly [string, Held, Account | null, Held | null, Account | null, Sent];

describe("an agent's next turn sends", () => {
  test.each<Case>([
    ["what it inherits where it has none", absent, null, later, null, "inherited"],
    ["its own where it inherits none", login("own"), null, null, null, "own"],
    ["the later one where its own names nobody", login("own"), null, later, named("anna"), "inherited"],
    ["the later one of the same e-mail", login("own"), named("anna"), later, named("anna"), "inherited"],
    ["its own if that is the later one", login("own", { endsInHours: 9 }), null, later, null, "own"],
    ["its own if both expire at once", login("own", { endsInHours: 8 }), null, later, null, "own"],
    ["its own of another e-mail", login("own"), named("bert"), later, named("anna"), "own"],
    ["its own with an e-mail that the other lacks", login("own"), named("bert"), later, null, "own"],
    ["its own of another account id", login("own"), { ...bert, email: null }, later, { ...anna, email: null }, "own"],
    ["its own token, which is no OAuth login", bearerToken("own"), null, later, null, "own"],
    ["its own API key", apiKey("own"), null, later, null, "own"],
    ["its own beside an API key", login("own"), null, apiKey("shared"), null, "own"],
    ["its own beside a refresh under way", login("own"), null, fence("shared", "pending"), null, "own"],
    ["the later one while its own access token lasts", login(null), null, later, null, "inherited"],
    ["nothing once its own access token has expired", login(null, { endsInHours: -1 }), null, later, null, "nothing"],
    ["the later one once its own whole login has expired", login("own", { endsInHours: -1 }), null, later, null, "inherited"],
  ])("%s", (_what, held, account, inheritedHeld, inheritedAccount, expected) => {
    const inherited = inheritedHeld === null ? null : { held: inheritedHeld, account: inheritedAccount };
    expect(sentOf({ held, account }, inherited, NOW)).toBe(expected);
  });
});
