import type { Binding } from "../domain/observation.js";

/** What `config init` asks about; everything else has a default. */
export interface Choices {
  /** Profile ids that follow the source by name. */
  readonly profiles: readonly string[];
  readonly agents: Readonly<Record<string, Binding>>;
}

/** A commented configuration file that says what holds. */
export function configTemplate({ profiles, agents }: Choices): string {
  const bindings = Object.entries(agents).map(([agent, binding]) => `    ${JSON.stringify(agent)}: "${binding}",`);
  return [
    "// credsyncd: see `credsyncd config schema` for every key, and `credsyncd config check` after a change",
    "{",
    "  // the one login that is copied; its program refreshes it",
    '  source: { kind: "claude-code" },',
    "",
    "  // where the copies are; a second home, sandbox or container of Claude Code follows with",
    '  //   { kind: "claude-code", dir: "/srv/box/.claude", share: "access-only" }',
    '  targets: [{ kind: "openclaw" }],',
    "",
    "  // profiles that follow the source by their name; others follow once they are seen holding its login",
    `  profiles: ${JSON.stringify(profiles)},`,
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
