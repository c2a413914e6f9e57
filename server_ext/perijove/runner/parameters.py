"""Read a notebook's parameters from the cell tagged ``parameters``, without running it."""

from __future__ import annotations

import ast
import datetime
import io
import json
import math
import re
import tokenize
from collections.abc import Iterator
from typing import Any

from perijove.exceptions import NotebookError, ParameterError
from perijove.runner.annotations import Declared, declared, inferred
from perijove.runner.values import fit
from perijove.types import secrets
from perijove.types.jobs import Inspection, Parameter, ParameterType

TAG = "parameters"
#: Cells with this tag are passed over by the runner.
SKIP = "skip-execution"

#: How people write the two types, with ``from datetime import …``, ``import datetime`` or
#: ``import datetime as dt``.
_DATES = re.compile(r"(?:\w+\.)?(date|datetime)(\.fromisoformat)?")

#: How the default of a secret is written when notebooks are to read it too: it is no value.
_SECRET = re.compile(r"(?:perijove\.)?secret")

#: Comments that are meant for programs, or head the cell.
_NO_HELP = re.compile(
    r"(noqa|nosec|%%|(type|pylint|pragma|fmt|ruff|mypy) ?:|param(eter)?s? ?:?$)", re.IGNORECASE
)

#: Most characters of the cell: every list of jobs carries what it declares.
MOST_CHARACTERS = 50_000

NO_CELL = (
    "No cell is tagged 'parameters', so every run is the same. To give runs parameters, put "
    "their defaults into one cell and tag the cell 'parameters' (Property Inspector → Cell Tags)."
)


def inspect(notebook: Any) -> Inspection:
    """Read the parameters of ``notebook``, nbformat 4 JSON.

    Raises ``NotebookError`` when it is no notebook, or its parameters cell cannot be read.
    """
    cells = _cells(notebook)
    metadata = _object(notebook.get("metadata"))
    named = _object(metadata.get("kernelspec")).get("name")
    kernel = named if isinstance(named, str) and named else None
    tagged = [(number, cell) for number, cell in enumerate(cells, 1) if _is_tagged(cell)]
    if len(tagged) > 1:
        numbers = " and ".join(str(number) for number, _ in tagged[:2])
        more = f", and {len(tagged) - 2} more," if len(tagged) > 2 else ""
        raise NotebookError(
            f"Cells {numbers}{more} are tagged 'parameters'. Keep the tag on one of them."
        )
    if not tagged:
        return Inspection(parameters=[], warnings=[NO_CELL], kernel=kernel)
    language = _language(metadata)
    if language != "python":
        warning = f"Parameters are read from Python notebooks only; this one is in {language}."
        return Inspection(parameters=[], warnings=[warning], kernel=kernel)
    number, cell = tagged[0]
    if cell.get("cell_type") != "code":
        raise NotebookError(
            f"Cell {number} is tagged 'parameters' but holds no code. Make it a code cell."
        )
    parameters, warnings = read_cell(_source(cell), number)
    return Inspection(parameters=parameters, warnings=warnings, kernel=kernel)


def read_cell(source: str, number: int = 1) -> tuple[list[Parameter], list[str]]:
    """Read the assignments of one cell and what cannot be offered in a form.

    Raises ``NotebookError`` with the line of a syntax error.
    """
    tree, source = _parse(source, number)
    behind, above = _comments(source)
    found: dict[str, Parameter] = {}
    warnings: list[str] = []
    for target, annotation, value in _assignments(tree, warnings):
        declaration = declared(annotation) if annotation is not None else None
        last = _last_line(value or annotation or target)
        help_text = behind.get(last) or above.get(target.lineno, "")
        parameter, warning = _parameter(target.id, declaration, value, help_text=help_text)
        found[target.id] = parameter
        if warning:
            warnings.append(warning)
    return list(found.values()), warnings


