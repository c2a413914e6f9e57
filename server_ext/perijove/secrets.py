"""Secrets of jobs: ``put``, ``list``, ``delete``, and ``secret`` to read one in a notebook.

A run finds the value of each secret that its parameters name in an environment variable; no
notebook, record or log holds it. Importing this loads nothing heavy.
"""

from __future__ import annotations

import builtins
import os
import re
import warnings
from typing import TYPE_CHECKING, TypeAlias

from perijove.exceptions import PerijoveError

if TYPE_CHECKING:
    from perijove.types import secrets as types

__all__ = ["Secret", "delete", "list", "put", "secret"]

#: Declares a parameter whose value is a secret: ``token: perijove.Secret = "API_TOKEN"``. Runs are
#: given names of secrets, and the notebook gets the value, which is text.
Secret: TypeAlias = str


def secret(name: str) -> str:
    """Return the value of a secret: from the environment, or else asked for at the keyboard.

    As the default of a parameter, it lets a notebook work alike by hand and as a job. A run that
    was given another secret instead gets an empty text, with a warning. Raises
    ``PerijoveError`` for what is no name.
    """
    from perijove.types.secrets import PATTERN, RULE, VARIABLE

    if not re.fullmatch(PATTERN, name):
        # Perhaps a value, which is why it is not repeated here.
        raise PerijoveError(f"That is not the name of a secret ({RULE}).")
    value = os.environ.get(VARIABLE + name)
    if value is not None:
        return value
    if "PERIJOVE_RUN_ID" in os.environ:
        warnings.warn(f"This run was not given the secret '{name}'.", stacklevel=2)
        return ""
    from getpass import getpass

    return getpass(f"{name}: ")


def put(name: str, value: str | None = None) -> types.Secret:
    """Keep a secret of yours, or give it another value; left out, it is asked for."""
    from perijove.client import Client
    from perijove.types.secrets import Secret as Kept
    from perijove.types.secrets import SecretCreate

    if value is None:
        from getpass import getpass

        value = getpass(f"{name}: ")
    if not isinstance(value, str):
        raise PerijoveError("A secret's value is text.")
    with Client() as client:
        return client.put(Kept, _address(name), SecretCreate(value=value))


def list() -> builtins.list[types.Secret]:  # noqa: A001
    """Return your secrets by name, without their values."""
    from perijove.client import Client
    from perijove.types.secrets import Secret as Kept

    with Client() as client:
        return [*client.pages(Kept, "/secrets")]


def delete(name: str) -> None:
    """Delete a secret of yours; runs that name it do not start any more."""
    from perijove.client import Client

    with Client() as client:
        client.delete(_address(name))


def _address(name: str) -> str:
    from urllib.parse import quote

    return f"/secrets/{quote(name, safe='')}"
