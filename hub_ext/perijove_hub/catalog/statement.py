"""A statement and its values, checked before any database sees them."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from perijove import placeholders
from perijove.types.catalog import Query
from perijove_hub.exceptions import Invalid


@dataclass(frozen=True)
class Statement:
    """One statement whose placeholders and parameters match."""

    sql: str
    parameters: dict[str, Any]

    @classmethod
    def of(cls, query: Query) -> Statement:
        """Check a query; raises ``Invalid`` naming the parameter at fault."""
        if not placeholders.is_single(query.sql):
            raise Invalid(
                "There is more than one statement.", field="sql", fix="Send one at a time."
            )
        wanted = placeholders.names(query.sql)
        for name in wanted:
            if name not in query.parameters:
                raise Invalid(
                    f"The statement uses :{name}, and no value was given for it.",
                    field=f"parameters.{name}",
                    fix=_nearest(name, set(query.parameters) - set(wanted))
                    or f"Give '{name}' a value.",
                )
        for name, value in query.parameters.items():
            if name not in wanted:
                raise Invalid(
                    f"The statement has no :{name} for the parameter '{name}'.",
                    field=f"parameters.{name}",
                    fix=_nearest(name, set(wanted)) or "Leave it out.",
                )
            if isinstance(value, dict):
                raise Invalid(
                    f"The parameter '{name}' is an object.",
                    field=f"parameters.{name}",
                    fix="Give a number, text, true, false, null or a list.",
                )
        return cls(query.sql.strip().rstrip(";").rstrip(), query.parameters)

    def written(
        self, write: Callable[[str], str], *, literal: Callable[[str], str] = lambda text: text
    ) -> str:
        """Return the text with each placeholder as ``write(name)``."""
        return placeholders.rewrite(self.sql, write, literal=literal)


def _nearest(name: str, others: set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(others), n=1)
    return f"Did you mean '{near[0]}'?" if near else ""
