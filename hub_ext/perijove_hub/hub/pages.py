"""The form of the spawn page, and what comes back from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, Template

from perijove_hub.exceptions import Invalid
from perijove_hub.hub.cannot import CannotStart
from perijove_hub.workspaces import choice as choosing

TEMPLATES = Path(__file__).with_name("templates")


async def form(spawner: Any) -> str:
    """Render what can be started now."""
    wanted, spawner.wanted = spawner.wanted, None
    return _template().render(offer=await spawner.offer(wanted))


def options_from_form(form: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Read the spawn page's form; what is wrong with it is said at once, on the page."""
    options = choosing.from_form(form)
    try:
        choosing.parse(options)
    except Invalid as problem:
        raise CannotStart.of(problem) from None
    return options


def accept_options(spawner: Any, options: dict[str, Any]) -> None:
    """Tell the Hub that options are taken; ``start`` checks them, whoever sent them."""


@cache
def _template() -> Template:
    # The Hub's own environment is made after the configuration is read.
    loader = FileSystemLoader(TEMPLATES)
    return Environment(loader=loader, autoescape=True).get_template("profile_form.html")
