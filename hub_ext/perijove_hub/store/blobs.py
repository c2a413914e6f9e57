"""Blobs by the SHA-256 of their content, in any place fsspec can write."""

from __future__ import annotations

import contextlib
import hashlib
import io
import secrets

import fsspec

from perijove_hub.store import loose
from perijove_hub.store.database import Database

#: Bytes copied at once.
_PIECE = 2**20


class BlobStore:
    """Content-addressed, immutable blobs; clients never name a storage path.

    ``url`` is an fsspec URL: a local directory, ``s3://bucket/prefix``, ``gs://…``. ``database``
    knows which blobs perhaps nothing refers to.
    """

    def __init__(self, url: str, database: Database) -> None:
        self._fs, root = fsspec.core.url_to_fs(url)
        self._root = root.rstrip("/")
        self._database = database

    def put(self, content: bytes) -> str:
        """Store ``content`` and return its address; storing it twice is one blob.

        The blob is written beside its place and moved there, so that a reader, or a full
        disk, never leaves half of one under a valid address. A row has to name it within
        ``sweep.GRACE``, or it is removed. Not to be called within a transaction of the store.
        """
        return self.put_file(io.BytesIO(content))

    def put_file(self, source: io.BufferedIOBase) -> str:
        """Store what ``source`` holds, from its beginning, as ``put`` does; read piece by piece.

        Raises ``ValueError`` for one that is changed meanwhile; nothing is stored then.
        """
        source.seek(0)
        address = hashlib.file_digest(source, "sha256").hexdigest()
        path = self._path(address)
        # Before the look at the file: a sweep that removes it just now is waited for here.
        with self._database.session() as session:
            loose.note(session, address)
        if self._fs.exists(path):
            return address
        self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        partial = f"{path}.{secrets.token_hex(4)}.part"
        try:
            self._copy(source, partial, address)
            self._fs.mv(partial, path)
        except BaseException:
            if self._fs.exists(partial):
                self._fs.rm_file(partial)
            raise
        return address

    def _copy(self, source: io.BufferedIOBase, target: str, address: str) -> None:
        source.seek(0)
        copied = hashlib.sha256()
        with self._fs.open(target, "wb") as file:
            while piece := source.read(_PIECE):
                copied.update(piece)
                file.write(piece)
        if copied.hexdigest() != address:
            raise ValueError(f"{address} was changed while it was stored")

    def get(self, address: str) -> bytes:
        """Return the blob at ``address``.

        Raises ``KeyError`` when there is none and ``ValueError`` when it was damaged.
        """
        try:
            content: bytes = self._fs.cat_file(self._path(address))
        except FileNotFoundError:
            raise KeyError(address) from None
        if hashlib.sha256(content).hexdigest() != address:
            raise ValueError(f"blob {address} is damaged: its content has another hash")
        return content

    def remove(self, address: str) -> None:
        """Remove the blob, if it is there, and what an interrupted ``put`` left beside it.

        For ``store.sweep`` alone, which knows that nothing refers to it.
        """
        path = self._path(address)
        folder = path.rsplit("/", 1)[0]
        with contextlib.suppress(FileNotFoundError):
            # An object store's listing is remembered, and would answer the next look too.
            beside = self._fs.ls(folder, detail=False, refresh=True)
            for found in beside:
                if found == path or (found.startswith(f"{path}.") and found.endswith(".part")):
                    self._fs.rm_file(found)
        self._fs.invalidate_cache(folder)

    def __contains__(self, address: str) -> bool:
        return bool(self._fs.exists(self._path(address)))

    def _path(self, address: str) -> str:
        if len(address) != 64 or not set(address) <= set("0123456789abcdef"):
            raise KeyError(address)
        return f"{self._root}/{address[:2]}/{address}"
