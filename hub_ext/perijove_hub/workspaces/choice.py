"""What a start may ask for, and what it gets: one validation for every way to start.

The spawn page's form, the Hub's API with its JSON body and named servers all come through
``parse`` and ``resolve``; nothing that a user sends reaches the engine by another way.
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from perijove.types.base import Principal
from perijove.types.faults import first_fault
from perijove.types.workspaces import Interface, Profile
from perijove_hub.exceptions import Invalid
from perijove_hub.gpus import leases
from perijove_hub.images import service as images
from perijove_hub.settings import Settings, SizeSettings

_FIXES = {
    "image": "Write NAME or NAME@VERSION.",
    "size": "Write the name of a size; `perijove workspaces sizes` lists them.",
    "group": "Write the name of one of your groups.",
    "interface": f"Choose one of: {', '.join(Interface)}.",
    "idle_minutes": "Write whole minutes, such as 60.",
}
#: How people call what opens.
TITLES = {
    Interface.lab: "JupyterLab",
    Interface.notebook: "Notebook",
    Interface.terminal: "Terminal",
    Interface.code_server: "VS Code",
    Interface.rstudio: "RStudio",
}
#: Longest part of a wrong value that is repeated.
_SHOWN = 60


@dataclass(frozen=True)
class Choice:
    """What a workspace gets, decided by the server."""

    image: str | None
    """``NAME@VERSION``; null for Perijove's own Python environment, without Docker."""
    digest: str | None
    interface: Interface
    size: str
    limits: SizeSettings
    group: str | None
    """The group that is charged."""
    idle_minutes: int

    @property
    def summary(self) -> str:
        """Say it in a line: ``cpu@3 · small · JupyterLab``."""
        return " · ".join(part for part in (self.image, self.size, TITLES[self.interface]) if part)


def parse(options: object) -> Profile:
    """Read what somebody asks for; raises ``Invalid`` with field, value and fix."""
    if not isinstance(options, Mapping):
        raise Invalid("The options of a start are an object.", fix='Send {"size": "small"}.')
    for key in options:
        if key not in Profile.model_fields:
            raise _no_such_field(key, options[key])
    try:
        return Profile.model_validate(dict(options))
    except ValidationError as error:
        problem = first_fault(error)
        raise Invalid(
            problem.detail, field=problem.field, fix=_FIXES.get(problem.field or "", problem.fix)
        ) from None


