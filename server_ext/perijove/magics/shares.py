"""``%share``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from perijove import shares
from perijove.magics.arguments import Command
from perijove.magics.display import Card, Listing, say
from perijove.magics.notebook import standing_in
from perijove.types.shares import Box, Share, Taken

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

SEND = Command(
    "%share [NOTEBOOK.ipynb] --to USER|--group GROUP [--message TEXT] [--expires-days N]",
    words=(0, 1),
    flags={"--to": str, "--group": str, "--message": str, "--expires-days": int},
)
LIST = Command("%share list [WORDS] [--box received|sent]", words=(0, None), flags={"--box": str})
TAKE = Command("%share take ID [--folder FOLDER]", words=(1, 1), flags={"--folder": str})
DISMISS = Command("%share dismiss ID", words=(1, 1))
DELETE = Command("%share delete ID", words=(1, 1))


class SharedNotebook:
    """A share: what ``%share`` returns."""

    def __init__(self, share: Share) -> None:
        self.share = share

    def __repr__(self) -> str:
        return repr(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()

    def _card(self) -> Card:
        share = self.share
        facts = {
            "with": receiver(share),
            "message": share.message or None,
            "image": share.image,
            "until (UTC)": f"{share.expires_at:%Y-%m-%d}",
            "take it back": f"%share delete {share.id}",
        }
        return Card(share.name, facts)


class TakenNotebook:
    """Your copy of a share: what ``%share take`` returns."""

    def __init__(self, taken: Taken) -> None:
        self.path = taken.path
        self._taken = taken

    def __repr__(self) -> str:
        return repr(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()

    def _card(self) -> Card:
        taken = self._taken
        return Card(taken.path, {"from": taken.sender, "it ran in": taken.image})


class ShareMagics:
    """Share notebooks, and take what is shared."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def share(self, line: str) -> Any:
        """Share this notebook, or see to what is shared: ``%share --to grace``."""
        verb, _, rest = line.strip().partition(" ")
        verbs: dict[str, Callable[[str], Any]] = {
            "send": self._send,
            "list": self._list,
            "take": self._take,
            "dismiss": self._dismiss,
            "delete": self._delete,
        }
        # A notebook's name ends in .ipynb, so that it is never taken for a verb.
        return verbs[verb](rest) if verb in verbs else self._send(line)

    def _send(self, line: str) -> SharedNotebook | None:
        given = SEND.parse(line)
        if (given["--to"] is None) == (given["--group"] is None):
            raise SEND.wrong("Say who it is for: either --to USER or --group GROUP.")
        if os.environ.get("PERIJOVE_RUN_ID"):
            say("This is a job's run: it shares nothing.")
            return None
        source: Any
        if given.words:
            source, name = given.words[0], None
        else:
            here = standing_in(self._shell, magic="%share", named="%share NOTEBOOK.ipynb --to USER")
            source, name = here.content, PurePath(here.path).name
        days = given["--expires-days"]
        share = shares.send(
            source,
            name,
            to=given["--to"],
            group=given["--group"],
            message=given["--message"] or "",
            **({} if days is None else {"expires_days": days}),
        )
        say(f"{share.name} is shared with {receiver(share)}.")
        return SharedNotebook(share)

    def _list(self, line: str) -> Listing:
        given = LIST.parse(line)
        box = given["--box"]
        if box is not None and box not in list(Box):
            raise LIST.wrong(f"--box must be received or sent, not '{box}'.")
        return listing(shares.list(" ".join(given.words), box=box))

    def _take(self, line: str) -> TakenNotebook:
        given = TAKE.parse(line)
        return TakenNotebook(shares.take(given.words[0], folder=given["--folder"]))

    def _dismiss(self, line: str) -> None:
        [share] = DISMISS.parse(line).words
        shares.dismiss(share)
        say(f"{share} is dismissed.")

    def _delete(self, line: str) -> None:
        [share] = DELETE.parse(line).words
        shares.delete(share)
        say(f"{share} is no longer shared.")


def receiver(share: Share) -> str:
    """Say whom a share is for."""
    return share.receiver or f"group {share.group}"


def listing(found: list[Share]) -> Listing:
    """Lay shares out as a table."""
    rows = [
        [
            one.id,
            one.name,
            one.sender,
            receiver(one) + (" (dismissed)" if one.dismissed else ""),
            one.image or "",
            f"{one.expires_at:%Y-%m-%d}",
        ]
        for one in found
    ]
    columns = ["share", "notebook", "from", "to", "image", "until"]
    return Listing(columns, rows, empty="Nothing is shared with you or by you.")
