#!/usr/bin/env bash
# Run one step of the Makefile quietly: say what it does and how long it took; show its output
# only when it fails, or always with VERBOSE=1.
#   deploy/step.sh "what it does" COMMAND [ARGUMENT...]
set -u
what=$1
shift
printf 'perijove: %s ... ' "$what"
if [ -n "${VERBOSE:-}" ]; then
    printf '\n'
    exec "$@"
fi
output=$(mktemp)
trap 'rm -f "$output"' EXIT
begin=$SECONDS
"$@" >"$output" 2>&1
status=$?
if [ "$status" -eq 0 ]; then
    printf 'done (%d s)\n' $((SECONDS - begin))
else
    printf 'FAILED (status %d)\n\n' "$status"
    tail -n 60 "$output"
    printf '\nThe command was: %s\n' "$*"
fi
exit "$status"