def _cells(notebook: Any) -> list[dict[str, Any]]:
    if not isinstance(notebook, dict) or "nbformat" not in notebook:
        raise NotebookError(
            "This is not a notebook: it has no 'nbformat'. Choose a file that Jupyter saved "
            "(.ipynb)."
        )
    version = notebook["nbformat"]
    if not isinstance(version, int) or version < 4:
        raise NotebookError(
            f"The notebook has format {version}; Perijove needs 4. Open and save it in "
            "JupyterLab, which upgrades it."
        )
    cells = notebook.get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise NotebookError("This is not a notebook: it has no list of cells.")
    return cells


def _object(value: Any) -> dict[str, Any]:
    """Return ``value`` where it is an object, as it should be."""
    return value if isinstance(value, dict) else {}


def _is_tagged(cell: dict[str, Any]) -> bool:
    tags = _object(cell.get("metadata")).get("tags")
    return isinstance(tags, list) and TAG in tags


def _language(metadata: dict[str, Any]) -> str:
    spec = _object(metadata.get("kernelspec")).get("language")
    name = spec or _object(metadata.get("language_info")).get("name") or "python"
    return str(name).lower()


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _parse(source: str, number: int) -> tuple[ast.Module, str]:
    """Parse a cell; where IPython's own lines (``%…``, ``!…``) are in the way, without them."""
    if len(source) > MOST_CHARACTERS:
        raise NotebookError(
            f"The parameters cell (cell {number}) has {len(source):,} characters; at most "
            f"{MOST_CHARACTERS:,} make a form. Move data into another cell, or into a file."
        )
    plain = re.sub(r"(?m)^[%!].*$", "pass", source)
    for text in (source, plain):
        try:
            return ast.parse(text), text
        except SyntaxError as error:
            problem: Exception = error
        except (ValueError, RecursionError, MemoryError) as error:
            problem = error
    line = getattr(problem, "lineno", None)
    where = f", line {line}" if line else ""
    what = getattr(problem, "msg", "it cannot be read")
    raise NotebookError(f"The parameters cell (cell {number}{where}) is not valid Python: {what}.")


def _comments(source: str) -> tuple[dict[int, str], dict[int, str]]:
    """Map line numbers to the comment that ends them, and to the comment right above them.

    A ``#`` inside a string is none, and what comments tell programs helps nobody.
    """
    behind: dict[int, str] = {}
    alone: dict[int, str] = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                text = token.string.lstrip("#").strip()
                kept = behind if token.line[: token.start[1]].strip() else alone
                kept[token.start[0]] = "" if _NO_HELP.match(text) else text
    except (tokenize.TokenError, SyntaxError):
        pass
    above: dict[int, str] = {}
    for line in sorted(alone):
        above[line + 1] = f"{above.pop(line, '')} {alone[line]}".strip()
    return behind, above


def _last_line(node: ast.expr) -> int:
    return node.end_lineno or node.lineno


def _assignments(
    tree: ast.Module, warnings: list[str]
) -> Iterator[tuple[ast.Name, ast.expr | None, ast.expr | None]]:
    """Yield name, annotation and value of every top-level assignment to one name."""
    for statement in tree.body:
        match statement:
            case ast.AnnAssign(target=ast.Name() as target):
                yield target, statement.annotation, statement.value
            case ast.Assign(targets=targets):
                for one in targets:
                    if isinstance(one, ast.Name):
                        yield one, None, statement.value
                    else:
                        warnings.append(
                            f"Line {statement.lineno}: '{ast.unparse(one)}' is no single name, "
                            "so not a parameter. Assign each name on its own."
                        )


