#!/bin/bash
# Brings node_modules to what package-lock.json says, once per version of that file. Any npm from
# 9 on will do, and whatever Node it runs on: the pinned Node is one of the packages. No package
# needs an install script, so none is run.
set -euo pipefail
cd "$(dirname "$0")/.."

# need PACKAGE... - installs Debian packages, or says what is missing.
need() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "setup: $why. Install it ($*, as Debian names it), or run 'make setup' as root on Debian." >&2
    exit 1
  fi
  echo "setup: $why; installing $*"
  apt-get update -qq </dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
}

if [ -L node_modules ]; then
  exit 0 # A worktree that borrows another checkout's packages: they are that one's to change.
fi
if ! cmp -s package-lock.json node_modules/.installed-lock.json; then
  if ! command -v npm >/dev/null; then
    why='npm is missing' need nodejs npm ca-certificates
  fi
  npm ci --ignore-scripts --no-audit --no-fund --update-notifier=false --loglevel=error
  cp package-lock.json node_modules/.installed-lock.json
fi

# The pinned Node is linked with libatomic, which a bare Debian does not have.
node=node_modules/node-linux-$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')/bin/node
if ! problem=$("$node" --version 2>&1); then
  if [[ $problem == *libatomic* ]]; then
    why='libatomic.so.1 is missing' need libatomic1
  fi
  "$node" --version >/dev/null # Whatever else it is, it says itself.
fi
