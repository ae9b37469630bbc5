import type { Binding } from "../domain/observation.js";
import type { Share } from "../domain/store.js";

/** The answers to the questions of `config init`; everything else has a default. */
export interface Choices {
  /** How much of the login OpenClaw's agents get; null where the user did not say. */
  readonly share: Share | null;
  /** Profile ids that follow the source by name. */
  readonly profiles: readonly string[];
  readonly agents: Readonly<Record<string, Binding>>;
}

function targetText(share: Share | null): string {
  switch (share) {
    case null:
      return '{ kind: "openclaw" }';
    case "full":
      return '{ kind: "openclaw", share: "full" }';
    case "access-only":
      return '{ kind: "openclaw", share: "access-only", expiryMargin: "5m" }';
  }
}

/** A commented configuration file that says what holds. */
export function configTemplate({ share, profiles, agents }: Choices): string {
  const bindings = Object.entries(agents).map(([agent, binding]) => `    ${JSON.stringify(agent)}: "${binding}",`);
  return [
    "// credsyncd: see `credsyncd config schema` for every key, and `credsyncd config check` after a change",
    "{",
    "  // the one login that is copied; its program refreshes it. An OpenClaw agent's profiles are followed with",
    '  //   { kind: "openclaw", agent: "main" }, and profiles: ["openai:*"] for which of them, by id in every agent',
    '  source: { kind: "claude-code" },',
    "",
    "  // where the copies are; a second home, sandbox or container of Claude Code follows with",
    '  //   { kind: "claude-code", dir: "/srv/box/.claude", share: "access-only" }',
    "  // full: an agent may refresh the login, too; access-only: only the source's program does, so that no race is left,",
    "  // and agents wait for it when the access token ends (expiryMargin lets OpenClaw use the token to its real end)",
    `  targets: [${targetText(share)}],`,
    "",
    "  // profiles that follow the source by their name; others follow once they are seen holding its login",
    "  // OpenClaw 2026.8.1 and later never sends anthropic:claude-cli, its old name for this login, but anthropic:default",
    "  // there anthropic:default follows in its place, once it is seen holding this login",
    "  // where `create` allows it, it is made: with your e-mail, and with the access token alone unless `share` says more",
    `  profiles: ${JSON.stringify(profiles)},`,
    "",
    "  // whether an agent that lacks such a profile is given it: never, when-provider-missing or always",
    '  create: "never",',
    "",
    "  // agents with an account of their own (pinned), or to leave out (ignore); patterns such as scratch-* may be used",
    ...(bindings.length === 0 ? ["  agents: {},"] : ["  agents: {", ...bindings, "  },"]),
    "",
    "  // what to do when an agent's program was the one that refreshed: adopt it into the source, or hold and ask",
    '  onAgentRotation: "adopt",',
    "  // what to do when the source is signed in to another account: hold and ask, or push it to every agent",
    '  onAccountChange: "hold",',
    "}",
    "",
  ].join("\n");
}
