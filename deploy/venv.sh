#!/usr/bin/env bash
# Make .venv, unless a working one is there, with the first Python that is new enough, and uv inside it where it can be had.
#   deploy/venv.sh DIRECTORY CONSTRAINTS [PYTHON]
set -eu
venv=$1
constraints=$2
new_enough='import sys; raise SystemExit(sys.version_info < (3, 11))'

python=
for candidate in ${3:-python3.11 python3.12 python3.13 python3}; do
    # An installed shim may still refuse to run, so ask it and do not only look for it.
    if "$candidate" -c "$new_enough" 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "No Python 3.11 or newer was found (tried: ${3:-python3.11 python3.12 python3.13 python3})." >&2
    echo "Install one, or name it: make up PYTHON=/path/to/python3.11" >&2
    exit 1
fi

node=$(node --version 2>/dev/null || true)
major=${node#v}
if [ "${major%%.*}" = "" ] || [ "${major%%.*}" -lt 20 ]; then
    echo "Node.js 20 or newer is needed for the proxy and the JupyterLab extension; found: ${node:-none}." >&2
    echo "Install it from your system's packages or from nodejs.org, with npm." >&2
    exit 1
fi
if ! command -v npm >/dev/null; then
    echo "npm is needed and was not found beside node $node; Debian has it in its own package 'npm'." >&2
    exit 1
fi

if ! "$venv/bin/python" -c "$new_enough" 2>/dev/null && ! "$python" -m venv --clear "$venv"; then
    echo "'$python -m venv' failed; on Debian and Ubuntu install the package python3-venv." >&2
    exit 1
fi
# uv installs ten times faster; where no build of it exists pip does the same.
"$venv/bin/python" -m pip install --quiet --constraint "$constraints" uv ||
    echo "uv cannot be installed here; going on with pip."
