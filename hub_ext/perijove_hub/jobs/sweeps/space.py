"""The parameters that a sweep searches: refused where they do not fit what a job declares."""

from __future__ import annotations

import math
from collections.abc import Sequence

from perijove.exceptions import ParameterError
from perijove.runner.values import check as check_values
from perijove.types.jobs import Parameter, ParameterType
from perijove.types.sweeps import LARGEST, Dimension, Kind, Method, SweepCreate
from perijove_hub.exceptions import Invalid

#: Beyond it a float holds no longer every whole number.
_LARGEST_INT = 2**53
_TAKES = {
    Kind.int: {ParameterType.int, ParameterType.float, ParameterType.any},
    Kind.uniform: {ParameterType.float, ParameterType.any},
    Kind.loguniform: {ParameterType.float, ParameterType.any},
}


def check(body: SweepCreate, declared: Sequence[Parameter]) -> SweepCreate:
    """Return ``body`` with its values as runs get them, and the number of trials it asks for.

    Raises ``Invalid`` that names the field.
    """
    space = {}
    for name, dimension in body.space.items():
        if name in body.parameters:
            raise Invalid(
                f"Parameter '{name}' is searched, and has one value for every run.",
                field=f"parameters.{name}",
                fix="Leave it out of one of 'space' and 'parameters'.",
            )
        space[name] = _fitted(name, dimension, _declared(name, declared), body.method)
    # With one point of the space, so that a parameter without a default is not missed.
    point = {name: _example(dimension) for name, dimension in space.items()}
    try:
        values = check_values(declared, {**body.parameters, **point})
    except ParameterError as error:
        raise Invalid(str(error), field=f"parameters.{error.name}") from None
    fixed = {name: value for name, value in values.items() if name not in space}
    return body.model_copy(update={"space": space, "parameters": fixed, "trials": _trials(body)})


def _trials(body: SweepCreate) -> int:
    if body.method is not Method.grid:
        if body.trials is None:
            raise Invalid(
                f"How many trials? Method '{body.method.value}' would never end.",
                field="trials",
                fix="Give a number, such as 20.",
            )
        return body.trials
    size = math.prod(len(dimension.values) for dimension in body.space.values())
    wanted = min(body.trials or size, size)
    if wanted > LARGEST:
        raise Invalid(
            f"The grid has {size:,} combinations, and a sweep at most {LARGEST:,} trials.",
            field="space",
            fix="Leave values out, or take method 'random' or 'optuna' with that many trials.",
        )
    return wanted


def _declared(name: str, declared: Sequence[Parameter]) -> Parameter:
    for one in declared:
        if one.name == name:
            return one
    try:
        check_values(declared, {name: None})
    except ParameterError as error:
        raise Invalid(str(error), field=f"space.{name}") from None
    raise AssertionError("a parameter that is not declared was taken")


def _fitted(name: str, dimension: Dimension, parameter: Parameter, method: Method) -> Dimension:
    field = f"space.{name}"
    if dimension.kind is Kind.choice:
        return _choice(field, dimension, parameter)
    if method is Method.grid:
        raise Invalid(
            f"A grid has lists of values, and '{name}' is drawn from a {dimension.kind.value}.",
            field=f"{field}.kind",
            fix="Give its 'values', or take method 'random' or 'optuna'.",
        )
    if dimension.values:
        raise Invalid(
            f"'{name}' has 'values', which only a choice has.",
            field=f"{field}.values",
            fix="Leave them out, or take the kind 'choice'.",
        )
    if parameter.type not in _TAKES[dimension.kind]:
        raise Invalid(
            f"Parameter '{name}' is a {parameter.type.value}, and cannot be drawn from a "
            f"{dimension.kind.value}.",
            field=f"{field}.kind",
            fix="Use 'int' for whole numbers, or 'choice' with its values.",
        )
    _check_ends(field, dimension)
    return dimension


def _choice(field: str, dimension: Dimension, parameter: Parameter) -> Dimension:
    if dimension.low is not None or dimension.high is not None:
        raise Invalid(
            "A choice has 'values', not 'low' and 'high'.",
            field=f"{field}.kind",
            fix="Say what it is drawn from: 'int', 'uniform' or 'loguniform'.",
        )
    if not dimension.values:
        raise Invalid(
            f"There are no values of '{parameter.name}' to choose from.",
            field=f"{field}.values",
            fix="Give at least one.",
        )
    name = parameter.name
    try:
        values = [check_values([parameter], {name: value})[name] for value in dimension.values]
    except ParameterError as error:
        raise Invalid(str(error), field=f"{field}.values") from None
    return dimension.model_copy(update={"values": values})


def _check_ends(field: str, dimension: Dimension) -> None:
    whole = dimension.kind is Kind.int
    for end in ("low", "high"):
        given = getattr(dimension, end)
        if given is None or not math.isfinite(given):
            raise Invalid(
                f"Kind '{dimension.kind.value}' goes from 'low' to 'high', and '{end}' is {given}.",
                field=f"{field}.{end}",
                fix="Give a number.",
            )
        if whole and (given != int(given) or abs(given) > _LARGEST_INT):
            raise Invalid(
                f"A whole number is drawn between whole numbers, not from {given:g}.",
                field=f"{field}.{end}",
                fix="Round it, or take the kind 'uniform'.",
            )
    assert dimension.low is not None and dimension.high is not None  # noqa: S101 - for the type checker
    if dimension.low >= dimension.high:
        raise Invalid(
            f"'low' ({dimension.low:g}) is not below 'high' ({dimension.high:g}).",
            field=f"{field}.low",
            fix="Exchange them, or give the one value in 'parameters'.",
        )
    if not math.isfinite(dimension.high - dimension.low):
        raise Invalid(
            "The difference of 'high' and 'low' is no number any more.",
            field=f"{field}.high",
            fix="Make the range smaller.",
        )
    if dimension.kind is Kind.loguniform and dimension.low <= 0:
        raise Invalid(
            f"The logarithm of {dimension.low:g} is not a number.",
            field=f"{field}.low",
            fix="Begin above 0, such as at 0.0001, or take the kind 'uniform'.",
        )


def _example(dimension: Dimension) -> object:
    if dimension.kind is Kind.choice:
        return dimension.values[0]
    low = dimension.low or 0.0
    return int(low) if dimension.kind is Kind.int else low
