#!/usr/bin/env bash
# proper-lockfile 4.1.2 (npm): release() removes whatever lock stands at the path.
#
# One would guess that release() removes the lock that its lock() made, and that it fails, or does nothing, where another process
# took a stale lock over meanwhile.
# It removes the other one's lock, and reports success: it knows its lock by the path alone. A holder that was stopped for longer
# than the stale time (a laptop's sleep, SIGSTOP, a slow disk) frees the lock of its successor, and a third one may take it while
# the second still writes.
# It matters here since Claude Code's locks are of this kind. credsyncd compares the directory with the one that it made.
# Source: the package's lib/lockfile.js, functions unlock and removeLock.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts proper-lockfile@4.1.2

node - <<'JS'
const { existsSync, mkdirSync, rmdirSync } = require("node:fs");
const { lock } = require("proper-lockfile");
const path = "a.lock";

async function main() {
  const release = await lock("a", { lockfilePath: path, realpath: false, onCompromised: () => undefined });
  // Another process finds it stale, removes it and takes the lock for itself.
  rmdirSync(path);
  mkdirSync(path);
  const outcome = await release().then(() => "without an error", ({ code }) => `with ${code}`);
  const isThere = existsSync(path);
  console.log(`seen: release() ended ${outcome}, and the successor's lock is ${isThere ? "still there" : "gone"}`);
  process.exit(isThere || outcome !== "without an error" ? 1 : 0);
}
void main();
JS
