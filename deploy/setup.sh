#!/bin/sh
# Installs what Wardroom needs on a Debian machine that has git, make, curl and Rust. Silent and quick when nothing is missing.
#   deploy/setup.sh          what a server needs: Chromium, its account, the wa-js bundle
#   deploy/setup.sh --test   also what the tests need: PostgreSQL's server, ffmpeg, clients of the API
#   deploy/setup.sh --fuzz   also a tester of APIs
set -eu
here=$(cd "$(dirname "$0")" && pwd)
user=wardroom-browser
packages=

has() { command -v "$1" >/dev/null 2>&1; }
want() { packages="$packages $1"; }

has cc || want build-essential
has pkg-config || want pkg-config
has setpriv || want util-linux
has npm || want npm
has node || want nodejs
{ has chromium-headless-shell || has chromium || has google-chrome; } || want chromium-headless-shell
if [ -n "${1:-}" ]; then
  has debootstrap || [ "$(id -u)" != 0 ] || want debootstrap
  { has python3 && python3 -m pip --version >/dev/null 2>&1; } || want python3-pip
  has ffmpeg || want ffmpeg
  { has postgres || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; } || want postgresql
fi

as_root=
[ -z "$packages" ] || as_root="apt-get update && apt-get install -y --no-install-recommends$packages"
if [ "$(id -u)" = 0 ] && ! id "$user" >/dev/null 2>&1; then
  as_root="${as_root:+$as_root && }useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin $user"
fi
if [ -n "$as_root" ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "Some things are missing, and only root can install them. Run:" >&2
    echo "  sudo sh -c '$as_root'" >&2
    exit 1
  fi
  echo "Installing:$packages${packages:+ and }the account $user" >&2
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  sh -c "$as_root" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
  rm -f "$log"
fi

# The bundle's integrity is pinned in package-lock.json; npm refuses anything else.
bundle=$here/wa-js/node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js
if [ ! -f "$bundle" ] || [ "$here/wa-js/package-lock.json" -nt "$bundle.installed" ]; then
  log=$(mktemp)
  (cd "$here/wa-js" && npm ci --ignore-scripts --no-audit --no-fund) >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
  rm -f "$log"
  touch "$bundle.installed"
fi

# Pinned by their hashes as well.
pins() {
  list=$here/../tests/clients/$1
  into=$here/../tests/clients/$2
  if [ -f "$into/.done" ] && [ ! "$list" -nt "$into/.done" ]; then return; fi
  log=$(mktemp)
  python3 -m pip install --upgrade --no-deps --require-hashes --target "$into" -r "$list" >"$log" 2>&1 ||
    { cat "$log" >&2; exit 1; }
  rm -f "$log"
  touch "$into/.done"
}
[ -z "${1:-}" ] || pins requirements.txt installed
[ "${1:-}" != --fuzz ] || pins schemathesis.txt installed-fuzz
