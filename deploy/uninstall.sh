#!/bin/sh
# Removes what install.sh put below a prefix. The configuration, the state and the backups of logins stay.
#
#   deploy/uninstall.sh [--prefix DIR]      (default: ~/.local)
set -eu

prefix=${HOME:?}/.local
case ${1:-} in
  "") ;;
  --prefix) prefix=${2:?--prefix needs a value} ;;
  -h | --help)
    sed -n '2,4s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  *)
    echo "uninstall.sh: error: unknown argument $1" >&2
    exit 1
    ;;
esac

program=$prefix/bin/credsyncd
if [ -x "$program" ]; then
  # A service that starts a program that is gone would fail for ever.
  if "$program" service status >/dev/null 2>&1; then "$program" service uninstall; fi
  npm uninstall --global --silent --no-audit --no-fund --prefix "$prefix" credsyncd
  echo "removed credsyncd from $prefix"
else
  echo "credsyncd is not installed in $prefix"
fi
for file in man/man1/credsyncd.1 bash-completion/completions/credsyncd zsh/site-functions/_credsyncd fish/vendor_completions.d/credsyncd.fish; do
  rm -f "$prefix/share/$file"
done
echo "left: \${XDG_CONFIG_HOME:-~/.config}/credsyncd and \${XDG_STATE_HOME:-~/.local/state}/credsyncd"