def from_form(form: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Turn the spawn page's form into options; what is empty is left out.

    What no field of ours is stays, so that ``parse`` refuses it by name.
    """
    options: dict[str, Any] = {}
    for key, values in form.items():
        if key == "_xsrf":
            continue
        value: Any = values[0] if len(values) == 1 else list(values)
        if value == "":
            continue
        if key == "idle_minutes" and isinstance(value, str) and value.strip().isdecimal():
            value = int(value) if len(value) < 10 else value
        options[key] = value
    return options


def resolve(
    session: Session, settings: Settings, profile: Profile, who: Principal, *, local: bool
) -> Choice:
    """Decide what ``who`` gets for ``profile``. Raises ``Invalid`` with field, value and fix.

    ``local`` workspaces are processes beside the Hub: they have no image and no limits.
    """
    size = default_size(settings, who) if profile.size is None else profile.size
    limits = _limits(session, settings, size, who, local=local)
    reference: str | None = None
    digest: str | None = None
    offered: Sequence[str] = local_interfaces()
    if not local:
        version = images.startable(session, who, profile.image, settings)
        reference = images.reference(session, version)
        digest, offered = version.digest, version.interfaces
    return Choice(
        image=reference,
        digest=digest,
        interface=_interface(profile.interface, offered, reference),
        size=size,
        limits=limits,
        group=_group(profile.group, who),
        idle_minutes=_idle(settings, profile.idle_minutes, size, limits),
    )


def may_choose(size: SizeSettings, who: Principal) -> bool:
    """Tell whether a size is offered to ``who``."""
    return who.admin or "*" in size.groups or bool(set(size.groups) & set(who.groups))


def default_size(settings: Settings, who: Principal) -> str:
    """Return the size of who chooses none: the default, or the first that is theirs."""
    sizes, usual = settings.workspaces.sizes, settings.workspaces.default_size
    if may_choose(sizes[usual], who):
        return usual
    return next((name for name, size in sizes.items() if may_choose(size, who)), usual)


def most_idle(settings: Settings, size: SizeSettings) -> int:
    """Return the most idle minutes that a workspace of ``size`` can have."""
    idle = settings.workspaces.idle
    return min(idle.gpu_minutes, idle.most_minutes) if size.gpus else idle.most_minutes


def default_idle(settings: Settings, size: SizeSettings) -> int:
    """Return the idle minutes of a workspace of ``size`` whose user chose none."""
    idle = settings.workspaces.idle
    return idle.gpu_minutes if size.gpus else idle.minutes


def local_interfaces() -> list[str]:
    """Return what workspaces without Docker can open."""
    if importlib.util.find_spec("notebook") is None:
        return ["lab"]
    return ["lab", "notebook", "terminal"]


def _no_such_field(key: object, value: object) -> Invalid:
    known = list(Profile.model_fields)
    name = str(key)[:_SHOWN]
    near = difflib.get_close_matches(name, known, n=1)
    shown = repr(value)
    with_value = f" (with the value {shown})" if len(shown) <= _SHOWN else ""
    fix = f"Did you mean '{near[0]}'?" if near else f"A start takes: {', '.join(known)}."
    return Invalid(f"There is no field '{name}'{with_value}.", field=name, fix=fix)


def _limits(
    session: Session, settings: Settings, name: str, who: Principal, *, local: bool
) -> SizeSettings:
    sizes = settings.workspaces.sizes
    yours = [key for key, size in sizes.items() if may_choose(size, who)]
    listed = f"There are: {', '.join(yours)}." if yours else "Ask an administrator for one."
    size = sizes.get(name)
    if size is None:
        raise Invalid(f"There is no size '{name}'.", field="size", fix=listed)
    if name not in yours:
        groups = ", ".join(size.groups) or "nobody"
        raise Invalid(f"The size '{name}' is for {groups}, not for you.", field="size", fix=listed)
    if not local and not leases.possible(session, size.gpus):
        raise Invalid(
            f"The size '{name}' needs {size.gpus:g} GPUs, which this machine does not have.",
            field="size",
            fix="Choose a smaller one, or ask an administrator to look at [gpus].",
        )
    return size


def _interface(wanted: Interface | None, offered: Sequence[str], image: str | None) -> Interface:
    known = [Interface(name) for name in offered if name in Interface.__members__.values()]
    if wanted is None:
        return Interface.lab if Interface.lab in known or not known else known[0]
    if wanted in known:
        return wanted
    where = f"The image '{image}'" if image else "Perijove's own environment"
    has = ", ".join(known) or "none"
    raise Invalid(
        f"{where} has no interface '{wanted.value}'.", field="interface", fix=f"It has: {has}."
    )


def _group(wanted: str | None, who: Principal) -> str | None:
    if wanted is None:
        return min(who.groups, default=None)
    if wanted not in who.groups:
        yours = ", ".join(sorted(who.groups)) or "none"
        raise Invalid(
            f"'{wanted}' is not a group of yours.",
            field="group",
            fix=f"Name one of your groups: {yours}.",
        )
    return wanted


def _idle(settings: Settings, wanted: int | None, size: str, limits: SizeSettings) -> int:
    if wanted is None:
        return default_idle(settings, limits)
    least = min(settings.workspaces.idle.least_minutes, most_idle(settings, limits))
    most = most_idle(settings, limits)
    if not least <= wanted <= most:
        raise Invalid(
            f"'idle_minutes' is {wanted if abs(wanted) < 10**20 else 'too large'}, which is out "
            f"of bounds for the size '{size}'.",
            field="idle_minutes",
            fix=f"Choose {least} to {most} minutes.",
        )
    return wanted
