#!/bin/bash
# Brings node_modules to what package-lock.json says, once per version of that file. Any npm from
# 9 on will do, and whatever Node it runs on: the pinned Node is one of the packages. No package
# needs an install script, so none is run.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -L node_modules ]; then
  exit 0 # A worktree that borrows another checkout's packages: they are that one's to change.
fi
if cmp -s package-lock.json node_modules/.installed-lock.json; then
  exit 0
fi
if ! command -v npm >/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "setup: npm is missing. Install Node 20 or newer with npm, or run 'make setup' as root on Debian." >&2
    exit 1
  fi
  echo "setup: installing Debian's nodejs and npm"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm ca-certificates
fi
npm ci --ignore-scripts --no-audit --no-fund --update-notifier=false --loglevel=error
cp package-lock.json node_modules/.installed-lock.json
