import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { TestProject } from "vitest/node";
import { installClients, type Clients } from "./clients.js";

declare module "vitest" {
  interface ProvidedContext {
    /** The real programs, or why they are not there. */
    clients: Clients | { readonly missing: string };
  }
}

/** Installs the real programs before the tests; where that fails, the tests that need them say so and are skipped. */
export default async function setup(project: TestProject): Promise<void> {
  project.provide("clients", await clientsOrReason());
}

async function clientsOrReason(): Promise<Clients | { missing: string }> {
  try {
    await promisify(execFile)("openssl", ["version"]);
    return await installClients();
  } catch (error) {
    const missing = error instanceof Error ? error.message : String(error);
    process.stderr.write(`the tests with real programs are skipped: ${missing}\n`);
    return { missing };
  }
}
