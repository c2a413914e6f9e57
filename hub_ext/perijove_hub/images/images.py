"""Images and their versions on behalf of a caller: list, show, approve, retire, roll back."""

from __future__ import annotations

import difflib
import re

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from perijove.types.base import Page, Principal, Visibility
from perijove.types.images import (
    BuildState,
    Image,
    ImageState,
    ImageVersion,
    Package,
    Rollback,
)
from perijove_hub.access import may_change, may_see, visible
from perijove_hub.api.paging import contains, paginate
from perijove_hub.context import Context
from perijove_hub.exceptions import Conflict, Invalid, NotFound, Refused
from perijove_hub.images import ledger, wire
from perijove_hub.store import audit
from perijove_hub.store.models import BuildRow, ImageRow, ImageVersionRow, PackageRow, utcnow


class Images:
    """Reads and changes images, checked against the caller's rights."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def list(
        self,
        principal: Principal,
        *,
        q: str | None,
        owner: str | None,
        state: ImageState | None,
        package: str | None,
        cursor: str | None,
        limit: int,
    ) -> Page[Image]:
        """List images the caller may see, by name; ``package`` is one of the current version."""
        # Every image has a version from its beginning.
        rows = select(ImageRow).where(visible(principal, ImageRow))
        if q:
            pattern = contains(q)
            rows = rows.where(
                ImageRow.name.ilike(pattern, escape="\\")
                | ImageRow.description.ilike(pattern, escape="\\")
            )
        if owner is not None:
            rows = rows.where(ImageRow.owner == owner)
        if state is not None:
            other = aliased(ImageVersionRow)
            newest = (
                select(func.max(other.version))
                .where(other.image_id == ImageRow.id)
                .correlate(ImageRow)
                .scalar_subquery()
            )
            rows = rows.where(
                select(ImageVersionRow.version)
                .where(
                    ImageVersionRow.image_id == ImageRow.id,
                    ImageVersionRow.version == newest,
                    ImageVersionRow.state == state.value,
                )
                .exists()
            )
        if package:
            names = {package, re.sub(r"[-_.]+", "-", package).lower()}
            rows = rows.where(
                select(PackageRow.name)
                .where(
                    PackageRow.image_id == ImageRow.id,
                    PackageRow.version == ImageRow.current,
                    PackageRow.name.in_(names),
                )
                .exists()
            )
        with self._context.database.reading() as session:
            found, following = paginate(
                session, rows, by=ImageRow.name, tie=ImageRow.id, cursor=cursor, limit=limit
            )
            return Page[Image](items=wire.images(session, found), next_cursor=following)

    def get(self, principal: Principal, name: str) -> Image:
        """Return one image."""
        with self._context.database.reading() as session:
            return wire.images(session, [find(session, principal, name)])[0]

    def versions(
        self, principal: Principal, name: str, *, cursor: str | None, limit: int
    ) -> Page[ImageVersion]:
        """List an image's versions, newest first."""
        with self._context.database.reading() as session:
            row = find(session, principal, name)
            found, following = paginate(
                session,
                select(ImageVersionRow).where(ImageVersionRow.image_id == row.id),
                by=ImageVersionRow.version,
                tie=ImageVersionRow.image_id,
                cursor=cursor,
                limit=limit,
                descending=True,
            )
            items = wire.versions(session, row.name, found)
            return Page[ImageVersion](items=items, next_cursor=following)

    def version(self, principal: Principal, name: str, number: int) -> ImageVersion:
        """Return one version."""
        with self._context.database.reading() as session:
            row, version = find_version(session, principal, name, number)
            return wire.versions(session, row.name, [version])[0]

    def packages(
        self,
        principal: Principal,
        name: str,
        number: int,
        *,
        q: str | None,
        cursor: str | None,
        limit: int,
    ) -> Page[Package]:
        """List what is in a version, by name; ``q`` is part of the name."""
        with self._context.database.reading() as session:
            row, version = find_version(session, principal, name, number)
            rows = select(PackageRow).where(
                PackageRow.image_id == row.id, PackageRow.version == version.version
            )
            if q:
                rows = rows.where(PackageRow.name.ilike(contains(q), escape="\\"))
            found, following = paginate(
                session,
                rows,
                by=PackageRow.name,
                tie=PackageRow.manager,
                cursor=cursor,
                limit=limit,
            )
            items = [
                Package(manager=one.manager, name=one.name, version=one.package_version)
                for one in found
            ]
            return Page[Package](items=items, next_cursor=following)

    def approve(self, principal: Principal, name: str, number: int) -> ImageVersion:
        """Let a tested version start; for administrators."""
        with self._context.database.session() as session:
            row, version = find_version(session, principal, name, number)
            if not principal.admin:
                raise Refused(
                    "Only administrators approve images.",
                    fix="Ask one to look at its packages and approve it.",
                )
            if version.state == ImageState.approved.value:
                return wire.versions(session, row.name, [version])[0]
            if version.state != ImageState.tested.value or version.digest is None:
                raise Conflict(
                    f"'{name}@{number}' is {_stands(version)}; only tested versions are approved.",
                    fix="Build it again and wait for its tests to pass.",
                )
            ledger.approve(session, row, version, by=principal.name)
            session.flush()
            return wire.versions(session, row.name, [version])[0]

    def retire(self, principal: Principal, name: str, number: int) -> ImageVersion:
        """Let a version start no more; what runs from it goes on."""
        with self._context.database.session() as session:
            row, version = find_version(session, principal, name, number)
            _may_change(principal, row)
            if _is_being_built(session, row, number):
                raise Conflict(f"'{name}@{number}' is being built.", fix="Cancel its build first.")
            if version.state != ImageState.retired.value:
                version.state, version.retired_at = ImageState.retired.value, utcnow()
                session.flush()
                if row.current == number:
                    row.current = _newest_approved(session, row)
                audit.record(
                    session, principal, "image.retire", f"image/{row.name}", version=number
                )
            session.flush()
            return wire.versions(session, row.name, [version])[0]

    def rollback(self, principal: Principal, name: str, body: Rollback) -> Image:
        """Make an approved version the current one: the owner of a private image, or an
        administrator."""
        with self._context.database.session() as session:
            row = find(session, principal, name)
            _may_change(principal, row)
            if row.visibility != Visibility.private.value and not principal.admin:
                raise Refused(
                    f"'{row.name}' is shared, so only administrators choose its current version.",
                    fix="Ask an administrator.",
                )
            version = session.get(ImageVersionRow, (row.id, body.version))
            if version is None or version.state != ImageState.approved.value:
                approved = session.scalars(
                    select(ImageVersionRow.version)
                    .where(
                        ImageVersionRow.image_id == row.id,
                        ImageVersionRow.state == ImageState.approved.value,
                    )
                    .order_by(ImageVersionRow.version)
                ).all()
                listed = ", ".join(str(one) for one in approved) or "none"
                raise Invalid(
                    f"'{row.name}' has no approved version {body.version}.",
                    field="version",
                    fix=f"Approved are: {listed}.",
                )
            if row.current != body.version:
                audit.record(
                    session,
                    principal,
                    "image.rollback",
                    f"image/{row.name}",
                    version=body.version,
                    before=row.current,
                )
                row.current = body.version
            session.flush()
            return wire.images(session, [row])[0]


