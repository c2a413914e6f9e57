"""Who is calling: Hub tokens, and the short-lived tokens of job runs.

Used alike by the API, by MLflow's front and by the gateway.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx
from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from perijove.types.base import Principal
from perijove_hub.access import VERBS, scope
from perijove_hub.exceptions import Unavailable
from perijove_hub.store import Database
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import PrincipalRow, RunRow, RunTokenRow, utcnow

#: Marks a run's own token, so that it is never sent to the Hub.
RUN_TOKEN_PREFIX = "pjr_"  # noqa: S105 - not a secret

#: Seconds a Hub answer is taken as true.
FRESH = 30.0
#: Seconds it still counts while the Hub is down; a refusal by the Hub ends it at once.
STALE = 3600.0
#: Most tokens remembered.
REMEMBERED = 10_000

#: What a run may do: everything its owner's notebooks do, but not make further jobs.
RUN_VERBS = ("read", "query", "predict", "deploy")
RUN_SERVICES = ("perijove", "mlflow", "serve")


@dataclass
class _Remembered:
    principal: Principal
    at: float


def digest(token: str) -> str:
    """Hash a token for storage and look-up."""
    return hashlib.sha256(token.encode()).hexdigest()


def issue_run_token(session: Session, *, user: str, run_id: str, expires_at: datetime) -> str:
    """Make a token that acts as ``user`` for one run; only its hash is stored."""
    token = RUN_TOKEN_PREFIX + secrets.token_urlsafe(32)
    session.add(RunTokenRow(sha256=digest(token), user=user, run_id=run_id, expires_at=expires_at))
    return token


def revoke_run_tokens(session: Session, run_id: str) -> None:
    """End every token of a run."""
    session.execute(delete(RunTokenRow).where(RunTokenRow.run_id == run_id))


def keep_run_tokens(session: Session, *, worker: str, seconds: float) -> None:
    """Keep the tokens of a worker's runs when the clock was set forward by ``seconds``.

    Set back, they end later than they would: that harms nothing, for they end with their runs.
    """
    if seconds <= 0:
        return
    mine = select(RunRow.id).where(RunRow.worker == worker, RunRow.state == "running")
    for row in session.scalars(select(RunTokenRow).where(RunTokenRow.run_id.in_(mine))):
        row.expires_at += timedelta(seconds=seconds)


class Identifier:
    """Turns tokens into principals.

    A Hub answer is remembered for ``FRESH`` seconds, and for ``STALE`` while the Hub does not
    answer, so that models and running work outlive a Hub restart.
    """

    def __init__(self, hub_api_url: str, database: Database) -> None:
        self._database = database
        self._http = httpx.AsyncClient(base_url=hub_api_url, timeout=10, trust_env=False)
        self._known: dict[str, _Remembered] = {}

    async def identify(self, token: str) -> Principal | None:
        """Return whose ``token`` it is, or ``None`` when it is nobody's.

        Raises ``Unavailable`` when the Hub is down and the token was not seen lately.
        """
        if not token or len(token) > 512 or not token.isascii() or not token.isprintable():
            return None
        if token.startswith(RUN_TOKEN_PREFIX):
            return await run_in_threadpool(self._identify_run, token)
        return await self._identify_by_hub(token)

    async def close(self) -> None:
        """Close connections to the Hub."""
        await self._http.aclose()

    async def _identify_by_hub(self, token: str) -> Principal | None:
        key = digest(token)
        known = self._known.get(key)
        now = time.monotonic()
        if known and now - known.at < FRESH:
            return known.principal
        try:
            response = await self._http.get("/user", headers={"Authorization": f"token {token}"})
            if response.status_code in (401, 403, 404):
                self._known.pop(key, None)
                return None
            response.raise_for_status()
            body = response.json()
        except (httpx.HTTPError, ValueError) as error:
            if known and now - known.at < STALE:
                return known.principal
            raise Unavailable(
                "The Hub does not answer, so nobody can be identified.",
                fix="Try again in a few seconds.",
            ) from error
        principal = Principal(
            name=body["name"],
            kind=body.get("kind", "user"),
            groups=sorted(body.get("groups") or []),
            admin=bool(body.get("admin")),
            scopes=body.get("scopes") or [],
        )
        if len(self._known) >= REMEMBERED:
            self._known.pop(next(iter(self._known)))
        self._known[key] = _Remembered(principal, now)
        if principal.kind == "user":
            await run_in_threadpool(self._remember_groups, principal)
        return principal

    def _remember_groups(self, principal: Principal) -> None:
        with self._database.session() as session:
            session.merge(
                PrincipalRow(
                    name=principal.name,
                    groups=principal.groups,
                    admin=principal.admin,
                    seen_at=utcnow(),
                )
            )

    def _identify_run(self, token: str) -> Principal | None:
        with self._database.reading() as session:
            row = session.get(RunTokenRow, digest(token))
            # By the clock by which it was given its end.
            if row is None or row.expires_at <= database_now(session):
                return None
            user = session.get(PrincipalRow, row.user)
            return Principal(
                name=row.user,
                kind="run",
                run=row.run_id,
                groups=list(user.groups) if user else [],
                # A run never has more rights than its notebook needs: no administrator's.
                admin=False,
                scopes=[scope(verb) for verb in RUN_VERBS if verb in VERBS]
                + [f"access:services!service={service}" for service in RUN_SERVICES],
            )
