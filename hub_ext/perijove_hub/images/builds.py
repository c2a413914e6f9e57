"""Builds on behalf of a caller: ask for one, watch it, cancel it."""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from perijove.types.base import Page, Principal, Visibility
from perijove.types.images import Build, BuildState, ImageBuild, ImageSpec
from perijove.types.jobs import LogChunk
from perijove_hub.access import may_change, sharing
from perijove_hub.api.paging import paginate
from perijove_hub.context import Context
from perijove_hub.exceptions import Conflict, Invalid, NotFound, Refused
from perijove_hub.images import images, service, steps, wire
from perijove_hub.images.log import folder_of, read
from perijove_hub.jobs.runs import whole_characters
from perijove_hub.store import audit, idempotency
from perijove_hub.store.models import BuildRow, ImageRow, ImageVersionRow, PackageRow, utcnow

#: Most bytes of a log in one answer.
CHUNK = 256 * 1024
#: Builds of one user that may wait or run.
MAX_WAITING = 10
#: Names of Perijove's own images, those not registered here too.
RESERVED = frozenset({"base", "cpu", "gpu", "python", "runner", "replica", "hub", "postgres"})

_ACTIVE = (BuildState.queued.value, BuildState.running.value)


class Builds:
    """Reads and asks for builds, checked against the caller's rights to the image."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def create(self, principal: Principal, body: ImageBuild, *, key: str | None) -> Build:
        """Queue a build: a new image, or the next version of the caller's image of that name.

        Raises ``Invalid`` for a specification that cannot be built and ``Conflict`` for a name
        that is someone else's.
        """
        if self._context.topology.spawner != "docker":
            raise Conflict(
                "This Perijove runs without Docker, so it builds no images.",
                fix="Ask an administrator to start it with --spawner docker.",
            )
        _check(body.spec)
        if body.approve and not principal.admin:
            raise Refused(
                "Only administrators approve images.",
                fix="Build it without approval, and ask one when its tests have passed.",
            )
        try:
            return self._create(principal, body, key=key)
        except IntegrityError:
            # The same key or name at the same moment: now it is there to be found.
            return self._create(principal, body, key=key)

    def list(self, principal: Principal, *, cursor: str | None, limit: int) -> Page[Build]:
        """List the builds the caller asked for, newest first."""
        with self._context.database.reading() as session:
            found, following = paginate(
                session,
                select(BuildRow).where(BuildRow.requested_by == principal.name),
                by=BuildRow.queued_at,
                tie=BuildRow.id,
                cursor=cursor,
                limit=limit,
                descending=True,
            )
            wanted = select(ImageRow.id, ImageRow.name).where(
                ImageRow.id.in_({row.image_id for row in found})
            )
            names = {key: name for key, name in session.execute(wanted)}  # noqa: C416
            items = [wire.build(row, names[row.image_id]) for row in found]
            return Page[Build](items=items, next_cursor=following)

    def get(self, principal: Principal, build_id: str) -> Build:
        """Return one build."""
        with self._context.database.reading() as session:
            row, image = _find(session, principal, build_id)
            return wire.build(row, image.name)

    def cancel(self, principal: Principal, build_id: str) -> Build:
        """Cancel a build; one that has ended stays as it is."""
        with self._context.database.session() as session:
            row, image = _find(session, principal, build_id)
            if not may_change(principal, image):
                raise Refused(f"Only {image.owner} may cancel builds of '{image.name}'.")
            reason = f"Cancelled by {principal.name}."
            # Conditional, because the worker may take or end the build at this moment.
            this = update(BuildRow).where(BuildRow.id == build_id)
            session.execute(
                this.where(BuildRow.state == BuildState.queued.value).values(
                    state=BuildState.cancelled.value, reason=reason, ended_at=utcnow()
                )
            )
            session.execute(
                this.where(
                    BuildRow.state == BuildState.running.value,
                    BuildRow.cancel_requested.is_(False),
                ).values(cancel_requested=True, reason=reason)
            )
            audit.record(session, principal, "image.build.cancel", build_id)
            session.refresh(row)
            return wire.build(row, image.name)

    def log(self, principal: Principal, build_id: str, offset: int) -> LogChunk:
        """Read a build's log from byte ``offset``."""
        with self._context.database.reading() as session:
            row, _ = _find(session, principal, build_id)
        ended = BuildState(row.state).terminal
        if ended:
            content = self._context.blobs.get(row.log_sha256) if row.log_sha256 else b""
            piece = content[offset : offset + CHUNK]
            last = offset + len(piece) >= len(content)
        else:
            piece = read(folder_of(self._context, row.id), offset, CHUNK)
            last = False
        piece = piece if last else whole_characters(piece)
        following = offset + len(piece)
        return LogChunk(
            text=piece.decode("utf-8", errors="replace"),
            offset=offset,
            next_offset=following,
            ended=ended and last,
        )

    def _create(self, principal: Principal, body: ImageBuild, *, key: str | None) -> Build:
        spec = body.spec
        with self._context.database.session() as session:
            done = idempotency.earlier(session, user=principal.name, key=key, body=body)
            if done is not None:
                row, image = _find(session, principal, done)
                return wire.build(row, image.name)
            base = service.startable(
                session, principal, spec.base, self._context.settings, field="spec.base"
            )
            _check_conda(session, base, spec)
            _check_queue(session, principal)
            image = _image(session, principal, spec)
            version = ImageVersionRow(
                image_id=image.id,
                version=service.next_version(session, image.id),
                base_digest=base.digest,
                # With the version that the base's name stands for today.
                spec={
                    **spec.model_dump(mode="json"),
                    "base": service.reference(session, base),
                },
                interfaces=list(base.interfaces),
                gpu=base.gpu,
                created_by=principal.name,
            )
            row = BuildRow(
                image_id=image.id,
                version=version.version,
                requested_by=principal.name,
                approve=body.approve,
            )
            session.add_all([version, row])
            session.flush()
            audit.record(
                session,
                principal,
                "image.build",
                f"image/{image.name}",
                version=version.version,
                build=row.id,
                base=base.digest,
            )
            idempotency.remember(session, user=principal.name, key=key, body=body, object_id=row.id)
            session.flush()
            return wire.build(row, image.name)


