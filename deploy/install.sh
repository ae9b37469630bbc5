#!/bin/sh
# Puts credsyncd below a prefix, from a checkout or from a packed tarball. Needs no root, and may be run again to upgrade.
#
#   deploy/install.sh [--prefix DIR] [--tarball FILE [--sha256 SUM]]
#
# --prefix    where to: DIR/bin/credsyncd, DIR/lib/node_modules/credsyncd, DIR/share (default: ~/.local)
# --tarball   a file that `npm pack` made; without it the checkout around this script is built and packed
# --sha256    what the tarball must be; without it, FILE.sha256 or SHA256SUMS beside it must name it
set -eu

prefix=${HOME:?}/.local
tarball=
sum=

fail() {
  echo "install.sh: error: $1" >&2
  [ $# -lt 2 ] || echo "install.sh: hint: $2" >&2
  exit 1
}

while [ $# -gt 0 ]; do
  case $1 in
    --prefix | --tarball | --sha256)
      [ $# -ge 2 ] || fail "$1 needs a value"
      case $1 in
        --prefix) prefix=$2 ;;
        --tarball) tarball=$2 ;;
        --sha256) sum=$2 ;;
      esac
      shift 2
      ;;
    -h | --help)
      sed -n '2,9s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    *) fail "unknown argument $1" "see: $0 --help" ;;
  esac
done

case $prefix in
  /*) ;;
  *) prefix=$PWD/$prefix ;;
esac

command -v node >/dev/null || fail "there is no node" "install Node.js 20.19 or later"
command -v npm >/dev/null || fail "there is no npm" "it comes with Node.js"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
  fail "node $(node --version) is too old" "install Node.js 20.19 or later"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1
}

# The sum that a file beside the tarball gives it: FILE.sha256, or a line of SHA256SUMS.
published_sum() {
  if [ -f "$1.sha256" ]; then
    cut -d' ' -f1 <"$1.sha256"
  elif [ -f "$(dirname "$1")/SHA256SUMS" ]; then
    awk -v name="$(basename "$1")" '$2 == name || $2 == "*" name { print $1 }' "$(dirname "$1")/SHA256SUMS"
  fi
}

if [ -z "$tarball" ]; then
  checkout=$(cd "$(dirname "$0")/.." && pwd)
  [ -f "$checkout/package-lock.json" ] || fail "there is no checkout around $0" "give a tarball: --tarball FILE"
  echo "building $checkout" >&2
  (
    cd "$checkout"
    [ -d node_modules ] || npm ci --silent
    npm run --silent build
    npm pack --silent --pack-destination "$scratch" >/dev/null
  )
  tarball=$(find "$scratch" -name 'credsyncd-*.tgz')
else
  [ -f "$tarball" ] || fail "there is no file $tarball"
  [ -n "$sum" ] || sum=$(published_sum "$tarball")
  [ -n "$sum" ] || fail "nothing says what $tarball must be" "give its checksum: --sha256 SUM, or put $tarball.sha256 beside it"
  [ "$(sha256 "$tarball")" = "$sum" ] || fail "$tarball is not what it must be: its checksum differs" "download it again"
fi

# npm makes the directories that it needs, and replaces an older version.
mkdir -p "$prefix"
npm install --global --silent --ignore-scripts --no-audit --no-fund --prefix "$prefix" "$tarball"
program=$prefix/bin/credsyncd
version=$("$program" --version) || fail "the installed program does not start"

# npm links the manual in some versions alone.
mkdir -p "$prefix/share/man/man1"
rm -f "$prefix/share/man/man1/credsyncd.1"
cp "$prefix/lib/node_modules/credsyncd/dist/credsyncd.1" "$prefix/share/man/man1/"

# Completions, where the shells look for them.
for shell in bash:bash-completion/completions/credsyncd zsh:zsh/site-functions/_credsyncd fish:fish/vendor_completions.d/credsyncd.fish; do
  file=$prefix/share/${shell#*:}
  mkdir -p "$(dirname "$file")"
  "$program" completion "${shell%%:*}" >"$file"
done

echo "installed credsyncd $version: $program"
case :$PATH: in
  *":$prefix/bin:"*) ;;
  *) echo "note: $prefix/bin is not on your PATH" ;;
esac
echo "next: $program service install"
