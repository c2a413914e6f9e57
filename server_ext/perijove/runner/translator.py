"""Write a run's values as Python for the injected cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from papermill.translators import PythonTranslator, papermill_translators

from perijove.types.jobs import Parameter, ParameterType
from perijove.types.secrets import VARIABLE

DATES = (ParameterType.date, ParameterType.datetime)


class DateText(str):
    """ISO text of a parameter declared as ``date`` or ``datetime``; still text in metadata."""

    kind: str


class SecretName(str):
    """The name of a secret; its value is in the environment, and in no notebook."""


class Translator(PythonTranslator):  # type: ignore[misc]
    """Papermill's translator, which would write a date as text."""

    @classmethod
    def translate(cls, val: Any) -> str:
        """Return the source of one value; it must not rely on what the notebook imports."""
        if isinstance(val, DateText):
            return f'__import__("datetime").{val.kind}.fromisoformat("{val}")'
        if isinstance(val, SecretName):
            return f'__import__("os").environ["{VARIABLE}{val}"]'
        return str(super().translate(val))


def register() -> None:
    """Make papermill use it for Python."""
    papermill_translators.register("python", Translator)


def as_declared(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Mark the dates and secrets among checked values.

    Secrets that were not given are added with the names that the notebook has for them: there
    is only a name in it.
    """
    types = {parameter.name: parameter.type for parameter in parameters}
    secrets = {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.type is ParameterType.secret and parameter.default is not None
    }
    return {name: _marked(types.get(name), value) for name, value in {**secrets, **given}.items()}


def _marked(kind: ParameterType | None, value: Any) -> Any:
    if kind is ParameterType.secret and isinstance(value, str):
        return SecretName(value)
    if kind not in DATES or not isinstance(value, str):
        return value
    text = DateText(value)
    text.kind = str(kind)
    return text