def _parameter(
    name: str, declaration: Declared | None, value: ast.expr | None, *, help_text: str
) -> tuple[Parameter, str | None]:
    """Make one parameter, with a warning when its default cannot be shown."""
    if value is None:
        declaration = declaration or Declared(ParameterType.any)
        return _made(name, declaration, required=True, help_text=help_text), declaration.warning
    is_secret = declaration is not None and declaration.type is ParameterType.secret
    try:
        default, kind = _literal(value)
    except ValueError:
        found = declaration or Declared(ParameterType.any)
        # What computes a secret by hand, such as a question at the keyboard, no run can do.
        return _made(name, found, required=is_secret, help_text=help_text), (
            f"'{name}' has a default that is computed, so a form cannot show it; "
            f"a run {'must' if is_secret else 'may still'} give another value."
        )
    if declaration is None:
        return _made(name, inferred(kind, default), default=default, help_text=help_text), None
    parameter = _made(name, declaration, default=default, help_text=help_text)
    if default is None:
        # `x: int = None` is what people write for `x: int | None = None`.
        parameter.nullable = True
    elif is_secret:
        _check_secret(name, default)
    else:
        return parameter, declaration.warning or _misfit(parameter)
    return parameter, declaration.warning


def _misfit(parameter: Parameter) -> str | None:
    """Keep a default as its type has it; one that is of another is no default, with a warning."""
    try:
        parameter.default = fit(parameter, parameter.default)
    except ParameterError:
        written, parameter.default = parameter.default, None
        return (
            f"'{parameter.name}' is declared as {parameter.type}, and its default "
            f"{json.dumps(written)[:80]} is not one, so a form does not show it."
        )
    return None


def _check_secret(name: str, default: Any) -> None:
    if not isinstance(default, str) or not re.fullmatch(secrets.PATTERN, default):
        # The value itself, perhaps, which is why it is not repeated here.
        raise NotebookError(
            f"'{name}' is a secret, and its default is not the name of one ({secrets.RULE}). "
            "Never write the value itself into a notebook: keep it with "
            "`perijove secrets set NAME`, and write the name here."
        )


def _made(
    name: str,
    found: Declared,
    *,
    default: Any = None,
    required: bool = False,
    help_text: str = "",
) -> Parameter:
    return Parameter(
        name=name,
        type=found.type,
        default=default,
        required=required,
        nullable=found.nullable,
        choices=list(found.choices),
        help=help_text,
    )


def _literal(node: ast.expr) -> tuple[Any, ParameterType | None]:
    """Evaluate a default that JSON can carry; dates become ISO text, with their type.

    Raises ``ValueError`` for anything that would have to be run.
    """
    if isinstance(node, ast.Call):
        return _call(node)
    try:
        value = ast.literal_eval(node)
    except (TypeError, SyntaxError, MemoryError, RecursionError):
        raise ValueError from None
    return _plain(value), None


def _call(node: ast.Call) -> tuple[Any, ParameterType]:
    """Evaluate ``date(2026, 1, 1)``, ``dt.datetime.fromisoformat(…)``, ``dict(a=1)`` and the name
    in ``perijove.secret("NAME")``; ``ValueError`` for other calls.
    """
    called = ast.unparse(node.func)
    try:
        arguments = [ast.literal_eval(argument) for argument in node.args]
        named = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg}
        if len(named) < len(node.keywords):
            raise ValueError(called)
        if called == "dict" and not arguments:
            return _plain(named), ParameterType.dict
        if _SECRET.fullmatch(called):
            (name,) = arguments
            if named or not re.fullmatch(secrets.PATTERN, name):
                raise ValueError(called)
            return name, ParameterType.secret
        if (date := _DATES.fullmatch(called)) is None:
            raise ValueError(called)
        maker: Any = getattr(datetime, date[1])
        if date[2]:
            maker = maker.fromisoformat
        return maker(*arguments, **named).isoformat(), ParameterType(date[1])
    except (TypeError, SyntaxError, MemoryError, RecursionError, OverflowError):
        raise ValueError(called) from None


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON has it; ``ValueError`` when JSON does not."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError
    if value is None or isinstance(value, bool | int | float | str):
        json.dumps(value, ensure_ascii=False).encode()
        return value
    raise ValueError
