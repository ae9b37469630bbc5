import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { TestProject } from "vitest/node";
import { CLAUDE_VERSIONS, installClients, OPENCLAWS, type Clients } from "./clients.js";

declare module "vitest" {
  interface ProvidedContext {
    /** The real programs, or why they are not there. */
    clients: Clients;
  }
}

/** Installs the real programs before the tests; where that fails, the tests that need one say so and are skipped. */
export default async function setup(project: TestProject): Promise<void> {
  const clients = (await hasOpenssl()) ? await installClients() : withoutAny("the stand-in for the servers needs openssl");
  for (const program of [...Object.values(clients.claude), ...Object.values(clients.openclaw)]) {
    if ("missing" in program) process.stderr.write(`skipped: ${program.missing}\n`);
  }
  project.provide("clients", clients);
}

async function hasOpenssl(): Promise<boolean> {
  try {
    await promisify(execFile)("openssl", ["version"]);
    return true;
  } catch {
    return false;
  }
}

function withoutAny(missing: string): Clients {
  const openclaw = Object.fromEntries(OPENCLAWS.map(({ version }) => [version, { missing }]));
  const claude = Object.fromEntries(CLAUDE_VERSIONS.map((version) => [version, { missing }]));
  return { claude: claude as Clients["claude"], openclaw: openclaw as Clients["openclaw"] };
}
