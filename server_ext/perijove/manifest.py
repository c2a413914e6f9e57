"""The files a notebook probably reads, found without running it, and their content."""

from __future__ import annotations

import ast
import base64
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perijove.exceptions import NotebookError
from perijove.runner.parameters import SKIP
from perijove.types.jobs import InputFile

#: Most bytes of all the files of a version, so that they fit into one request; the platform may
#: allow less. Larger data belongs into the catalog or a shared folder.
MOST_BYTES = 40 * 2**20
#: Most files that are proposed, and most that one version keeps.
MOST_FILES = 1000
#: Most modules that are followed from import to import.
_MOST_MODULES = 200
#: Most names that are looked at in the folders which a notebook names.
_MOST_LOOKED_AT = 20_000
#: Longer strings are no names of files.
_LONGEST = 1024
#: Patterns with more folders to go through are left alone.
_MOST_WILD = 2
#: Folders of tools, and those that runs fill themselves.
_NOT_IN = frozenset({"__pycache__", "node_modules", "site-packages"})
_RESERVED = frozenset({"inputs", "outputs"})
#: What is called to make a path of its parts.
_MAKERS = frozenset({"Path", "PurePath", "join"})
#: Most parts of one path.
_DEEPEST = 20


class InputError(NotebookError):
    """A file cannot be kept with a notebook; ``path`` names it."""

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        super().__init__(message)


@dataclass(frozen=True)
class Candidate:
    """A file that a notebook probably reads."""

    path: str
    """Relative to the notebook's folder, with ``/``."""
    bytes: int
    why: str
    """What in the notebook names it, in a few words."""
    problem: str = ""
    """Why it cannot be kept all the same, so that runs will miss it."""


def propose(notebook: dict[str, Any], folder: Path) -> list[Candidate]:
    """Return the files in or below ``folder`` that code cells name or import, by path.

    Hidden files, caches, checkpoints, ``inputs/`` and ``outputs/`` are left out. Files above
    ``MOST_BYTES``, links that lead out of ``folder`` and files beside it have a ``problem``. Never
    raises for what a notebook holds.
    """
    return _Search(folder).run(notebook)


def missed(notebook: dict[str, Any], folder: Path) -> list[str]:
    """Say of each file that code cells name and that cannot be kept, why runs will miss it."""
    found = (one for one in propose(notebook, folder) if one.problem)
    return [f"'{one.path}' ({one.why}) is not kept: {one.problem}" for one in found]


def read(folder: Path, paths: Sequence[str]) -> list[InputFile]:
    """Read files for ``JobCreate.inputs``; ``paths`` are relative to ``folder``.

    Raises ``InputError`` for one that is not there, is no file, lies outside, or is too much.
    """
    root, left, files = folder.resolve(), MOST_BYTES, []
    for path in paths:
        content = _content(root, path, left)
        left -= len(content)
        files.append(InputFile(path=path, content=base64.b64encode(content).decode("ascii")))
    return files


class _Search:
    """One look through a notebook and the modules beside it."""

    def __init__(self, folder: Path) -> None:
        self._root = folder.resolve()
        self._found: dict[str, Candidate] = {}
        self._modules: list[Path] = []
        self._looked_at = 0

    def run(self, notebook: dict[str, Any]) -> list[Candidate]:
        cells = notebook.get("cells")
        for number, cell in enumerate(cells if isinstance(cells, list) else [], 1):
            if isinstance(cell, dict) and cell.get("cell_type") == "code" and not _skipped(cell):
                self._code(_source(cell), f"cell {number}")
        # It grows while it is walked: modules import modules.
        for module in self._modules:
            self._module(module)
        return sorted(self._found.values(), key=lambda one: one.path)

    def _code(self, source: str, where: str, *, package: Path | None = None) -> None:
        for path in re.findall(r"(?m)^\s*%run\s+(?:-\S+\s+)*([^\s;]+)", source):
            self._named(path.strip("'\""), f"%run in {where}")
        tree = _parse(source)
        if tree is None:
            return
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._import(node, where, package or self._root)
        for text in _texts(tree):
            self._named(text, f"named in {where}")

    def _module(self, path: Path) -> None:
        try:
            source = path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return
        where = path.relative_to(self._root).as_posix()
        self._code(source, where, package=path.parent)

    def _import(self, node: ast.Import | ast.ImportFrom, where: str, package: Path) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self._package(self._root, alias.name.split("."), where)
            return
        base = self._root
        if node.level:
            base = package
            for _ in range(node.level - 1):
                base = base.parent
            if not base.is_relative_to(self._root):
                return
        parts = node.module.split(".") if node.module else []
        for alias in node.names:
            self._package(base, [*parts, alias.name], where)

    def _package(self, base: Path, parts: Sequence[str], where: str) -> None:
        """Add the files that ``import a.b.c`` reads, as far as they lie below ``base``."""
        place = base
        for part in parts:
            place = place / part
            for path in (place / "__init__.py", place.with_name(f"{part}.py")):
                relative = os.path.relpath(path, self._root)
                is_new = path not in self._modules and len(self._modules) < _MOST_MODULES
                if self._add(relative, f"imported in {where}") and is_new:
                    self._modules.append(path)

    def _named(self, text: str, why: str) -> None:
        """Add what a string names: a file, the files of a folder, or those of a pattern."""
        text = text.removeprefix("./").rstrip("/")
        parts = text.split("/")
        is_path = text.isprintable() and len(text) <= _LONGEST and text[:1] not in ("/", "~")
        if not text or not is_path or "." in parts:
            return
        if ".." in parts:
            self._beside(text, why)
            return
        wild = [part for part in parts if any(mark in part for mark in "*?[")]
        try:
            if wild:
                if len(wild) <= _MOST_WILD and "**" not in parts and text != "*":
                    for path in self._root.glob(text):
                        self._add(os.path.relpath(path, self._root), why)
            elif (self._root / text).is_dir():
                for relative in self._below(text):
                    self._add(relative, why)
            else:
                self._add(text, why)
        except (OSError, ValueError):
            return

    def _beside(self, text: str, why: str) -> None:
        """Note a file that is there, but not below the notebook's folder."""
        path = Path(os.path.normpath(self._root / text))
        try:
            is_file = not path.is_relative_to(self._root) and path.is_file()
            size = path.stat().st_size if is_file else 0
        except (OSError, ValueError):
            return
        if is_file:
            self._refuse(text, size, why, "it is not below the notebook's folder.")

    def _refuse(self, path: str, size: int, why: str, problem: str) -> None:
        if path not in self._found and len(self._found) < MOST_FILES:
            self._found[path] = Candidate(path, size, why, problem)

    def _below(self, folder: str) -> Iterator[str]:
        top = self._root / folder
        if not top.resolve().is_relative_to(self._root):
            return
        for place, folders, files in os.walk(top, followlinks=False):
            folders[:] = sorted(name for name in folders if not _is_left_out(name))
            self._looked_at += len(folders) + len(files)
            if self._looked_at > _MOST_LOOKED_AT:
                return
            for name in sorted(files):
                yield os.path.relpath(Path(place, name), self._root)

    def _add(self, relative: str, why: str) -> bool:
        """Add one file; tell whether it is among the found ones."""
        if relative in self._found:
            return not self._found[relative].problem
        parts = relative.split("/")
        if parts[0] in _RESERVED or any(_is_left_out(part) for part in parts):
            return False
        if len(self._found) >= MOST_FILES:
            return False
        try:
            path = _inside(self._root, relative)
            status = path.stat()
        except InputError:
            self._refuse(relative, 0, why, "it is a link that leads out of the folder.")
            return False
        except (OSError, ValueError):
            return False
        if not stat.S_ISREG(status.st_mode):
            return False
        if status.st_size > MOST_BYTES:
            size = f"it has {status.st_size / 2**20:,.0f} MiB, more than a version keeps."
            self._refuse(relative, status.st_size, why, f"{size} Read it from the catalog.")
            return False
        self._found[relative] = Candidate(relative, status.st_size, why)
        return True


