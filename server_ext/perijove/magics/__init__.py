"""The magics of ``%load_ext perijove``: names first, code on first use.

Registering must cost next to nothing, because every kernel does it at start. So the shell gets
a stub per name, and the first call imports ``perijove.magics.MODULE``, makes
``CLASS(shell)`` once, and calls the method with the magic's name: ``method(line)`` for a line,
``method(line, cell)`` for a cell. Such a class is plain Python; it needs no IPython decorator.

A ``PerijoveError`` that leaves a magic is shown as one line and still fails the cell.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from perijove.exceptions import PerijoveError, Unfit

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

#: Module and class that hold each magic's method.
CELL_MAGICS = {
    "sql": ("catalog", "CatalogMagics"),
    "experiment": ("experiments", "ExperimentMagics"),
}
LINE_MAGICS = {
    "sql": ("catalog", "CatalogMagics"),
    "catalog": ("catalog", "CatalogMagics"),
    "param": ("experiments", "ExperimentMagics"),
    "metric": ("experiments", "ExperimentMagics"),
    "artifact": ("experiments", "ExperimentMagics"),
    "freeze": ("images", "ImageMagics"),
    "promote": ("jobs", "JobMagics"),
    "job": ("jobs", "JobMagics"),
    "deploy": ("models", "ModelMagics"),
    "undeploy": ("models", "ModelMagics"),
    "models": ("models", "ModelMagics"),
    "secrets": ("secrets", "SecretMagics"),
    "share": ("shares", "ShareMagics"),
}
#: The name ``%%sql`` takes where another extension already owns it.
SQL_BESIDE_ANOTHER = "pjsql"

#: A statement is data: ``{...}`` and ``$name`` in it are never pasted, only ``:name`` bound.
_NOT_EXPANDED = {("line", "sql")}


def register(shell: InteractiveShell) -> None:
    """Give ``shell`` the magics; nothing of theirs is imported yet."""
    rooms: dict[str, Any] = {}

    def room(module: str, holder: str) -> Any:
        if holder not in rooms:
            loaded = importlib.import_module(f"perijove.magics.{module}")
            rooms[holder] = getattr(loaded, holder)(shell)
        return rooms[holder]

    taken = _sql_is_taken(shell)
    if taken:
        print(  # noqa: T201 - the one line a person must see
            "Perijove: another extension owns %%sql, so Perijove's is %%pjsql here."
        )
    for kind, names in (("cell", CELL_MAGICS), ("line", LINE_MAGICS)):
        for name, (module, holder) in names.items():
            stub = _stub(kind, name, partial(room, module, holder))
            shown = SQL_BESIDE_ANOTHER if name == "sql" and taken else name
            shell.register_magic_function(stub, magic_kind=kind, magic_name=shown)


def _sql_is_taken(shell: InteractiveShell) -> bool:
    """Tell whether someone else's ``%sql`` or ``%%sql`` is loaded."""
    magics = shell.magics_manager.magics
    found = [magics[kind].get("sql") for kind in ("line", "cell")]
    return any(magic is not None and not hasattr(magic, "_perijove") for magic in found)


def _stub(kind: str, name: str, room: Callable[[], Any]) -> Any:
    """Make the function the shell calls for one magic."""

    def run(*given: str) -> Any:
        from pydantic import ValidationError

        from perijove.magics.display import one_line

        try:
            return getattr(room(), name)(*given)
        except PerijoveError as error:
            raise one_line(error) from None
        except ValidationError as error:
            raise one_line(Unfit.of(error)) from None

    def line_magic(line: str) -> Any:
        return run(line)

    def cell_magic(line: str, cell: str) -> Any:
        return run(line, cell)

    stub: Any = cell_magic if kind == "cell" else line_magic
    stub.__name__ = name
    stub.__doc__ = f"Perijove's {'%%' if kind == 'cell' else '%'}{name}."
    stub._perijove = True
    if (kind, name) in _NOT_EXPANDED:
        stub._ipython_magic_no_var_expand = True
    return stub
