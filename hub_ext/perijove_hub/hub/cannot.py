"""The one error of a start."""

from __future__ import annotations

from jupyterhub.spawner import SpawnException

from perijove_hub.exceptions import Invalid, ProblemError


class CannotStart(SpawnException):  # type: ignore[misc]
    """A start that will not be, said so that its user can mend it."""

    def __init__(
        self, why: str, *, fix: str | None = None, reason: str = "start", status: int = 500
    ) -> None:
        message = f"{why} {fix}" if fix else why
        super().__init__(message, reason=reason, status_code=status)
        #: What the Hub's pages and API show.
        self.jupyterhub_message = message

    @classmethod
    def of(cls, problem: ProblemError) -> CannotStart:
        """Say what the control plane found wrong."""
        status = 400 if isinstance(problem, Invalid) else problem.status
        return cls(
            problem.detail, fix=problem.fix, reason=problem.field or "refused", status=status
        )
