import { join } from "node:path";
import * as z from "zod/mini";
import { readOwnFileNow, replaceOwnFile } from "../io/own-file.js";
import { errnoOf } from "../io/system-error.js";
import type { AgentPlace, Environment } from "../stores/environment.js";

const shape = z.object({
  schemaVersion: z.literal(1),
  /** By the path of `openclaw.json`. */
  agents: z.record(z.string(), z.array(z.object({ id: z.string(), directory: z.string() }))),
});

/**
 * The agents that each `openclaw.json` named when it was last understood, kept in the state directory: a process that starts
 * while the file is half saved still knows which directory a pinned agent's is.
 */
export class KnownAgents {
  readonly #path: string;
  readonly #environment: Environment;
  #kept: string | null = null;

  constructor(stateDirectory: string, environment: Environment) {
    this.#path = join(stateDirectory, "agents.json");
    this.#environment = environment;
  }

  /** Reads them, for this process; what it understood itself is newer. */
  recall(): void {
    this.#kept = readOwnFileNow(this.#path);
    const { lastAgents } = this.#environment;
    for (const [path, places] of Object.entries(agentsIn(this.#kept))) {
      if (!lastAgents.has(path))
        lastAgents.set(
          path,
          places.map((place) => ({ ...place, refusal: null })),
        );
    }
  }

  /** Writes them, where they changed. Without space for it, the file says what it said before, which protects no less. */
  async keep(): Promise<void> {
    const agents = Object.fromEntries([...this.#environment.lastAgents].map(([path, places]) => [path, places.flatMap(plain)]));
    const text = `${JSON.stringify({ schemaVersion: 1, agents })}\n`;
    if (text === this.#kept) return;
    try {
      await replaceOwnFile(this.#path, text, this.#environment.predecessors.leftovers);
      this.#kept = text;
    } catch (error) {
      if (errnoOf(error) === null) throw error;
    }
  }
}

/** One whose name or directory must not be shown is not served, whatever is known of it. */
function plain({ id, directory, refusal }: AgentPlace): { readonly id: string; readonly directory: string }[] {
  return refusal?.code === "malformed" ? [] : [{ id, directory }];
}

function agentsIn(text: string | null): z.infer<typeof shape>["agents"] {
  try {
    const parsed = shape.safeParse(JSON.parse(text ?? "null"));
    return parsed.success ? parsed.data.agents : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}
