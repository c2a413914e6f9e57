"""``python -m perijove_hub.store.migrations MESSAGE``: write the next migration."""

from __future__ import annotations

import sys
import tempfile

from perijove_hub.store.database import Database
from perijove_hub.store.migrate import add_migration, upgrade

with tempfile.TemporaryDirectory() as folder:
    database = Database(f"sqlite:///{folder}/empty.sqlite")
    upgrade(database)
    add_migration(database, " ".join(sys.argv[1:]) or "change")
    database.close()
