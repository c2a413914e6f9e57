"""Write a run's values as Python for the injected cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from papermill.translators import PythonTranslator, papermill_translators

from perijove.types.jobs import Parameter, ParameterType

DATES = (ParameterType.date, ParameterType.datetime)


class DateText(str):
    """ISO text of a parameter declared as ``date`` or ``datetime``; still text in metadata."""

    kind: str


class Translator(PythonTranslator):  # type: ignore[misc]
    """Papermill's translator, which would write a date as text."""

    @classmethod
    def translate(cls, val: Any) -> str:
        """Return the source of one value; it must not rely on what the notebook imports."""
        if isinstance(val, DateText):
            return f'__import__("datetime").{val.kind}.fromisoformat("{val}")'
        return str(super().translate(val))


def register() -> None:
    """Make papermill use it for Python."""
    papermill_translators.register("python", Translator)


def as_declared(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Mark the dates among checked values."""
    types = {parameter.name: parameter.type for parameter in parameters}
    return {name: _marked(types.get(name), value) for name, value in given.items()}


def _marked(kind: ParameterType | None, value: Any) -> Any:
    if kind not in DATES or not isinstance(value, str):
        return value
    text = DateText(value)
    text.kind = str(kind)
    return text
