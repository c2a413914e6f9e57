"""Encrypt what is kept, with a key that lies beside the database and not in it."""

from __future__ import annotations

import base64
import json

from cryptography.fernet import Fernet, InvalidToken

from perijove_hub.paths import DataDir

#: The key's file among the data directory's secrets. Every worker of one database needs the same.
KEY = "secrets-key"


class WrongKey(Exception):
    """The key here is not the one that sealed it, or what is kept was damaged."""


class Sealer:
    """Seals and opens values with the data directory's key."""

    def __init__(self, data: DataDir) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(bytes.fromhex(data.secret(KEY))))

    def seal(self, value: str, *, owner: str, name: str) -> str:
        """Return ``value`` encrypted, together with whose and which it is."""
        return self._fernet.encrypt(json.dumps([owner, name, value]).encode()).decode("ascii")

    def open(self, sealed: str, *, owner: str, name: str) -> str:
        """Return the value; raises ``WrongKey``, also for one that was moved from another row."""
        try:
            held = json.loads(self._fernet.decrypt(sealed.encode("ascii")))
        except (InvalidToken, UnicodeEncodeError):
            raise WrongKey from None
        if held[:2] != [owner, name]:
            raise WrongKey
        value: str = held[2]
        return value