def _check(spec: ImageSpec) -> None:
    """Refuse what can never be built; raises ``Invalid``."""
    found = steps.requirements(spec)
    if not (spec.apt or found or spec.conda):
        raise Invalid(
            "The specification names no packages, so there is nothing to build.",
            field="spec",
            fix="Add 'apt', 'pip', 'requirements' or 'conda'.",
        )
    if spec.name in RESERVED:
        raise Invalid(
            f"'{spec.name}' is the name of one of Perijove's images.",
            field="spec.name",
            fix=f"Choose another name, such as 'my-{spec.name}'.",
        )


def _check_conda(session: Session, base: ImageVersionRow, spec: ImageSpec) -> None:
    """Refuse conda packages where nothing of conda's is in the base, as far as is known here.

    The worker asks the engine for the base's label before it begins.
    """
    if not spec.conda:
        return
    managers = set(
        session.scalars(
            select(PackageRow.manager)
            .where(PackageRow.image_id == base.image_id, PackageRow.version == base.version)
            .distinct()
        )
    )
    if managers and "conda" not in managers:
        raise steps.no_conda(spec)


def _check_queue(session: Session, principal: Principal) -> None:
    waiting = session.scalar(
        select(func.count())
        .select_from(BuildRow)
        .where(BuildRow.requested_by == principal.name, BuildRow.state.in_(_ACTIVE))
    )
    if (waiting or 0) >= MAX_WAITING:
        raise Conflict(
            f"{waiting} builds of yours wait or run already.",
            fix="Wait for them to end, or cancel some.",
        )


def _image(session: Session, principal: Principal, spec: ImageSpec) -> ImageRow:
    """Return the caller's image of this name, made or changed as the specification says."""
    row = session.scalar(select(ImageRow).where(ImageRow.name == spec.name))
    if row is None:
        visibility, group = sharing(principal, spec.visibility or Visibility.private, spec.group)
        row = ImageRow(name=spec.name, owner=principal.name, visibility=visibility, group=group)
        session.add(row)
    elif row.builtin or row.owner != principal.name:
        raise Conflict(
            f"The name '{spec.name}' is taken by someone else's image.",
            field="spec.name",
            fix="Choose another name.",
        )
    elif spec.visibility is not None:
        row.visibility, row.group = sharing(principal, spec.visibility, spec.group)
    if spec.description or not row.description:
        row.description = spec.description
    row.updated_at = utcnow()
    session.flush()
    return row


def _find(session: Session, principal: Principal, build_id: str) -> tuple[BuildRow, ImageRow]:
    """Return a build of an image the caller may see; raises ``NotFound``."""
    row = session.get(BuildRow, build_id)
    image = session.get(ImageRow, row.image_id) if row else None
    try:
        if row is None or image is None:
            raise NotFound("")
        return row, images.find(session, principal, image.name)
    except NotFound:
        raise NotFound("There is no such build.", fix="Look at the image's versions.") from None
