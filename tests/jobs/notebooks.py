"""Notebooks as nbformat JSON, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def code(source: str, *, tags: Sequence[str] = ()) -> dict[str, Any]:
    """Make a code cell."""
    metadata = {"tags": list(tags)} if tags else {}
    return {
        "cell_type": "code",
        "source": source,
        "metadata": metadata,
        "outputs": [],
        "execution_count": None,
    }


def markdown(source: str, *, tags: Sequence[str] = ()) -> dict[str, Any]:
    """Make a text cell."""
    metadata = {"tags": list(tags)} if tags else {}
    return {"cell_type": "markdown", "source": source, "metadata": metadata}


def notebook(*cells: dict[str, Any], language: str = "python") -> dict[str, Any]:
    """Make a notebook for the ``python3`` kernel."""
    numbered = [cell | {"id": f"cell-{number}"} for number, cell in enumerate(cells)]
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python", "language": language}
        },
        "cells": numbered,
    }
