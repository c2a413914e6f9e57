"""The embedded authenticator; any other JupyterHub authenticator can stand in its place."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from jupyterhub.auth import Authenticator

from perijove_hub.hub import accounts
from perijove_hub.store import Database

#: Longest name or password looked at: what strangers send costs little and is not logged.
LONGEST = 256


class EmbeddedAuthenticator(Authenticator):  # type: ignore[misc]
    """Checks passwords against the store's accounts."""

    #: Set by ``embed`` before the Hub makes the authenticator.
    database: Database

    async def authenticate(self, handler: Any, data: dict[str, str]) -> dict[str, Any] | None:
        """Return the user's name and whether they administer, or ``None``."""
        name, password = data.get("username", ""), data.get("password", "")
        if not name or len(name) > LONGEST or len(password) > LONGEST:
            return None
        loop = asyncio.get_running_loop()
        row = await loop.run_in_executor(
            None, partial(accounts.check, self.database, name.strip().lower(), password)
        )
        return {"name": row.name, "admin": row.admin} if row else None
