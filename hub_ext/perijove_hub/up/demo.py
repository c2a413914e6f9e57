"""``--demo``: two users in two groups, and a source with real data."""

from __future__ import annotations

from perijove_hub.context import Context
from perijove_hub.demo.data import build
from perijove_hub.hub import accounts

USERS = {"ada": ["research"], "grace": ["risk"]}


def make_demo(context: Context) -> dict[str, str]:
    """Make what is missing of the demo; return the passwords of accounts made now."""
    build(context.data.demo_database)
    made = {}
    for name, groups in USERS.items():
        password = accounts.ensure(context.database, name, groups=groups)
        if password is not None:
            made[name] = password
    return made
