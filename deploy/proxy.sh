#!/usr/bin/env bash
# Install the pinned configurable-http-proxy into .venv and put its command beside Python's.
#   deploy/proxy.sh VENV
set -eu
venv=$1
source=$(cd "$(dirname "$0")/../hub_ext/proxy" && pwd)
target=$venv/share/perijove/proxy
rm -rf "$target"
mkdir -p "$target"
cp "$source/package.json" "$source/package-lock.json" "$target"
(cd "$target" && npm ci --ignore-scripts --no-audit --no-fund)
ln -sf ../share/perijove/proxy/node_modules/.bin/configurable-http-proxy "$venv/bin/configurable-http-proxy"
"$venv/bin/configurable-http-proxy" --version
