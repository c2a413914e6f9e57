"""The form of the spawn page, which JupyterHub asks the spawner for."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, Template

TEMPLATES = Path(__file__).with_name("templates")


async def form(spawner: Any) -> str:
    """Render what can be started now, with the last choice selected."""
    return _template().render(offer=await spawner.offer())


@cache
def _template() -> Template:
    # The Hub's own environment is made after the configuration is read.
    loader = FileSystemLoader(TEMPLATES)
    return Environment(loader=loader, autoescape=True).get_template("profile_form.html")
