"""The data directory: where each thing lies, and who may read it."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from perijove_hub.settings import Settings


class DataDirError(Exception):
    """The data directory cannot be used; ``str()`` says why and what to do."""


@dataclass(frozen=True)
class DataDir:
    """Paths under one root, readable by the user who runs Perijove and nobody else."""

    root: Path

    @classmethod
    def open(cls, root: Path) -> DataDir:
        """Make the directory if need be and prove that it can be written.

        Raises ``DataDirError``.
        """
        root = root.expanduser().absolute()
        try:
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            probe = root / f".probe-{secrets.token_hex(4)}"
            probe.write_bytes(b"perijove")
            probe.unlink()
        except OSError as error:
            raise DataDirError(
                f"data directory {root} cannot be written ({error.strerror}). "
                "Choose another with --data-dir, or mend its permissions."
            ) from None
        data = cls(root)
        for folder in (data.secrets, data.logs, data.run, data.workloads, data.homes):
            folder.mkdir(exist_ok=True, mode=0o700)
        return data

    @property
    def secrets(self) -> Path:
        """Tokens and keys, one file each, mode 0600."""
        return self.root / "secrets"

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Who runs now: pid files and the supervisor's lock."""
        return self.root / "run"

    @property
    def workloads(self) -> Path:
        """The local launcher's state, a folder per workload."""
        return self.root / "workloads"

    @property
    def homes(self) -> Path:
        """Home folders of users in local mode."""
        return self.root / "homes"

    @property
    def demo_database(self) -> Path:
        """The demo source's SQLite file; there after ``perijove up --demo``."""
        return self.root / "demo" / "demo.sqlite"

    def database_url(self, settings: Settings) -> str:
        """Return the store's database URL."""
        return settings.store.database or f"sqlite:///{self.root / 'perijove.sqlite'}"

    def blobs_url(self, settings: Settings) -> str:
        """Return the blob store's URL."""
        return settings.store.blobs or str(self.root / "blobs")

    def secret(self, name: str) -> str:
        """Return the secret ``name``, made on first use: 64 hexadecimal digits."""
        path = self.secrets / name
        try:
            return path.read_text(encoding="ascii")
        except FileNotFoundError:
            value = secrets.token_hex(32)
            partial = path.with_name(f".{name}.{secrets.token_hex(4)}")
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(value)
            try:
                # Two processes may both get here: the first link wins, both then read it.
                os.link(partial, path)
            except FileExistsError:
                pass
            finally:
                partial.unlink()
            return path.read_text(encoding="ascii")