def find(session: Session, principal: Principal, name: str) -> ImageRow:
    """Return an image the caller may see; raises ``NotFound`` as if there were no other."""
    row = session.scalar(select(ImageRow).where(ImageRow.name == name))
    if row is None or not may_see(principal, row):
        names = session.scalars(select(ImageRow.name).where(visible(principal, ImageRow))).all()
        near = difflib.get_close_matches(name, names, n=1)
        raise NotFound(
            f"There is no image '{name}'.",
            fix=f"Did you mean '{near[0]}'?" if near else "List the images you may see.",
        )
    return row


def find_version(
    session: Session, principal: Principal, name: str, number: int
) -> tuple[ImageRow, ImageVersionRow]:
    """Return a version of an image the caller may see; raises ``NotFound``."""
    row = find(session, principal, name)
    version = session.get(ImageVersionRow, (row.id, number))
    if version is None:
        raise NotFound(f"'{row.name}' has no version {number}.", fix="List its versions.")
    return row, version


def _may_change(principal: Principal, row: ImageRow) -> None:
    # Whoever should happen to be called 'perijove' owns none of Perijove's images.
    if not may_change(principal, row) or (row.builtin and not principal.admin):
        raise Refused(
            f"'{row.name}' is {row.owner}'s image.",
            fix=f"Ask {'' if row.builtin else row.owner + ' or '}an administrator.",
        )


def _stands(version: ImageVersionRow) -> str:
    if version.state == ImageState.draft.value:
        return "a draft without a passed test"
    return version.state


def _newest_approved(session: Session, row: ImageRow) -> int | None:
    return session.scalar(
        select(func.max(ImageVersionRow.version)).where(
            ImageVersionRow.image_id == row.id,
            ImageVersionRow.state == ImageState.approved.value,
        )
    )


def _is_being_built(session: Session, row: ImageRow, number: int) -> bool:
    active = (BuildState.queued.value, BuildState.running.value)
    found = session.scalar(
        select(BuildRow.id).where(
            BuildRow.image_id == row.id, BuildRow.version == number, BuildRow.state.in_(active)
        )
    )
    return found is not None