def _is_left_out(name: str) -> bool:
    return name.startswith(".") or name in _NOT_IN or name.endswith(".pyc")


def _inside(root: Path, relative: str) -> Path:
    """Return where ``relative`` really is; raises ``InputError`` when that is outside."""
    if relative.startswith("/") or ".." in relative.split("/"):
        raise InputError(relative, f"'{relative}' is not below the notebook's folder.")
    try:
        path = (root / relative).resolve(strict=True)
    except RuntimeError:
        raise InputError(relative, f"'{relative}' is a link to itself.") from None
    if not path.is_relative_to(root):
        raise InputError(relative, f"'{relative}' is a link that leads out of the folder.")
    return path


def _content(root: Path, relative: str, most: int) -> bytes:
    try:
        path = _inside(root, relative)
        # A named pipe would wait for its writer, so only what is open is asked what it is.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InputError(relative, f"'{relative}' is no file. Name the files in it.")
            content = file.read(most + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no name of a file"
        raise InputError(relative, f"'{relative}' cannot be read ({why}).") from None
    if len(content) > most:
        raise InputError(
            relative,
            f"With '{relative}' the files have more than {MOST_BYTES // 2**20} MiB. Choose fewer, "
            "and read large ones from the catalog or a shared folder.",
        )
    return content


def _skipped(cell: dict[str, Any]) -> bool:
    """Whether a run passes over the cell."""
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return isinstance(tags, list) and SKIP in tags


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _parse(source: str) -> ast.Module | None:
    """Parse a cell, without IPython's own lines; ``None`` for what is no Python."""
    if re.match(r"\s*%%(?!time\b|timeit\b|capture\b|prun\b)", source):
        return None
    plain = re.sub(r"(?m)^([ \t]*)[%!?].*$", r"\1pass", source)
    plain = re.sub(r"(?m)^([ \t]*\w+[ \t]*=[ \t]*)[%!].*$", r"\1None", plain)
    try:
        return ast.parse(plain)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _texts(tree: ast.Module) -> Iterator[str]:
    """Yield every path that the code has, and not the parts of it."""
    parts: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.BinOp | ast.Call) and id(node) not in parts:
            text = _path(node)
            if text:
                parts.update(id(part) for part in ast.walk(node))
                yield text


def _path(node: ast.expr, depth: int = 0) -> str | None:
    """Return the path that ``node`` is: ``"a"``, ``Path("a") / "b"``, ``join("a", "b")``."""
    if depth > _DEEPEST:
        return None
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.BinOp(op=ast.Div(), left=left, right=right):
            return _joined([left, right], depth)
        case ast.Call(func=ast.Name(id=name), args=args) if args:
            return _joined(args, depth) if name in _MAKERS else None
        case ast.Call(func=ast.Attribute(attr=name), args=args) if args:
            return _joined(args, depth) if name in _MAKERS else None
    return None


def _joined(nodes: Sequence[ast.expr], depth: int) -> str | None:
    parts = [_path(node, depth + 1) for node in nodes]
    if any(part is None for part in parts):
        return None
    return "/".join(part for part in parts if part and part != ".")
