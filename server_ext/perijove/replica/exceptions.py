"""What can be wrong with a scoring request; no message ever repeats the data sent."""

from __future__ import annotations


class BadRequest(Exception):
    """The request cannot be scored; ``str()`` says why.

    ``field`` is the place at fault, such as ``dataframe_split.data[3].radius``.
    """

    status = 400

    def __init__(self, message: str, *, field: str | None = None, fix: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.fix = fix


class UnsupportedMedia(BadRequest):
    """The body is neither JSON nor CSV."""

    status = 415


class TooLarge(BadRequest):
    """The body is larger than one request may be."""

    status = 413


class ModelFailed(Exception):
    """The model raised, or returned what JSON has no form for; its log has the traceback."""
