"""The store: one package owns the tables, their migrations and the blobs."""

from __future__ import annotations

from perijove_hub.store.blobs import BlobStore
from perijove_hub.store.database import Database

__all__ = ["BlobStore", "Database"]
