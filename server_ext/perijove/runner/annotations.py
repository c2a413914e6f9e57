"""What an annotation in the ``parameters`` cell says, read from its syntax alone."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import Any

from perijove.types.jobs import ParameterType


@dataclass(frozen=True)
class Declared:
    """A declared type."""

    type: ParameterType
    nullable: bool = False
    choices: tuple[Any, ...] = ()
    warning: str | None = None


_SIMPLE = {
    "int": ParameterType.int,
    "float": ParameterType.float,
    "bool": ParameterType.bool,
    "str": ParameterType.str,
    "list": ParameterType.list,
    "List": ParameterType.list,
    "tuple": ParameterType.list,
    "Tuple": ParameterType.list,
    "Sequence": ParameterType.list,
    "dict": ParameterType.dict,
    "Dict": ParameterType.dict,
    "Mapping": ParameterType.dict,
    "date": ParameterType.date,
    "datetime": ParameterType.datetime,
    "Secret": ParameterType.secret,
    "Any": ParameterType.any,
    "object": ParameterType.any,
}

_OF_VALUES = {
    bool: ParameterType.bool,
    int: ParameterType.int,
    float: ParameterType.float,
    str: ParameterType.str,
    list: ParameterType.list,
    dict: ParameterType.dict,
}


def inferred(kind: ParameterType | None, default: Any) -> Declared:
    """Tell the type of an assignment without annotation by its value."""
    if kind is not None:
        return Declared(kind)
    if default is None:
        return Declared(ParameterType.any, nullable=True)
    return Declared(_OF_VALUES[type(default)])


def declared(node: ast.expr) -> Declared:
    """Read an annotation; one this does not know accepts any value, with a warning."""
    match node:
        case ast.Constant(value=None):
            return Declared(ParameterType.any, nullable=True)
        case ast.Constant(value=str(text)):
            return _quoted(text, node)
        case ast.BinOp(op=ast.BitOr()):
            return _union(_alternatives(node), node)
        case ast.Subscript(value=head, slice=inside):
            return _generic(_last_name(head), inside, node)
        case ast.Name() | ast.Attribute():
            name = _last_name(node)
            if name in _SIMPLE:
                return Declared(_SIMPLE[name])
    return _unknown(node)


def _quoted(text: str, node: ast.expr) -> Declared:
    try:
        return declared(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _unknown(node)


def _generic(name: str, inside: ast.expr, node: ast.expr) -> Declared:
    parts = list(inside.elts) if isinstance(inside, ast.Tuple) else [inside]
    match name:
        case "Optional":
            return replace(declared(inside), nullable=True)
        case "Union":
            return _union(parts, node)
        case "Annotated" | "Final" | "ClassVar":
            return declared(parts[0])
        case "Literal":
            return _choice(parts, node)
        case _ if name in _SIMPLE:
            return Declared(_SIMPLE[name])
    return _unknown(node)


def _choice(parts: list[ast.expr], node: ast.expr) -> Declared:
    try:
        values = [ast.literal_eval(part) for part in parts]
    except (ValueError, TypeError):
        return _unknown(node)
    if not all(value is None or isinstance(value, bool | int | str) for value in values):
        return _unknown(node)
    choices = tuple(value for value in values if value is not None)
    return Declared(ParameterType.choice, nullable=None in values, choices=choices)


def _alternatives(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_alternatives(node.left), *_alternatives(node.right)]
    return [node]


def _union(parts: list[ast.expr], node: ast.expr) -> Declared:
    kinds = [part for part in parts if not _is_none(part)]
    nullable = len(kinds) < len(parts)
    found = [declared(part) for part in kinds]
    types = {one.type for one in found}
    if types == {ParameterType.int, ParameterType.float}:
        return Declared(ParameterType.float, nullable)
    if len(found) == 1 or (len(types) == 1 and ParameterType.choice not in types):
        return replace(found[0], nullable=nullable or found[0].nullable)
    return replace(_unknown(node), nullable=nullable)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _last_name(node: ast.expr) -> str:
    """Return ``date`` of ``datetime.date``; empty for what is no dotted name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _unknown(node: ast.expr) -> Declared:
    text = ast.unparse(node)
    return Declared(
        ParameterType.any,
        warning=f"The annotation '{text}' is not one a form knows, so any value is accepted.",
    )
