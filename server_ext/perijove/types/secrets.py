"""Secrets of jobs: a value that a run reads and that nobody reads back."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from perijove.types.base import Wire

#: How a secret is called: part of an environment variable's name.
PATTERN = r"^[A-Z][A-Z0-9_]{0,62}$"
#: The same for people.
RULE = "capital letters, digits and '_', a letter first; 1 to 63 characters"

#: Before a secret's name, the environment variable in which a run finds its value.
VARIABLE = "PERIJOVE_SECRET_"

#: Fewest characters of a value: shorter ones occur everywhere, so none could be told from other
#: output and taken out of it.
LEAST = 4
#: Most bytes of a value.
MOST_BYTES = 64 * 1024


class SecretCreate(Wire):
    """Keep a secret, or give the one of that name another value."""

    # Its length is checked by the service: errors of a field repeat short values.
    value: str = Field(repr=False, json_schema_extra={"format": "password", "writeOnly": True})
    """Text of at least 4 characters and at most 64 KiB; it is never shown again."""


class Secret(Wire):
    """A secret of the caller's, without its value."""

    name: str
    created_at: datetime
    updated_at: datetime
    """When its value was last set."""
