"""A user's Jupyter server that waits for its user: ``python -m perijove.warm``.

It imports what a start needs and waits at a pipe for one claim, which says whose server it is.
The claim comes from the host, by a pipe that nobody inside can write to: not from the
container's environment or command, where everyone who may inspect it would read the token. Then
the same process becomes that user's server. It waits once; there is no way back.
"""

from __future__ import annotations

import json
import os
import site
import sys
from pathlib import Path
from typing import Any

from perijove.singleuser import load

#: The pipe of the claim, in a folder that is read-only here.
PIPE = Path("/run/perijove/claim")


class ClaimError(Exception):
    """A claim that does not fit this container; ``str()`` says why, without its content."""


def main() -> None:
    """Wait for the claim, and be its user's server."""
    serve = load()
    become(wait(PIPE))
    serve()


def wait(pipe: Path) -> dict[str, Any]:
    """Return the claim: a JSON object. Whoever only opens the pipe and leaves is ignored.

    Raises ``ClaimError`` when what comes is not a whole claim.
    """
    content = b""
    while not content:
        content = pipe.read_bytes()
    try:
        claim = json.loads(content)
    except ValueError:
        raise ClaimError("the claim broke off or is not JSON") from None
    if not isinstance(claim, dict):
        raise ClaimError("the claim is not an object")
    return claim


def become(claim: dict[str, Any]) -> None:
    """Take the claim's environment, arguments and folders.

    ``environment`` is added to the image's; ``arguments`` are the server's own; ``folders`` are
    those that the host says it has mounted, the home first. Raises ``ClaimError`` when one is
    not there: a server in an empty home would lose what its user saves.
    """
    # os.path.ismount does not see a folder mounted within its own file system.
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    mounted = {line.split(" ")[4] for line in lines}
    missing = [folder for folder in claim["folders"] if folder not in mounted]
    home = claim["folders"][0]
    if missing or not os.access(home, os.W_OK):
        raise ClaimError(f"not mounted here: {', '.join(missing) or home}")
    os.environ.update(claim["environment"])
    sys.argv[1:] = claim["arguments"]
    os.chdir(home)
    _see_packages_at_home()


def _see_packages_at_home() -> None:
    """Look for packages where ``pip install`` puts a user's own, as a fresh process does.

    They come behind the image's and before the operating system's.
    """
    if not site.ENABLE_USER_SITE:
        return
    place = site.getusersitepackages()
    if not Path(place).is_dir() or place in sys.path:
        return
    before = list(sys.path)
    site.addsitedir(place)
    added = [entry for entry in sys.path if entry not in before]
    system = [entry for entry in before if entry in site.getsitepackages(["/usr", "/usr/local"])]
    rest = [entry for entry in before if entry not in system]
    sys.path[:] = [*rest, *added, *system]


if __name__ == "__main__":
    try:
        main()
    except ClaimError as error:
        sys.exit(f"This container cannot be used: {error}.")
