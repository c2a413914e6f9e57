"""Names on the engine, apart for each data directory and each thing in it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Names:
    """Names that start with a digest of the data directory's path.

    Two Perijoves on one engine share nothing, and each finds its own again.
    """

    key: str
    """Eight hexadecimal digits."""

    @classmethod
    def of(cls, data_root: Path) -> Names:
        """Return the names of the data directory at ``data_root``."""
        return cls(hashlib.sha256(str(data_root).encode()).hexdigest()[:8])

    @property
    def prefix(self) -> str:
        """What every container's name starts with."""
        return f"perijove-{self.key}"

    @property
    def network(self) -> str:
        """The Docker network of the containers."""
        return f"perijove-{self.key}"

    @property
    def bridge(self) -> str:
        """The network's interface on the host; such names have 15 characters at most."""
        return f"pj-{self.key}"

    @property
    def labels(self) -> dict[str, str]:
        """What every container carries, to be found by."""
        return {"perijove": self.key}

    def container(self, kind: str, *parts: str) -> str:
        """Name the container of ``kind`` for ``parts``: different parts, different names.

        Everything but lower-case letters and digits becomes ``_XX`` per UTF-8 byte, and parts
        are joined with ``.``, so no two users or servers can collide after escaping. What would
        be longer than 128 characters ends in a digest instead.
        """
        escaped = ".".join(_escape(part) for part in parts)
        name = f"{self.prefix}-{kind}-{escaped}"
        if len(name) > 128:
            digest = hashlib.sha256(escaped.encode()).hexdigest()[:32]
            name = f"{name[:94]}--{digest}"
        return name


def _escape(part: str) -> str:
    return "".join(
        chr(byte) if re.fullmatch(r"[a-z0-9]", chr(byte)) else f"_{byte:02x}"
        for byte in part.encode()
    )
