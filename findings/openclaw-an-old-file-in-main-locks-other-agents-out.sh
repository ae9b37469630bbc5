#!/usr/bin/env bash
# OpenClaw 2026.9.6, while the shared logins are still in main's own place: a leftover auth.json in the directory of agent main makes
# every command of another agent fail, although that one has a database with a login of its own and needs none of main's. Each agent
# was to be refused for its own leftovers alone: the same file beside that agent's own login is ignored.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
platform=$(node -p 'process.platform + "-" + process.arch')
echo '{ "private": true }' > package.json
npm install --silent --no-audit --no-fund --ignore-scripts "node-$platform@24.22.3" openclaw@2026.9.6

home=$folder/home state=$folder/home/.openclaw
mkdir -p "$state"/agents/{main,ops}/agent
echo '{ "agents": { "entries": { "main": {}, "ops": {} }, "ownership": "explicit", "defaults": { "model": "anthropic/claude-sonnet-4-5" } } }' > "$state/openclaw.json"
openclaw() {
  env -i PATH="$PATH" HOME="$home" NO_COLOR=1 OPENCLAW_NO_RESPAWN=1 OPENCLAW_OFFLINE=1 OPENCLAW_NO_AUTO_UPDATE=1 \
    "node_modules/node-$platform/bin/node" node_modules/openclaw/openclaw.mjs "$@"
}
status() { if openclaw models status --agent ops --json > "$folder/out" 2> "$folder/err"; then echo works; else echo refused; fi; }

token=sk-ant-oat01-$(printf 'made-up-%.0s' {1..12})
echo "$token" | openclaw models auth paste-token --agent ops --provider anthropic > "$folder/out" 2>&1 || { cat "$folder/out"; exit 1; }
alone=$(status)
leftover='{ "anthropic": { "type": "api_key", "key": "sk-ant-api03-made-up-12345678" } }'
echo "$leftover" > "$state/agents/ops/agent/auth.json"; own=$(status); rm "$state/agents/ops/agent/auth.json"
echo "$leftover" > "$state/agents/main/agent/auth.json"; mains=$(status)
words=$(grep -o 'agents/main/agent/[^"]*doctor --fix' "$folder/out" || true)
echo "seen: OpenClaw $(openclaw --version 2>/dev/null | grep -o '2026[0-9.]*' | head -1), agent ops with a login of its own: $alone; with an old file of its own: $own; with one in main's directory: $mains ($words)"
[ "$alone $own $mains" = "works works refused" ]
