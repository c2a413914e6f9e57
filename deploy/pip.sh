#!/usr/bin/env bash
# Install into .venv under the lock: with uv where it is there, else with pip.
#   deploy/pip.sh VENV ARGUMENT...
set -eu
venv=$1
shift
here=$(dirname "$0")
lock=$here/constraints.txt
if [ -x "$venv/bin/uv" ]; then
    exec "$venv/bin/uv" pip install --python "$venv/bin/python" --constraint "$lock" \
        --override "$here/overrides.txt" "$@"
fi
exec "$venv/bin/python" -m pip install --constraint "$lock" "$@"
