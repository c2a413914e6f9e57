"""What a build does: each step one command in a container, made of a checked specification.

Nothing a person wrote reaches a shell as code: the scripts are constant, packages are arguments
behind ``--``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement

from perijove.types.images import ImageSpec
from perijove_hub.exceptions import Invalid

#: Where a step finds the secret files; nothing of this folder is kept in the image.
SECRETS = "/run/perijove"
CA, PIP_CONFIG, APT_SOURCES = "ca.crt", "pip.conf", "sources.list"

#: The label of an image that has conda: the path of the program.
CONDA_LABEL = "perijove.conda"

_BEGIN = f"""
set -eu
umask 022
secrets={SECRETS}
TMPDIR=$(mktemp -d /var/tmp/build.XXXXXX)
HOME=$TMPDIR
export TMPDIR HOME
trap 'rm -rf "$TMPDIR"' EXIT
"""

_APT = (
    _BEGIN
    + f"""
export DEBIAN_FRONTEND=noninteractive
apt() {{
    if [ -e "$secrets/{APT_SOURCES}" ]; then
        set -- -o "Dir::Etc::SourceList=$secrets/{APT_SOURCES}" -o Dir::Etc::SourceParts=- "$@"
    fi
    if [ -e "$secrets/{CA}" ]; then
        set -- -o "Acquire::https::CAInfo=$secrets/{CA}" "$@"
    fi
    apt-get -q -o Dpkg::Use-Pty=0 -o APT::Install-Recommends=0 -o Acquire::Retries=2 "$@"
}}
apt update
apt install --yes -- "$@"
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log \\
    /var/cache/debconf/*-old
"""
)

_PIP = (
    _BEGIN
    + f"""
export PIP_USER=0 PIP_NO_INPUT=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
export PIP_PROGRESS_BAR=off PIP_ROOT_USER_ACTION=ignore
if [ -e "$secrets/{PIP_CONFIG}" ]; then export PIP_CONFIG_FILE="$secrets/{PIP_CONFIG}"; fi
if [ -e "$secrets/{CA}" ]; then export PIP_CERT="$secrets/{CA}"; fi
python -m pip install -- "$@"
"""
)

_CONDA = (
    _BEGIN
    + f"""
if [ -e "$secrets/{CA}" ]; then
    export CONDA_SSL_VERIFY="$secrets/{CA}" MAMBA_SSL_VERIFY="$secrets/{CA}"
fi
conda=$1
shift
"$conda" install --yes -- "$@"
"$conda" clean --all --yes
"""
)


@dataclass(frozen=True)
class Step:
    """One command whose result is kept as an image."""

    name: str
    script: str
    arguments: tuple[str, ...]
    secrets: tuple[str, ...]
    """The secret files it sees, of those that are configured."""

    @property
    def command(self) -> list[str]:
        """What runs, without a shell reading the arguments."""
        return ["/bin/sh", "-c", self.script, self.name, *self.arguments]

    def key(self, parent: str) -> str:
        """Address the result of this step on the image ``parent``: 40 hexadecimal digits."""
        content = json.dumps([parent, self.name, self.script, self.arguments])
        return hashlib.sha256(content.encode()).hexdigest()[:40]


def requirements(spec: ImageSpec) -> list[str]:
    """Return every pip requirement, each once, as packaging writes it.

    Raises ``Invalid`` for options, paths, addresses and what is no requirement.
    """
    found = [_requirement(text, "spec.pip") for text in spec.pip]
    for number, line in enumerate(spec.requirements.splitlines(), 1):
        text = re.sub(r"(^|\s+)#.*$", "", line).strip()
        if text:
            found.append(_requirement(text, "spec.requirements", f"line {number}: "))
    return list(dict.fromkeys(found))


def plan(spec: ImageSpec, labels: Mapping[str, str]) -> list[Step]:
    """List the steps on a base that carries ``labels``; raises ``Invalid``."""
    steps = []
    if spec.apt:
        steps.append(Step("apt", _APT, tuple(sorted(set(spec.apt))), (CA, APT_SOURCES)))
    if found := requirements(spec):
        steps.append(Step("pip", _PIP, tuple(found), (CA, PIP_CONFIG)))
    if spec.conda:
        conda = labels.get(CONDA_LABEL, "")
        if not re.fullmatch(r"/[A-Za-z0-9._/-]+", conda):
            raise no_conda(spec)
        steps.append(Step("conda", _CONDA, (conda, *sorted(set(spec.conda))), (CA,)))
    return steps


def no_conda(spec: ImageSpec) -> Invalid:
    """Make the error for conda packages on a base without conda."""
    return Invalid(
        f"The base '{spec.base}' has no conda, so it takes no conda packages.",
        field="spec.conda",
        fix="Name them under 'pip' or 'apt', or choose a base with conda.",
    )


def _requirement(text: str, field: str, where: str = "") -> str:
    shown = text if len(text) <= 80 else f"{text[:80]}…"
    if text.startswith("-"):
        raise Invalid(
            f"{where}'{shown}' is an option, and builds take requirements only.",
            field=field,
            fix="Leave it out; mirrors and certificates are set by the administrator.",
        )
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise Invalid(
            f"{where}'{shown}' is not a requirement.",
            field=field,
            fix="Write NAME, NAME>=1.2 or NAME[EXTRA]==1.2; no paths and no addresses.",
        ) from None
    if requirement.url is not None:
        raise Invalid(
            f"{where}'{requirement.name}' is to come from an address, and builds take packages "
            "from the index only.",
            field=field,
            fix=f"Write '{requirement.name}' with a version instead.",
        )
    return str(requirement)
