#!/usr/bin/env bash
# node-cron 4.6.0 (npm): a job of every five minutes is not run for an hour when summer time ends.
#
# One would guess that "*/5 * * * *" runs every five minutes whatever the clocks of the country do: the hour that is repeated has
# minutes 0, 5, 10 … twice.
# From the beginning of the repeated hour on, the next run is the first one after it: an hour without a run (each autumn, in every
# zone that has summer time), though the same package says that the moments in between match the expression.
# It matters here since the resync that catches what a file watcher missed hung on it. credsyncd asks the package whether a moment
# matches, and holds the minutes against the wall clock itself.
# Source: seen; the runs are those of getNextRuns().
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts node-cron@4.6.0

TZ=Europe/Berlin node - <<'JS'
const { createTask } = require("node-cron");
const RealDate = Date;
const now = RealDate.parse("2026-10-25T00:58:00Z");
globalThis.Date = class extends RealDate {
  constructor(...args) {
    super(...(args.length === 0 ? [now] : args));
  }
  static now() {
    return now;
  }
};
const task = createTask("*/5 * * * *", () => undefined);
const [next] = task.getNextRuns(1);
const passedOver = new RealDate("2026-10-25T01:00:00Z");
const matches = task.match(passedOver);
const minutes = (next.getTime() - now) / 60_000;
console.log(
  `seen: at 00:58 UTC the next run is in ${minutes} minutes, at ${new RealDate(next).toISOString()}; ${passedOver.toISOString()} ${matches ? "matches" : "does not match"}`,
);
process.exit(minutes > 60 && matches ? 0 : 1);
JS
