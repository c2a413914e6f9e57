"""Errors that ``perijove`` raises in kernels, the CLI and runners."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

    from perijove.types.base import Problem


class PerijoveError(Exception):
    """Any failure the platform reports; ``str()`` is a sentence for a person, with the fix."""


class ApiError(PerijoveError):
    """The control plane refused a request or could not carry it out.

    ``problem`` is the RFC 9457 document it answered with.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        where = f" [{problem.field}]" if problem.field else ""
        fix = f" {problem.fix}" if problem.fix else ""
        super().__init__(f"{problem.detail or problem.title}{where}{fix}")


class Intercepted(ApiError):
    """Something before the control plane answered: a proxy that has just been started, say."""


class Unfit(PerijoveError):
    """A value that the control plane's types do not take, found before anything was sent."""

    @classmethod
    def of(cls, error: ValidationError) -> Unfit:
        """Say what pydantic found, as the control plane would."""
        from perijove.types.faults import first_fault

        found = first_fault(error)
        return cls(f"{found.detail} {found.fix or ''}".strip())


class Unreachable(PerijoveError):
    """The control plane did not answer; nothing was changed unless it says so."""


class NotConfigured(PerijoveError):
    """There is no control plane to talk to: no URL or no token in the environment."""


class NotebookError(PerijoveError):
    """A notebook cannot be promoted or run: it is not one, or its parameters cell is wrong."""


class ParameterError(PerijoveError):
    """A run's parameter is unknown, missing or of the wrong type.

    ``name`` is the parameter at fault.
    """

    def __init__(self, name: str, message: str) -> None:
        self.name = name
        super().__init__(message)
