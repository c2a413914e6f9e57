"""Models of MLflow's registry, and deployments of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from perijove.types.base import Page
from perijove.types.jobs import LogChunk
from perijove.types.models import Deployment, DeploymentCreate, DeploymentState, Model
from perijove_hub.api.auth import Deployer, Reader
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx, IdempotencyKey, OwnToken
from perijove_hub.api.paging import Cursor, Limit
from perijove_hub.launch.choose import launcher
from perijove_hub.models.registry import Registry
from perijove_hub.models.service import Deployments

router = APIRouter(tags=["models"], route_class=CheckedRoute)

Words = Annotated[str, Query(max_length=200, description="Part of a name")]


@router.get("/models")
def list_models(
    principal: Reader,
    context: Ctx,
    token: OwnToken,
    q: Words = "",
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[Model]:
    """List registered models the caller may see in MLflow, with their versions."""
    with Registry(context.topology.mlflow_url, token) as registry:
        return Deployments(context).models(
            principal, registry, q=q, cursor=cursor, limit=min(limit, 100)
        )


@router.get("/deployments")
def list_deployments(
    principal: Reader,
    context: Ctx,
    q: Words = "",
    state: DeploymentState | None = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[Deployment]:
    """List deployments the caller may see, by name."""
    return Deployments(context).list(principal, q=q, state=state, cursor=cursor, limit=limit)


@router.post("/deployments", status_code=201, responses={200: {"model": Deployment}})
def create_deployment(
    body: DeploymentCreate,
    principal: Deployer,
    context: Ctx,
    token: OwnToken,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Deployment:
    """Serve a version of a model, or move the caller's deployment of that name to it."""
    with Registry(context.topology.mlflow_url, token) as registry:
        made, deployment = Deployments(context).create(
            principal, body, registry=registry, key=idempotency_key
        )
    response.status_code = 201 if made else 200
    return deployment


@router.get("/deployments/{name}")
def get_deployment(name: str, principal: Reader, context: Ctx) -> Deployment:
    """Show one deployment."""
    return Deployments(context).show(principal, name)


@router.delete("/deployments/{name}", status_code=202)
def delete_deployment(name: str, principal: Deployer, context: Ctx) -> Deployment:
    """Stop serving; the deployment is ``stopping`` until its replicas have ended."""
    return Deployments(context).delete(principal, name)


@router.get("/deployments/{name}/logs")
def deployment_logs(
    name: str,
    principal: Reader,
    context: Ctx,
    offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> LogChunk:
    """Read the log of the newest replica, from byte ``offset``."""
    return Deployments(context).logs(principal, name, launcher=launcher(context), offset=offset)
