"""``%secrets``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perijove import secrets
from perijove.magics.arguments import Command
from perijove.magics.display import Listing

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

SECRETS = Command("%secrets", words=(0, None))


class SecretMagics:
    """Show which secrets there are; a value that was typed into a notebook would stay in it."""

    def __init__(self, shell: InteractiveShell) -> None:
        """Take the shell, as every class of magics does."""

    def secrets(self, line: str) -> Listing:
        """List your secrets, without their values: ``%secrets``."""
        if SECRETS.parse(line).words:
            raise SECRETS.wrong(
                "It lists them and takes nothing, because a notebook keeps what is typed into "
                "it. `perijove secrets set NAME` in a terminal asks for the value."
            )
        rows = [[one.name, f"{one.updated_at:%Y-%m-%d %H:%M}"] for one in secrets.list()]
        empty = "No secrets yet: `perijove secrets set NAME` in a terminal keeps one."
        return Listing(["secret", "set (UTC)"], rows, empty=empty)
