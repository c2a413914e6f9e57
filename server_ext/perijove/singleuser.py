"""A user's Jupyter server, started with half the work: ``python -m perijove.singleuser``.

It is ``jupyterhub.singleuser``, without what that imports and never uses in a user's server:
the Hub's request handlers and database (SQLAlchemy, Alembic). What is imported and seldom used,
such as a parser of international addresses that takes a second to build, is imported on its first
use. When a release of theirs needs one of these after all, it is imported as ever.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

#: Stand-ins that are there while JupyterHub is imported, with the names that it takes from
#: them. A server only compares with these classes, and never sees one of their instances.
_UNUSED: dict[str, tuple[str, ...]] = {
    "jupyterhub.handlers": (),
    "jupyterhub.handlers.pages": ("HealthCheckHandler",),
    "jupyterhub.orm": (),
    "jupyterhub.roles": (),
    "sqlalchemy": (),
    "sqlalchemy.exc": ("SQLAlchemyError",),
}


#: What a server imports between its first module and its first answer.
_NEXT = (
    "jupyter_lsp",
    "jupyter_server_terminals",
    "jupyterlab.labapp",
    "notebook_shim.nbserver",
    "perijove.server.app",
)

#: Imported by others on the way, and needed by few of them later or never: checkers of formats in
#: JSON schemas, and a client of JupyterLab's listings. With the functions that are taken by name.
_POSTPONED: dict[str, tuple[str, ...]] = {
    "isoduration": ("parse_duration",),
    "requests": (),
    "rfc3986_validator": ("validate_rfc3986",),
    "rfc3987_syntax": ("is_valid_syntax",),
    "uri_template": ("validate",),
}

#: Where Python looks for time zones. It would ask its own build for that, whose record of 60 kB
#: is a module of its own.
_ZONES = "/usr/share/zoneinfo:/usr/lib/zoneinfo:/usr/share/lib/zoneinfo:/etc/zoneinfo"


def load() -> Callable[[], None]:
    """Import what a server needs; return what runs it with ``sys.argv`` and ``os.environ``."""
    for name, functions in _POSTPONED.items():
        _postpone(name, functions)
    before = set(sys.modules)
    with _without_collections(), _zones_known():
        try:
            with _stand_ins():
                module = importlib.import_module("jupyterhub.singleuser")
        except (ImportError, AttributeError):
            for name in set(sys.modules) - before:
                if name.partition(".")[0] == "jupyterhub":
                    del sys.modules[name]
            module = importlib.import_module("jupyterhub.singleuser")
        preload()
    main: Callable[[], None] = module.main
    return main


def preload() -> None:
    """Import what the server will before its first answer, where this image has it."""
    for name in _NEXT:
        with suppress(ImportError):
            importlib.import_module(name)


@contextmanager
def _without_collections() -> Iterator[None]:
    """Let the collector rest: imports make much that stays, and a tenth of their time was its.

    What is here afterwards stays until the end, so that later collections need not look at it.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _zones_known() -> Iterator[None]:
    """Say where time zones are while ``zoneinfo`` is imported, and to no process started later."""
    name = "PYTHONTZPATH"
    if name in os.environ:
        yield
        return
    os.environ[name] = _ZONES
    try:
        yield
    finally:
        del os.environ[name]


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Let imports of ``_UNUSED`` find next to nothing; later imports find the real modules."""
    added = []
    for name, classes in _UNUSED.items():
        if name in sys.modules:
            continue
        module = ModuleType(name)
        module.__path__ = []
        for each in classes:
            setattr(module, each, type(each, (Exception,), {}))
        sys.modules[name] = module
        added.append(name)
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)


class _Postponed(ModuleType):
    """Stands in for a module until something of it is needed."""

    def __getattr__(self, name: str) -> Any:
        # Asked for by whoever only looks through modules, as inspect and `from … import` do.
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def _real(self) -> ModuleType:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return importlib.import_module(self.__name__)

    def _later(self, function: str) -> Callable[..., Any]:
        return lambda *given, **named: getattr(self._real(), function)(*given, **named)


def _postpone(name: str, functions: Sequence[str]) -> None:
    """Import the module ``name`` when it is first used, not when it is imported.

    ``functions`` may be taken by name without being a use.
    """
    if name in sys.modules or importlib.util.find_spec(name) is None:
        return
    module = _Postponed(name)
    for function in functions:
        vars(module)[function] = module._later(function)
    if name == "isoduration":
        # jsonschema takes it by name too; it is a kind of ValueError.
        vars(module)["DurationParsingException"] = ValueError
    sys.modules[name] = module


if __name__ == "__main__":
    load()()
