"""Ask the Hub about a run's owner before the run starts: who has left runs nothing."""

from __future__ import annotations

import logging
from urllib.parse import quote

import httpx

from perijove_hub.context import Context
from perijove_hub.store.models import PrincipalRow, utcnow

log = logging.getLogger(__name__)


def is_user(context: Context, name: str) -> bool:
    """Tell whether the Hub still knows ``name``, and note the groups they are in now.

    While the Hub does not answer, what it last said counts, so that schedules outlive its
    restarts.
    """
    url = f"{context.topology.hub_api_url}/users/{quote(name, safe='')}"
    try:
        response = httpx.get(
            url,
            headers={"Authorization": f"token {context.data.secret('service-perijove')}"},
            timeout=5,
            trust_env=False,
            # Reading the machine's certificates takes longer than the question.
            verify=url.startswith("https:"),
        )
    except httpx.HTTPError:
        return True
    if response.status_code == httpx.codes.NOT_FOUND:
        return False
    if response.is_error:
        log.warning("the Hub answered %s about a run's owner", response.status_code)
        return True
    with context.database.session() as session:
        row = session.get(PrincipalRow, name)
        if row is None:
            row = PrincipalRow(name=name)
            session.add(row)
        row.groups = sorted(response.json().get("groups") or [])
        row.seen_at = utcnow()
    return True
