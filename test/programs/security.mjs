#!/usr/bin/env node
// A stand-in for macOS's `security`, as far as Claude Code uses it: one file an item, beside it how the keychain is.
import { Buffer } from "node:buffer";
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setInterval } from "node:timers";

const keychain = process.env.STAND_IN_KEYCHAIN;
const state = existsSync(join(keychain, "state")) ? readFileSync(join(keychain, "state"), "utf8") : "open";
appendFileSync(join(keychain, "calls"), `${process.argv.slice(2).join(" ")}\n`);
if (state === "asks") setInterval(() => undefined, 1000);
else if (state === "locked") end(36, "security: SecKeychainItemCopyContent: User interaction is not allowed.");
else run(process.argv.slice(2));

function run(args) {
  const value = (name) => args[args.indexOf(name) + 1];
  const path = () => join(keychain, `${value("-s")}|${value("-a")}`);
  if (args[0] === "find-generic-password") {
    if (!existsSync(path())) end(44, "security: The specified item could not be found in the keychain.");
    const content = readFileSync(path());
    // `security` prints anything but plain text as its bytes.
    process.stdout.write(
      `${content.every((byte) => byte >= 0x20 && byte < 0x7f) ? content.toString() : content.toString("hex")}\n`,
    );
  } else if (args[0] === "add-generic-password") {
    if (state === "refuses") end(0, "security: add-generic-password: returned -60008");
    writeFileSync(`${path()}.new`, Buffer.from(value("-X"), "hex"));
    renameSync(`${path()}.new`, path());
  } else if (args[0] === "-i") {
    const line = readFileSync(0, "utf8").trimEnd();
    if (line.length > 4095) end(1, "line too long");
    run([...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain));
  } else end(2, "unknown command");
}

function end(code, message) {
  process.stderr.write(`${message}\n`);
  process.exit(code);
}
