"""Blobs by the SHA-256 of their content, in any place fsspec can write."""

from __future__ import annotations

import hashlib
import secrets

import fsspec


class BlobStore:
    """Content-addressed, immutable blobs; clients never name a storage path.

    ``url`` is an fsspec URL: a local directory, ``s3://bucket/prefix``, ``gs://…``.
    """

    def __init__(self, url: str) -> None:
        self._fs, root = fsspec.core.url_to_fs(url)
        self._root = root.rstrip("/")

    def put(self, content: bytes) -> str:
        """Store ``content`` and return its address; storing it twice is one blob.

        The blob is written beside its place and moved there, so that a reader, or a full
        disk, never leaves half of one under a valid address.
        """
        address = hashlib.sha256(content).hexdigest()
        path = self._path(address)
        if self._fs.exists(path):
            return address
        self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        partial = f"{path}.{secrets.token_hex(4)}.part"
        try:
            self._fs.pipe_file(partial, content)
            self._fs.mv(partial, path)
        except BaseException:
            if self._fs.exists(partial):
                self._fs.rm_file(partial)
            raise
        return address

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

    def __contains__(self, address: str) -> bool:
        return bool(self._fs.exists(self._path(address)))

    def _path(self, address: str) -> str:
        if len(address) != 64 or not set(address) <= set("0123456789abcdef"):
            raise KeyError(address)
        return f"{self._root}/{address[:2]}/{address}"
