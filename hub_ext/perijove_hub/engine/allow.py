"""One line of ``network.allow``: an address beyond the host that containers may reach."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Allowed:
    """A network and, if it is given, the only port of it."""

    network: ipaddress.IPv4Network
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """Read ``ADDRESS[/BITS][:PORT]``. Raises ``ValueError`` with what to write instead."""
        match = re.fullmatch(r"([0-9.]+(?:/[0-9]{1,2})?)(?::([0-9]{1,5}))?", text)
        if match is None:
            raise ValueError(
                f"'{text}' is not ADDRESS[/BITS][:PORT], such as 10.1.2.3, 10.1.0.0/16 or "
                "10.1.2.3:5432; containers have no IPv6 and names are not looked up"
            )
        try:
            network = ipaddress.IPv4Network(match[1])
        except ValueError as error:
            said = str(error)
            if "host bits" in said:
                meant = ipaddress.IPv4Network(match[1], strict=False)
                said = f"'{match[1]}' is inside a network; write {meant}, or the address alone"
            raise ValueError(f"'{text}': {said}") from None
        port = int(match[2]) if match[2] else None
        if port is not None and not 1 <= port <= 65535:
            raise ValueError(f"'{text}': ports go from 1 to 65535")
        return cls(network, port)


def checked(text: str) -> str:
    """Return ``text`` if it is an entry; the check of the settings file."""
    Allowed.parse(text)
    return text
