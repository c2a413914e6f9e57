"""What may start, for every path that starts anything, and the images shipped with Perijove."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from perijove.types.base import Principal, Visibility
from perijove.types.images import REFERENCE_PATTERN, Choice, ImageState, Package
from perijove_hub.access import may_see, visible
from perijove_hub.exceptions import Invalid
from perijove_hub.settings import Settings
from perijove_hub.store import audit
from perijove_hub.store.models import (
    ImageRow,
    ImageVersionRow,
    PackageRow,
    PrincipalRow,
    utcnow,
)

#: Who owns what is shipped with Perijove.
BUILTIN_OWNER = "perijove"


def startable(
    session: Session,
    principal: Principal,
    reference: str | None,
    settings: Settings,
    *,
    field: str = "image",
) -> ImageVersionRow:
    """Return the version that ``reference`` stands for, with a digest and approved.

    ``NAME@VERSION``, ``NAME`` for its current version, ``None`` for the default image's.
    Raises ``Invalid`` at ``field`` for anything that may not start, or that the caller may not
    see, which reads as if it did not exist.
    """
    wanted = settings.workspaces.default_image if reference is None else reference
    if not re.fullmatch(REFERENCE_PATTERN, wanted):
        raise Invalid(
            f"{wanted[:100]!r} is not an image's name.", field=field, fix="Write NAME or NAME@3."
        )
    name, _, number = wanted.partition("@")
    row = session.scalar(select(ImageRow).where(ImageRow.name == name))
    if row is None or not may_see(principal, row):
        raise _unknown(session, principal, name, field=field)
    version = int(number) if number else row.current
    found = session.get(ImageVersionRow, (row.id, version)) if version else None
    if found is None or found.state != ImageState.approved.value or not found.digest:
        raise _not_startable(session, row, found, number=number, field=field)
    return found


@dataclass(frozen=True)
class Started:
    """What something starts from."""

    digest: str
    reference: str
    """``NAME@VERSION``."""

    @property
    def environment(self) -> dict[str, str]:
        """What tells the code inside where it is, for what it promotes and deploys."""
        return {"PERIJOVE_IMAGE": self.reference, "PERIJOVE_IMAGE_DIGEST": self.digest}


def started(session: Session, user: str, wanted: str | None, settings: Settings) -> Started:
    """Return what work of ``user`` starts from, with the rights they have now.

    For runs and replicas, which start without their owner asking. Raises ``Invalid``.
    """
    known = session.get(PrincipalRow, user)
    principal = Principal(
        name=user,
        groups=list(known.groups) if known else [],
        admin=known.admin if known else False,
    )
    version = startable(session, principal, wanted, settings)
    return Started(version.digest or "", reference(session, version))


def reference(session: Session, version: ImageVersionRow) -> str:
    """Name a version: ``NAME@VERSION``."""
    return f"{session.get_one(ImageRow, version.image_id).name}@{version.version}"


def choices(
    session: Session, user: str, groups: Sequence[str] = (), admin: bool = False
) -> list[Choice]:
    """Return what ``user`` can start, by name: the current version of each image they see."""
    principal = Principal(name=user, groups=list(groups), admin=admin)
    rows = session.execute(
        select(ImageRow, ImageVersionRow)
        .join(
            ImageVersionRow,
            (ImageVersionRow.image_id == ImageRow.id)
            & (ImageVersionRow.version == ImageRow.current),
        )
        .where(
            visible(principal, ImageRow),
            ImageVersionRow.state == ImageState.approved.value,
            ImageVersionRow.digest.is_not(None),
        )
        .order_by(ImageRow.name)
    )
    return [
        Choice(
            name=image.name,
            version=version.version,
            digest=version.digest or "",
            description=image.description,
            interfaces=list(version.interfaces),
            gpu=version.gpu,
            size_bytes=version.size_bytes,
            builtin=image.builtin,
            owner=image.owner,
        )
        for image, version in rows
    ]


def register_builtin(
    session: Session,
    name: str,
    *,
    digest: str,
    description: str,
    interfaces: Sequence[str],
    gpu: bool = False,
    size_bytes: int | None = None,
    packages: Iterable[Package] = (),
) -> ImageVersionRow:
    """Offer an image that is shipped with Perijove to everyone.

    A new digest makes a new approved version and the current one; a known digest changes nothing
    but the description, so that an administrator's rollback lasts. Raises ``Invalid`` when a
    user's image has the name.
    """
    row = session.scalar(select(ImageRow).where(ImageRow.name == name))
    if row is None:
        row = ImageRow(
            name=name,
            owner=BUILTIN_OWNER,
            visibility=Visibility.everyone.value,
            builtin=True,
        )
        session.add(row)
    elif not row.builtin:
        raise Invalid(
            f"{row.owner} has an image '{name}', which is the name of one of Perijove's.",
            field="name",
            fix="Rename it in the database, or start without Perijove's.",
        )
    row.description = description
    session.flush()
    known = session.scalar(
        select(ImageVersionRow)
        .where(ImageVersionRow.image_id == row.id, ImageVersionRow.digest == digest)
        .order_by(ImageVersionRow.version.desc())
        .limit(1)
    )
    if known is not None:
        known.interfaces, known.gpu = list(interfaces), gpu
        return known
    version = ImageVersionRow(
        image_id=row.id,
        version=next_version(session, row.id),
        state=ImageState.approved.value,
        digest=digest,
        interfaces=list(interfaces),
        gpu=gpu,
        size_bytes=size_bytes,
        created_by=BUILTIN_OWNER,
        approved_by=BUILTIN_OWNER,
        approved_at=utcnow(),
    )
    session.add(version)
    session.flush()
    record_packages(session, version, packages)
    row.current = version.version
    audit.record(
        session,
        BUILTIN_OWNER,
        "image.register",
        f"image/{name}",
        version=version.version,
        digest=digest,
    )
    return version


def next_version(session: Session, image_id: str) -> int:
    """Return the number of an image's next version."""
    newest = session.scalar(
        select(func.max(ImageVersionRow.version)).where(ImageVersionRow.image_id == image_id)
    )
    return (newest or 0) + 1


