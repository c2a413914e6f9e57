"""Names of deployments: made from a model's, and what to say when there is none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from perijove_hub.exceptions import Invalid, NotFound


def derived(model: str) -> str:
    """Make a deployment's name of a model's: ``Breast Cancer (v2)`` → ``breast-cancer-v2``.

    Raises ``Invalid`` when nothing is left of it.
    """
    name = re.sub(r"[^a-z0-9._-]+", "-", model.lower()).strip("-._")[:63].rstrip("-._")
    if not name:
        raise Invalid(
            f"No deployment name can be made of the model's name '{model}'.",
            field="name",
            fix="Give one: lower-case letters, digits, '.', '_' and '-'.",
        )
    return name


def unknown_deployment(name: str, known: Sequence[str]) -> NotFound:
    """Build the error for a name nothing the caller may see is deployed under."""
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if nearest:
        fix = f"Did you mean '{nearest[0]}'?"
    elif known:
        shown = ", ".join(sorted(known)[:20])
        fix = f"Deployments you may call: {shown}."
    else:
        fix = "Deploy a model first: %deploy MODEL --version N."
    return NotFound(f"Nothing is deployed as '{name}'.", field="name", fix=fix)
