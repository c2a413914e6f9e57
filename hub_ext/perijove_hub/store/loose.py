"""Which blobs perhaps nothing refers to.

Many rows may name one blob, because equal contents are one blob. So a blob is noted as loose
whenever it is stored, before a row names it, and whenever a row lets go of it; ``store.sweep``
looks at it a while later and removes it if no row names it then.
"""

from __future__ import annotations

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from perijove_hub.store.clock import database_now
from perijove_hub.store.models import LooseBlobRow


def note(session: Session, *addresses: str) -> None:
    """Note that perhaps nothing refers to the blobs at ``addresses``, as of now.

    To be called in the transaction in which a row lets go of them. Noting again begins the
    while again.
    """
    if not addresses:
        return
    make = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    now = database_now(session)
    # In one order, so that two who note the same ones never wait for each other.
    rows = [{"sha256": address, "since": now} for address in sorted(set(addresses))]
    session.execute(
        make(LooseBlobRow)
        .values(rows)
        .on_conflict_do_update(index_elements=[LooseBlobRow.sha256], set_={"since": now})
    )
