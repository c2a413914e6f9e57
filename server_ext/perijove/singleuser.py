"""A user's Jupyter server, started with half the work: ``python -m perijove.singleuser``.

It is ``jupyterhub.singleuser``, without what that imports and never uses in a user's server:
the Hub's request handlers and database (SQLAlchemy, Alembic), and a parser of international
addresses that takes a second to build. When a release of theirs needs one of these after all,
it is imported as ever.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

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


def load() -> Callable[[], None]:
    """Import what a server needs; return what runs it with ``sys.argv`` and ``os.environ``."""
    _postpone_address_parser()
    before = set(sys.modules)
    try:
        with _stand_ins():
            module = importlib.import_module("jupyterhub.singleuser")
    except (ImportError, AttributeError):
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == "jupyterhub":
                del sys.modules[name]
        module = importlib.import_module("jupyterhub.singleuser")
    main: Callable[[], None] = module.main
    return main


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


def _postpone_address_parser() -> None:
    """Build the grammar of ``rfc3987_syntax`` when an address is checked, not on import.

    ``jsonschema`` imports it for the formats ``iri`` and ``iri-reference``.
    """
    name = "rfc3987_syntax"
    if name in sys.modules or importlib.util.find_spec(name) is None:
        return
    module = ModuleType(name)

    def is_valid_syntax(term: str, value: str) -> bool:
        if sys.modules.get(name) is module:
            del sys.modules[name]
        valid: bool = importlib.import_module(name).is_valid_syntax(term, value)
        return valid

    vars(module)["is_valid_syntax"] = is_valid_syntax
    sys.modules[name] = module


if __name__ == "__main__":
    load()()
