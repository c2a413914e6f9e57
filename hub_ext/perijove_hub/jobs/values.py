"""Values for a version's parameters, refused as the API refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from perijove.exceptions import ParameterError
from perijove.runner.values import check
from perijove.types.jobs import Parameter
from perijove_hub.exceptions import Invalid
from perijove_hub.secrets import values as secrets


def checked(
    parameters: Sequence[Parameter], given: Mapping[str, Any], *, field: str
) -> dict[str, Any]:
    """Return checked values; raises ``Invalid`` that names ``field`` and the parameter."""
    try:
        return check(parameters, given)
    except ParameterError as error:
        raise Invalid(str(error), field=f"{field}.{error.name}") from None


def submitted(
    session: Session,
    owner: str,
    parameters: Sequence[Parameter],
    given: Mapping[str, Any],
    *,
    field: str = "parameters",
) -> dict[str, Any]:
    """Return the checked values of a run that acts as ``owner``, who has the secrets they name.

    Raises ``Invalid`` as ``checked`` does.
    """
    values = checked(parameters, given, field=field)
    secrets.check(session, owner, secrets.named(parameters, values), field=field)
    return values
