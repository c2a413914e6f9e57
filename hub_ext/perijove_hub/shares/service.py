"""Shares: send, list, read, dismiss, take back."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, false, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from perijove.types.base import Page, Principal
from perijove.types.shares import MAX_BYTES, Box, Share, ShareCreate
from perijove_hub.api.paging import contains, paginate
from perijove_hub.context import Context
from perijove_hub.exceptions import Conflict, Invalid, NotFound, Refused
from perijove_hub.jobs.owners import is_user
from perijove_hub.jobs.snapshot import validate
from perijove_hub.shares.origin import image_of
from perijove_hub.store import audit, idempotency, loose
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import ShareDismissalRow, ShareRow

#: Most shares of one sender at a time, so that nobody fills the disk with copies.
MOST_SENT = 200


class ShareService:
    """What may be done with shares, checked against the caller's rights."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def create(self, principal: Principal, body: ShareCreate, *, key: str | None) -> Share:
        """Keep a copy of a notebook for a user or a group.

        Raises ``Invalid`` for anything wrong in ``body``, and ``Conflict`` for one share too
        many; nothing was changed then.
        """
        self._check_receiver(principal, body)
        content = _content(body.notebook)
        with self._context.database.reading() as session:
            # Before the copy is stored, or the disk fills with copies that are then refused.
            _check_room(session, principal)
        # Before the row that names it: a blob without a row is harmless, the reverse is not.
        address = self._context.blobs.put(content)
        try:
            return self._create(principal, body, address, key=key)
        except IntegrityError:
            # The same key was used at the same moment: now it is there to be found.
            return self._create(principal, body, address, key=key)

    def list(
        self,
        principal: Principal,
        *,
        q: str | None,
        box: Box | None,
        cursor: str | None,
        limit: int,
    ) -> Page[Share]:
        """List what was sent to the caller or their groups, and what they sent, newest first."""
        with self._context.database.reading() as session:
            rows = select(ShareRow).where(
                _concerns(principal, box), ShareRow.expires_at > database_now(session)
            )
            if q:
                words = contains(q)
                rows = rows.where(
                    or_(
                        ShareRow.name.ilike(words, escape="\\"),
                        ShareRow.message.ilike(words, escape="\\"),
                        ShareRow.sender.ilike(words, escape="\\"),
                    )
                )
            found, following = paginate(
                session,
                rows,
                by=ShareRow.created_at,
                tie=ShareRow.id,
                cursor=cursor,
                limit=limit,
                descending=True,
            )
            return Page[Share](items=[_wire(row) for row in found], next_cursor=following)

    def get(self, principal: Principal, share_id: str) -> Share:
        """Tell of one share; raises ``NotFound``."""
        with self._context.database.reading() as session:
            return _wire(self._find(session, principal, share_id))

    def notebook(self, principal: Principal, share_id: str) -> bytes:
        """Return the copy; raises ``NotFound``."""
        with self._context.database.reading() as session:
            row = self._find(session, principal, share_id)
        if row.notebook_sha256 is None:
            raise NotFound(
                f"{row.receiver} has dismissed '{row.name}', so its copy is gone.",
                fix="Share the notebook again.",
            )
        return self._context.blobs.get(row.notebook_sha256)

    def dismiss(self, principal: Principal, share_id: str) -> None:
        """Let the caller, who was given a share, see it no more; copies that were taken stay.

        The one user it was for was the last who could take it, so its notebook is let go of
        then. A group's notebook stays while it is shared: members come and go. Raises
        ``NotFound``, and ``Refused`` for who was not given it.
        """
        with self._context.database.session() as session:
            row = self._lasting(session, principal, share_id)
            if not _was_given(principal, row):
                raise Refused(
                    f"'{row.name}' was not shared with you.",
                    fix="Take it back, if you shared it.",
                )
            if session.get(ShareDismissalRow, (row.id, principal.name)) is not None:
                return
            session.add(ShareDismissalRow(share_id=row.id, user=principal.name))
            audit.record(session, principal, "share.dismiss", row.id, name=row.name)
            if row.group is None and row.notebook_sha256 is not None:
                loose.note(session, row.notebook_sha256)
                row.notebook_sha256 = None

    def delete(self, principal: Principal, share_id: str) -> None:
        """Take a share back; copies that were taken stay. Raises ``NotFound`` or ``Refused``."""
        with self._context.database.session() as session:
            row = self._find(session, principal, share_id)
            if row.sender != principal.name and not principal.admin:
                raise Refused(f"{row.sender} shared '{row.name}'.", fix="Dismiss it, or ask them.")
            audit.record(session, principal, "share.delete", row.id, name=row.name)
            end(session, ShareRow.id == row.id)

    def _find(self, session: Session, principal: Principal, share_id: str) -> ShareRow:
        """Return a share that the caller may see and has not dismissed."""
        row = self._lasting(session, principal, share_id)
        dismissed = session.get(ShareDismissalRow, (row.id, principal.name))
        if dismissed is not None and not principal.admin:
            raise _unknown()
        return row

    def _lasting(self, session: Session, principal: Principal, share_id: str) -> ShareRow:
        row = session.get(ShareRow, share_id)
        if row is None or row.expires_at <= database_now(session) or not _may_see(principal, row):
            raise _unknown()
        return row

    def _create(
        self, principal: Principal, body: ShareCreate, address: str, *, key: str | None
    ) -> Share:
        with self._context.database.session() as session:
            done = idempotency.earlier(session, user=principal.name, key=key, body=body)
            if done is not None:
                return _wire(self._find(session, principal, done))
            now = database_now(session)
            end(session, ShareRow.expires_at <= now)
            _check_room(session, principal)
            image, digest = image_of(session, principal.name, body.server)
            row = ShareRow(
                sender=principal.name,
                receiver=body.receiver,
                group=body.group,
                name=body.name,
                notebook_sha256=address,
                image=image,
                image_digest=digest,
                message=body.message,
                created_at=now,
                expires_at=now + timedelta(days=body.expires_days),
            )
            session.add(row)
            session.flush()
            to = body.receiver or f"group {body.group}"
            audit.record(session, principal, "share.create", row.id, name=row.name, to=to)
            idempotency.remember(session, user=principal.name, key=key, body=body, object_id=row.id)
            return _wire(row)

    def _check_receiver(self, principal: Principal, body: ShareCreate) -> None:
        """Refuse nobody, several, strangers to the Hub and groups that are not the sender's."""
        if (body.receiver is None) == (body.group is None):
            named = "neither" if body.group is None else f"'{body.receiver}' and '{body.group}'"
            raise Invalid(
                f"A share is for one user or one group, not for {named}.",
                field="receiver",
                fix="Name either 'receiver' or 'group'.",
            )
        if body.group is not None and body.group not in principal.groups and not principal.admin:
            yours = ", ".join(principal.groups) or "none"
            raise Invalid(
                f"'{body.group}' is not a group of yours.",
                field="group",
                fix=f"Name one of your groups: {yours}.",
            )
        if body.receiver == principal.name:
            raise Invalid(
                f"'{body.receiver}' is you yourself.",
                field="receiver",
                fix="Name somebody else, or duplicate the file to have a second copy.",
            )
        if body.receiver is not None and not is_user(self._context, body.receiver):
            fix = "Check the name; it is the one they log in with."
            if body.receiver in principal.groups:
                fix = f"It is a group of yours: share with the group, --group {body.receiver}."
            raise Invalid(f"There is no user '{body.receiver}'.", field="receiver", fix=fix)


