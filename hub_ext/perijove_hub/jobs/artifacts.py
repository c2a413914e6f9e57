"""Files that runs left, for download or to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from perijove.types.base import Principal
from perijove_hub.context import Context
from perijove_hub.exceptions import Conflict, NotFound
from perijove_hub.jobs.finding import find_run
from perijove_hub.jobs.render import HTML_HEADERS, MAX_BYTES
from perijove_hub.store.models import ArtifactRow

#: What a browser shows in a frame that can do nothing, by the name's ending. Everything else is
#: for download.
VIEWABLE = {
    ".csv": "text/plain",
    ".gif": "image/gif",
    ".html": "text/html",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".json": "text/plain",
    ".log": "text/plain",
    ".md": "text/plain",
    ".png": "image/png",
    # In a sandbox, where its scripts do not run.
    ".svg": "image/svg+xml",
    ".tsv": "text/plain",
    ".txt": "text/plain",
    ".webp": "image/webp",
    ".yaml": "text/plain",
    ".yml": "text/plain",
}


@dataclass(frozen=True)
class Answer:
    """An artifact as HTTP sends it."""

    content: bytes
    media_type: str
    headers: dict[str, str]


def send(context: Context, principal: Principal, run_id: str, path: str, *, view: bool) -> Answer:
    """Return an artifact; ``view`` for one that is shown in place.

    Raises ``NotFound`` for a path the run did not leave, and ``Conflict`` for one that no page
    shows.
    """
    with context.database.reading() as session:
        row, _ = find_run(session, principal, run_id)
        found = session.get(ArtifactRow, (row.id, path))
    if found is None:
        dropped = row.dropped_at
        raise NotFound(
            "The run left no such file."
            if dropped is None
            else f"The run's files were deleted on {dropped:%Y-%m-%d}: its job keeps them no "
            "longer.",
            fix="List the run's artifacts." if dropped is None else "Run it again.",
        )
    if view:
        _check_viewable(found)
    content = context.blobs.get(found.sha256)
    name = PurePosixPath(path).name
    if not view:
        return Answer(
            content,
            "application/octet-stream",
            HTML_HEADERS | {"Content-Disposition": _disposition("attachment", name)},
        )
    kind = VIEWABLE[_ending(path)]
    if kind.startswith("text/"):
        # Said, or a browser guesses the encoding from bytes that others wrote.
        kind += "; charset=utf-8"
    return Answer(
        content, kind, HTML_HEADERS | {"Content-Disposition": _disposition("inline", name)}
    )


def _check_viewable(row: ArtifactRow) -> None:
    if _ending(row.path) not in VIEWABLE:
        endings = ", ".join(sorted(VIEWABLE))
        raise Conflict(
            "A file of this kind is not shown in a page.",
            field="view",
            fix=f"Download it. Shown are files that end in {endings}.",
        )
    if row.bytes > MAX_BYTES:
        raise Conflict(
            f"The file has {row.bytes / 1e6:.0f} MB, too much for a page.",
            field="view",
            fix="Download it.",
        )


def _ending(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _disposition(kind: str, name: str) -> str:
    """Name a file in a header: ASCII for old browsers, and as it is, both without quotes in it."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    return f"{kind}; filename=\"{plain or 'file'}\"; filename*=UTF-8''{quote(name, safe='')}"
