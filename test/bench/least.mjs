// The least that a `status` can be with the packages that the program is built on: it parses its words, checks three stores with
// one schema, fingerprints them and prints. No work on the program can make `status` faster than this.
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import process from "node:process";
import { Command } from "commander";
import * as z from "zod/mini";

const profile = z.object({ type: z.string(), access: z.optional(z.string()), expires: z.optional(z.number()) });
const shape = z.object({ version: z.number(), profiles: z.record(z.string(), profile) });

const program = new Command("least");
program
  .command("status")
  .argument("<stores...>")
  .action((stores) => {
    for (const store of stores) {
      const { profiles } = shape.parse(JSON.parse(readFileSync(store, "utf8")));
      const fingerprint = createHmac("sha256", "key").update(JSON.stringify(profiles)).digest("hex");
      process.stdout.write(`${store} ${fingerprint.slice(0, 6)}\n`);
    }
  });
program.parse();