def end(session: Session, which: ColumnElement[bool]) -> None:
    """Delete the shares ``which`` says, and let go of their notebooks."""
    gone = session.scalars(delete(ShareRow).where(which).returning(ShareRow.notebook_sha256)).all()
    loose.note(session, *(address for address in gone if address is not None))


def _content(notebook: dict[str, Any]) -> bytes:
    """Serialise a notebook as it is, but trusted by nobody; raises ``Invalid``."""
    kept = _untrusted(notebook)
    validate(kept)
    try:
        content = json.dumps(kept, ensure_ascii=False, allow_nan=False, indent=1).encode()
    except ValueError:
        # Python writes NaN into JSON, and no browser reads it.
        raise Invalid(
            "The notebook holds a number that is not finite, or characters that are no text.",
            field="notebook",
            fix="Open and save it in JupyterLab.",
        ) from None
    if len(content) > MAX_BYTES:
        raise Invalid(
            f"The notebook has {len(content) / 1e6:.0f} MB; at most {MAX_BYTES // 10**6} are "
            "shared.",
            field="notebook",
            fix="Clear large outputs, or put data into a shared folder.",
        )
    return content


def _untrusted(notebook: dict[str, Any]) -> dict[str, Any]:
    """Leave out the marks by which Jupyter would run the sender's outputs as the receiver's."""

    def unmarked(thing: Any, *names: str) -> Any:
        if not isinstance(thing, dict) or not isinstance(thing.get("metadata"), dict):
            return thing
        metadata = {name: value for name, value in thing["metadata"].items() if name not in names}
        return {**thing, "metadata": metadata}

    cells = notebook.get("cells")
    if isinstance(cells, list):
        notebook = {**notebook, "cells": [unmarked(cell, "trusted") for cell in cells]}
    unsigned: dict[str, Any] = unmarked(notebook, "signature", "trusted")
    return unsigned


def _check_room(session: Session, principal: Principal) -> None:
    sent = select(func.count()).where(
        ShareRow.sender == principal.name, ShareRow.expires_at > database_now(session)
    )
    if (session.scalar(sent) or 0) >= MOST_SENT:
        raise Conflict(
            f"You share {MOST_SENT} notebooks already.",
            fix="Take some back, or put files that many need into a shared folder.",
        )


def _may_see(principal: Principal, row: ShareRow) -> bool:
    if principal.kind not in ("user", "run"):
        return False
    return (
        principal.admin
        or principal.name in (row.sender, row.receiver)
        or (row.group is not None and row.group in principal.groups)
    )


def _was_given(principal: Principal, row: ShareRow) -> bool:
    """Tell whether a share that ``principal`` may see is for them and not by them."""
    if row.sender == principal.name:
        return False
    return principal.name == row.receiver or row.group in principal.groups


def _unknown() -> NotFound:
    return NotFound("There is no such share.", fix="List what is shared with you.")


def _concerns(principal: Principal, box: Box | None) -> ColumnElement[bool]:
    """Keep what was sent to or by the caller; an administrator's list is no longer than that."""
    if principal.kind not in ("user", "run"):
        return false()
    sent = ShareRow.sender == principal.name
    dismissed = exists().where(
        ShareDismissalRow.share_id == ShareRow.id, ShareDismissalRow.user == principal.name
    )
    received = and_(
        or_(ShareRow.receiver == principal.name, ShareRow.group.in_(principal.groups)),
        ~dismissed,
    )
    if box is Box.sent:
        return sent
    # What one gave to one's own group one has not received.
    return and_(received, ~sent) if box is Box.received else or_(sent, received)


def _wire(row: ShareRow) -> Share:
    return Share(
        id=row.id,
        sender=row.sender,
        receiver=row.receiver,
        group=row.group,
        name=row.name,
        message=row.message,
        image=row.image,
        image_digest=row.image_digest,
        dismissed=row.notebook_sha256 is None,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
