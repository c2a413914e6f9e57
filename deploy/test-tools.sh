#!/usr/bin/env bash
# What the tests need besides Python and Node: installed where we are root on Debian or Ubuntu,
# named where we are not. In CI (CI=true) anything missing is an error, elsewhere the tests that
# need it are skipped; those that set the clock fail without libfaketime.
set -eu

missing=()
packages=()
need() { # command, package, what for
    PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null && return
    missing+=("$1 ($3)")
    packages+=("$2")
}
need chromium chromium "the browser test"
need dockerd docker.io "the Docker tests"
need docker-compose docker-compose "the test of deploy/compose"
need mmdebstrap mmdebstrap "the base image"
need nft nftables "the network of the containers"
need openssl openssl "the certificates of deploy/compose"
if ! command -v pg_ctl >/dev/null && ! compgen -G '/usr/lib/postgresql/*/bin/pg_ctl' >/dev/null; then
    missing+=("pg_ctl (the PostgreSQL tests; PostgreSQL 15 or newer)")
    packages+=(postgresql)
fi
if ! compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null; then
    missing+=("libfaketime (the tests that set the clock)")
    packages+=(libfaketime)
fi
[ "${#missing[@]}" -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    deploy/step.sh "installing ${packages[*]} for the tests" bash -c '
        apt-get update --quiet
        # The engine and the database are started by the tests, with folders of their own.
        printf "#!/bin/sh\nexit 101\n" >/tmp/perijove-no-services && chmod +x /tmp/perijove-no-services
        if [ ! -e /usr/sbin/policy-rc.d ]; then
            cp /tmp/perijove-no-services /usr/sbin/policy-rc.d
            trap "rm -f /usr/sbin/policy-rc.d" EXIT
        fi
        apt-get install --quiet --yes --no-install-recommends "$@"' -- "${packages[@]}" && exit 0
fi

echo "perijove: these tools of the tests are missing:" >&2
printf '  %s\n' "${missing[@]}" >&2
echo "On Debian or Ubuntu: sudo apt-get install ${packages[*]}" >&2
if [ "${CI:-}" = true ]; then
    exit 1
fi
echo "The tests that need them are skipped; those that set the clock fail." >&2
