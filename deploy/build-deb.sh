#!/bin/sh
# Makes a Debian package from a packed tarball: the program with its dependencies, units, manual, completions, documents.
#
#   deploy/build-deb.sh [--tarball FILE] [--output DIR]
#
# Without a tarball the checkout around this script is built and packed. Needs npm, dpkg-deb, and the npm registry.
set -eu

tarball=
output=$PWD
while [ $# -gt 0 ]; do
  case $1 in
    --tarball) tarball=${2:?--tarball needs a value} ;;
    --output) output=${2:?--output needs a value} ;;
    *)
      echo "build-deb.sh: error: unknown argument $1" >&2
      exit 1
      ;;
  esac
  shift 2
done

umask 022
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM
if [ -z "$tarball" ]; then
  checkout=$(cd "$(dirname "$0")/.." && pwd)
  (
    cd "$checkout"
    [ -d node_modules ] || npm ci --silent
    npm run --silent build
    npm pack --silent --pack-destination "$scratch" >/dev/null
  )
  tarball=$(find "$scratch" -name 'credsyncd-*.tgz')
fi

npm install --global --silent --ignore-scripts --no-audit --no-fund --prefix "$scratch/npm" "$tarball"
program=$scratch/npm/lib/node_modules/credsyncd
main=$program/dist/cli/main.js
version=$(node "$main" --version)
# @photostructure/sqlite brings a binary for every system along; the package is for this one.
architecture=$(dpkg --print-architecture)
for prebuilt in "$program"/node_modules/@photostructure/sqlite/prebuilds/*; do
  case $(basename "$prebuilt") in
    linux-"$(node -p process.arch)"*) ;;
    *) rm -rf "$prebuilt" ;;
  esac
done

root=$scratch/root
share=$root/usr/share
documents=$share/doc/credsyncd
mkdir -p "$root/DEBIAN" "$root/usr/bin" "$root/usr/lib" "$root/usr/lib/systemd/user" "$root/usr/lib/systemd/system" \
  "$share/man/man1" "$share/bash-completion/completions" "$share/zsh/vendor-completions" "$share/fish/vendor_completions.d" "$documents"
cp -R "$program" "$root/usr/lib/credsyncd"
ln -s ../lib/credsyncd/dist/cli/main.js "$root/usr/bin/credsyncd"
cp "$program/systemd/credsyncd.service" "$root/usr/lib/systemd/user/"
cp "$program/systemd/credsyncd@.service" "$root/usr/lib/systemd/system/"
gzip -9n <"$program/dist/credsyncd.1" >"$share/man/man1/credsyncd.1.gz"
node "$main" completion bash >"$share/bash-completion/completions/credsyncd"
node "$main" completion zsh >"$share/zsh/vendor-completions/_credsyncd"
node "$main" completion fish >"$share/fish/vendor_completions.d/credsyncd.fish"
cp "$program/README.md" "$program/CHANGELOG.md" "$documents/"
cp "$program/LICENSE" "$documents/copyright"

cat >"$root/DEBIAN/control" <<EOF
Package: credsyncd
Version: $version
Architecture: $architecture
Maintainer: the credsyncd maintainers <maintainers@users.noreply.credsyncd.invalid>
Depends: nodejs (>= 20.19)
Recommends: systemd
Section: admin
Priority: optional
Installed-Size: $(du -sk "$root/usr" | cut -f1)
Description: keeps every agent's copy of a rotating login in step
 Claude Code keeps its OAuth login in a file, and every OpenClaw agent keeps a
 copy. credsyncd watches the login and every copy, and brings the copies up to
 date when one of the programs has refreshed it.
EOF
# Nothing is started by itself: whose logins are to be kept in step is the user's word.
cat >"$root/DEBIAN/postinst" <<'EOF'
#!/bin/sh
set -e
if [ "$1" = configure ] && [ -z "$2" ]; then
  echo "credsyncd: start it as a user with: systemctl --user enable --now credsyncd"
  echo "credsyncd: or for a user with: systemctl enable --now credsyncd@USER"
fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
EOF
cat >"$root/DEBIAN/prerm" <<'EOF'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then systemctl stop 'credsyncd@*.service' || true; fi
EOF
chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm"
# Who builds the package is nobody's business, and everybody may read a program.
chmod -R u=rwX,go=rX "$root/usr"

mkdir -p "$output"
dpkg-deb --root-owner-group --build "$root" "$output/credsyncd_${version}_$architecture.deb"
