"""The secrets of one run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove.types.jobs import Parameter, ParameterType
from perijove.types.secrets import VARIABLE
from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid
from perijove_hub.secrets.sealing import KEY, Sealer, WrongKey
from perijove_hub.store.models import SecretRow

#: Most bytes that the secrets of one run may have: a process takes no endless environment.
MOST_BYTES = 512 * 1024


def named(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, str]:
    """Map the parameters that are secrets to the names of those that a run with ``values`` reads.

    ``values`` are what the run was given; the notebook's defaults count for the others.
    """
    found = {
        parameter.name: values.get(parameter.name, parameter.default)
        for parameter in parameters
        if parameter.type is ParameterType.secret
    }
    return {parameter: name for parameter, name in found.items() if name is not None}


def check(
    session: Session, owner: str, wanted: Mapping[str, str], *, field: str = "parameters"
) -> None:
    """See that ``owner`` has the secrets ``wanted``, by parameter.

    Raises ``Invalid``, which names the parameter.
    """
    missing = set(wanted.values()) - _kept(session, owner, wanted.values()).keys()
    for parameter, name in wanted.items():
        if name in missing:
            raise _gone(owner, name, field=f"{field}.{parameter}")


def of_run(
    session: Session, context: Context, owner: str, names: Collection[str]
) -> dict[str, str]:
    """Return ``owner``'s secrets for a workload: values by environment variable.

    ``names`` are those of ``named``. Raises ``Invalid`` for one that is gone, cannot be opened
    with the key here, or that is too much for one run.
    """
    kept = _kept(session, owner, names)
    sealer = Sealer(context.data)
    found = {}
    for name in sorted(set(names)):
        if name not in kept:
            raise _gone(owner, name, field=None)
        try:
            found[VARIABLE + name] = sealer.open(kept[name], owner=owner, name=name)
        except WrongKey:
            raise Invalid(
                f"The secret '{name}' cannot be opened: it was kept with another key.",
                fix=f"Set it again, or give every worker the same file secrets/{KEY}.",
            ) from None
    if sum(len(value.encode()) for value in found.values()) > MOST_BYTES:
        raise Invalid(
            f"The run's secrets have more than {MOST_BYTES // 1024} KiB together.",
            fix="Keep large ones elsewhere, and a key to them here.",
        )
    return found


def _kept(session: Session, owner: str, names: Collection[str]) -> dict[str, str]:
    rows = session.execute(
        select(SecretRow.name, SecretRow.sealed).where(
            SecretRow.owner == owner, SecretRow.name.in_(list(names))
        )
    )
    return {row.name: row.sealed for row in rows}


def _gone(owner: str, name: str, *, field: str | None) -> Invalid:
    return Invalid(
        f"{owner} has no secret '{name}'.",
        field=field,
        fix=f"Keep one of that name: `perijove secrets set {name}`.",
    )
