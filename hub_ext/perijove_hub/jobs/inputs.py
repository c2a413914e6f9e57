"""The files a version keeps with its notebook, checked before any is stored."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from perijove.types.jobs import InputFile
from perijove_hub.exceptions import Invalid

#: Folders of a run's working directory that are filled otherwise: by the runs before it, and by
#: the run itself.
RESERVED = ("inputs", "outputs")
#: Most bytes of one part of a path, as file systems have it.
_LONGEST_PART = 255


def checked(files: Sequence[InputFile], *, most_mb: int) -> dict[str, bytes]:
    """Return the content by path; raises ``Invalid``, whose field is ``inputs.INDEX…``."""
    found: dict[str, bytes] = {}
    for at, file in enumerate(files):
        field = f"inputs.{at}.path"
        _check_path(file.path, field)
        if file.path in found:
            raise Invalid(f"'{file.path}' is there twice.", field=field, fix="Send each file once.")
        found[file.path] = _decoded(file, at)
    _check_folders(files, found)
    total = sum(map(len, found.values()))
    if total > most_mb * 2**20:
        largest = max(found, key=lambda path: len(found[path]))
        raise Invalid(
            f"The files have {total / 2**20:.1f} MiB together; at most {most_mb} are kept. "
            f"The largest is '{largest}' with {len(found[largest]) / 2**20:.1f}.",
            field="inputs",
            fix="Leave out large ones, and read them from the catalog or a shared folder.",
        )
    return found


def _check_path(path: str, field: str) -> None:
    parts = path.split("/")
    shown = path if path.isprintable() else ascii(path)
    if not path.isprintable() or "\\" in path:
        problem, fix = "holds characters that no file here may have", "Rename the file."
    elif path.startswith("/") or ".." in parts:
        problem = "is not below the notebook's folder"
        fix = "Name files relative to the notebook, and move those above it beside it."
    elif "" in parts or "." in parts:
        problem, fix = "is not a plain path", "Write it as folder/file, without './' and '//'."
    elif any(len(part.encode()) > _LONGEST_PART for part in parts):
        problem, fix = f"has a name of more than {_LONGEST_PART} bytes", "Rename the file."
    elif parts[0] in RESERVED:
        problem = f"lies in '{parts[0]}/', which every run fills itself"
        fix = f"Move it out of '{parts[0]}/'."
    else:
        return
    raise Invalid(f"The path '{shown[:200]}' {problem}.", field=field, fix=fix)


def _decoded(file: InputFile, at: int) -> bytes:
    try:
        return base64.b64decode(file.content, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(
            f"The content of '{file.path}' is not Base64.",
            field=f"inputs.{at}.content",
            fix="Encode the file's bytes as standard Base64.",
        ) from None


def _check_folders(files: Sequence[InputFile], found: dict[str, bytes]) -> None:
    for at, file in enumerate(files):
        parts = file.path.split("/")
        for end in range(1, len(parts)):
            folder = "/".join(parts[:end])
            if folder in found:
                raise Invalid(
                    f"'{folder}' is a file, so '{file.path}' cannot lie in it.",
                    field=f"inputs.{at}.path",
                    fix="Send one of the two.",
                )
