"""Routes of images and their builds."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, status

from perijove.types.base import Page
from perijove.types.images import (
    Build,
    Image,
    ImageBuild,
    ImageState,
    ImageVersion,
    Package,
    Rollback,
)
from perijove.types.jobs import LogChunk
from perijove_hub.api.auth import Builder, Reader
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx, IdempotencyKey
from perijove_hub.api.paging import Cursor, Limit
from perijove_hub.images.builds import Builds
from perijove_hub.images.images import Images

router = APIRouter(tags=["images"], route_class=CheckedRoute)

Offset = Annotated[int, Query(ge=0, le=2**53, description="First byte of the log to return")]
Words = Annotated[str | None, Query(max_length=200, description="Part of the name")]
Exact = Annotated[str | None, Query(max_length=255, description="Exactly this value")]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


def _images(ctx: Ctx) -> Images:
    return Images(ctx)


def _builds(ctx: Ctx) -> Builds:
    return Builds(ctx)


TheImages = Annotated[Images, Depends(_images)]
TheBuilds = Annotated[Builds, Depends(_builds)]


@router.post("/images", status_code=status.HTTP_201_CREATED)
def build_image(
    principal: Builder,
    builds: TheBuilds,
    body: ImageBuild,
    idempotency_key: IdempotencyKey = None,
) -> Build:
    """Build an image: a new one, or the next version of the caller's image of that name."""
    return builds.create(principal, body, key=idempotency_key)


@router.get("/images")
def list_images(
    principal: Reader,
    images: TheImages,
    q: Words = None,
    owner: Exact = None,
    state: Annotated[ImageState | None, Query(description="State of the newest version")] = None,
    package: Annotated[
        str | None, Query(max_length=255, description="A package of the current version")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[Image]:
    """List the images the caller may see."""
    return images.list(
        principal,
        q=q,
        owner=owner,
        state=state,
        package=package,
        cursor=cursor,
        limit=limit,
    )


@router.get("/images/{name}")
def get_image(principal: Reader, images: TheImages, name: str) -> Image:
    """Show one image."""
    return images.get(principal, name)


@router.get("/images/{name}/versions")
def list_image_versions(
    principal: Reader, images: TheImages, name: str, cursor: Cursor = None, limit: Limit = 50
) -> Page[ImageVersion]:
    """List an image's versions, newest first."""
    return images.versions(principal, name, cursor=cursor, limit=limit)


@router.get("/images/{name}/versions/{version}")
def get_image_version(
    principal: Reader, images: TheImages, name: str, version: Number
) -> ImageVersion:
    """Show one version: what it is made of and how its build went."""
    return images.version(principal, name, version)


@router.get("/images/{name}/versions/{version}/packages")
def list_image_packages(
    principal: Reader,
    images: TheImages,
    name: str,
    version: Number,
    q: Words = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[Package]:
    """List the packages in a version."""
    return images.packages(principal, name, version, q=q, cursor=cursor, limit=limit)


@router.post("/images/{name}/versions/{version}/approve")
def approve_image(
    principal: Builder, images: TheImages, name: str, version: Number
) -> ImageVersion:
    """Let a tested version start; for administrators."""
    return images.approve(principal, name, version)


@router.post("/images/{name}/versions/{version}/retire")
def retire_image(principal: Builder, images: TheImages, name: str, version: Number) -> ImageVersion:
    """Let a version start no more; what runs from it goes on."""
    return images.retire(principal, name, version)


@router.post("/images/{name}/rollback")
def rollback_image(principal: Builder, images: TheImages, name: str, body: Rollback) -> Image:
    """Make another approved version the current one."""
    return images.rollback(principal, name, body)


@router.get("/builds")
def list_builds(
    principal: Reader, builds: TheBuilds, cursor: Cursor = None, limit: Limit = 50
) -> Page[Build]:
    """List the builds the caller asked for, newest first."""
    return builds.list(principal, cursor=cursor, limit=limit)


@router.get("/builds/{build_id}")
def get_build(principal: Reader, builds: TheBuilds, build_id: str) -> Build:
    """Show one build and how far it has got."""
    return builds.get(principal, build_id)


@router.get("/builds/{build_id}/log")
def get_build_log(
    principal: Reader, builds: TheBuilds, build_id: str, offset: Offset = 0
) -> LogChunk:
    """Read a build's log from a byte on, while it runs and afterwards."""
    return builds.log(principal, build_id, offset)


@router.post("/builds/{build_id}/cancel")
def cancel_build(principal: Builder, builds: TheBuilds, build_id: str) -> Build:
    """Cancel a build; one that has ended stays as it is."""
    return builds.cancel(principal, build_id)
