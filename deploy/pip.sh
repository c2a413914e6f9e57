#!/usr/bin/env bash
# Install into .venv under the lock: with uv where it is there, else with pip.
#   deploy/pip.sh VENV ARGUMENT...
set -eu
venv=$1
shift
lock=$(dirname "$0")/constraints.txt
if [ -x "$venv/bin/uv" ]; then
    exec "$venv/bin/uv" pip install --python "$venv/bin/python" --constraint "$lock" "$@"
fi
exec "$venv/bin/python" -m pip install --constraint "$lock" "$@"