def record_packages(
    session: Session, version: ImageVersionRow, packages: Iterable[Package]
) -> None:
    """Replace what is known to be in a version; of two of one name the last counts."""
    session.execute(
        delete(PackageRow).where(
            PackageRow.image_id == version.image_id, PackageRow.version == version.version
        )
    )
    found = {(one.manager, one.name): one.version for one in packages}
    session.add_all(
        PackageRow(
            image_id=version.image_id,
            version=version.version,
            manager=manager,
            name=name,
            package_version=number,
        )
        for (manager, name), number in found.items()
    )


def _unknown(session: Session, principal: Principal, name: str, *, field: str) -> Invalid:
    names = session.scalars(
        select(ImageRow.name).where(visible(principal, ImageRow)).order_by(ImageRow.name)
    ).all()
    near = difflib.get_close_matches(name, names, n=1)
    listed = ", ".join(names[:10]) or "none yet"
    return Invalid(
        f"There is no image '{name}'.",
        field=field,
        fix=f"Did you mean '{near[0]}'?" if near else f"There are: {listed}.",
    )


def _not_startable(
    session: Session, row: ImageRow, found: ImageVersionRow | None, *, number: str, field: str
) -> Invalid:
    """Say why a version of an image that the caller sees does not start."""
    approved = session.scalar(
        select(func.max(ImageVersionRow.version)).where(
            ImageVersionRow.image_id == row.id,
            ImageVersionRow.state == ImageState.approved.value,
        )
    )
    fix = (
        f"Choose '{row.name}@{approved}'."
        if approved
        else "Ask an administrator to approve a tested version, or choose another image."
    )
    if found is None:
        what = (
            f"'{row.name}' has no version {number}."
            if number
            else f"No version of '{row.name}' is approved."
        )
    elif found.removed_at is not None:
        what = (
            f"'{row.name}@{found.version}' was retired, and removed on "
            f"{found.removed_at:%Y-%m-%d} because nothing used it."
        )
        if not approved:
            fix = (
                "Build it again: 'perijove images spec "
                f"{row.name}@{found.version} > {row.name}.toml' writes down what it was made of."
            )
    else:
        state = "not built" if found.state == ImageState.draft.value else found.state
        what = f"'{row.name}@{found.version}' is {state}; only approved versions start."
    return Invalid(what, field=field, fix=fix)
