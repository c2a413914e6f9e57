"""Errors of the control plane; ``api.problems`` turns each into an RFC 9457 document."""

from __future__ import annotations


class ProblemError(Exception):
    """A request that cannot be served, said so that its sender can mend it."""

    status = 500
    title = "Internal error"

    def __init__(self, detail: str, *, field: str | None = None, fix: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.fix = fix


class Invalid(ProblemError):
    """The request itself is wrong."""

    status = 422
    title = "Invalid request"


class Unauthenticated(ProblemError):
    """Nobody knows who is calling."""

    status = 401
    title = "Not logged in"


class Refused(ProblemError):
    """The caller is known and may not."""

    status = 403
    title = "Not allowed"


class NotFound(ProblemError):
    """There is no such object, or the caller may not know of it."""

    status = 404
    title = "Not found"


class Conflict(ProblemError):
    """The object's present state does not allow it."""

    status = 409
    title = "Conflict"


class Unavailable(ProblemError):
    """Something this needs does not answer now."""

    status = 503
    title = "Unavailable"
