#!/usr/bin/env bash
# Pin what pyproject.toml (every extra) and the proxy need. No registry's address gets into
# either lock, so that they work behind any mirror.
#   deploy/lock.sh VENV LOCK
set -eu
venv=$1
lock=$2
"$venv/bin/uv" pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
    --no-header --no-annotate --no-emit-index-url --quiet --output-file "$lock"
cd hub_ext/proxy
npm update --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund
