"""Deployments: what is asked for is written here; ``duty`` makes it so."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from perijove.types.base import Page, Principal, Visibility
from perijove.types.jobs import LogChunk
from perijove.types.models import (
    Deployment,
    DeploymentCreate,
    DeploymentState,
    Model,
    SignatureColumn,
)
from perijove_hub.access import may_change, may_see, sharing, visible
from perijove_hub.api.paging import contains, paginate
from perijove_hub.context import Context
from perijove_hub.exceptions import Conflict, Refused
from perijove_hub.experiments.workspaces import workspace_of
from perijove_hub.images import service as images
from perijove_hub.launch import Launcher
from perijove_hub.models import description, names
from perijove_hub.models.registry import Registry
from perijove_hub.store import audit, idempotency
from perijove_hub.store.models import DeploymentRow, ReplicaRow, utcnow

#: Most bytes of a log in one answer.
LOG_BYTES = 64 * 1024


class Deployments:
    """Reads and writes deployments on behalf of a caller."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def models(
        self, principal: Principal, registry: Registry, *, q: str, cursor: str | None, limit: int
    ) -> Page[Model]:
        """List what the registry shows the caller, with the deployments they may see."""
        models, following = registry.models(q=q, cursor=cursor, limit=limit)
        workspace = workspace_of(principal)
        serving: dict[tuple[str, int], list[str]] = {}
        with self._context.database.reading() as session:
            rows = session.scalars(
                select(DeploymentRow)
                .where(
                    visible(principal, DeploymentRow),
                    DeploymentRow.workspace == workspace,
                    DeploymentRow.stopping.is_(False),
                    DeploymentRow.model.in_([model.name for model in models]),
                )
                .order_by(DeploymentRow.name)
            )
            for row in rows:
                serving.setdefault((row.model, row.version), []).append(row.name)
        for model in models:
            for version in model.versions:
                version.deployed_as = serving.get((model.name, version.version), [])
        return Page[Model](items=models, next_cursor=following)

    def list(
        self,
        principal: Principal,
        *,
        q: str,
        state: DeploymentState | None,
        cursor: str | None,
        limit: int,
    ) -> Page[Deployment]:
        """List deployments the caller may see."""
        rows = select(DeploymentRow).where(visible(principal, DeploymentRow))
        if q:
            pattern = contains(q)
            rows = rows.where(
                DeploymentRow.name.ilike(pattern, escape="\\")
                | DeploymentRow.model.ilike(pattern, escape="\\")
            )
        if state is not None:
            rows = rows.where(DeploymentRow.state == state.value)
        with self._context.database.reading() as session:
            found, following = paginate(
                session,
                rows,
                by=DeploymentRow.name,
                tie=DeploymentRow.id,
                cursor=cursor,
                limit=limit,
            )
            items = [self._wire(row) for row in found]
        return Page[Deployment](items=items, next_cursor=following)

    def show(self, principal: Principal, name: str) -> Deployment:
        """Return one deployment, or raise ``NotFound`` with the nearest name."""
        with self._context.database.reading() as session:
            return self._wire(_seen(session, principal, name))

    def create(
        self, principal: Principal, body: DeploymentCreate, *, registry: Registry, key: str | None
    ) -> tuple[bool, Deployment]:
        """Ask for a version to be served; returns whether the deployment is new.

        Raises ``NotFound`` for an unknown model or version, ``Invalid`` for a model that cannot
        be served and ``Conflict`` for a name that is someone else's.
        """
        with self._context.database.reading() as session:
            if name := idempotency.earlier(session, user=principal.name, key=key, body=body):
                return False, self._wire(_seen(session, principal, name))
        # Before anything is fetched: a model nothing can be named after is refused at once.
        derived = names.derived(body.model) if body.name is None else None
        registry.version(body.model, body.version)
        mlmodel = registry.mlmodel(body.model, body.version)
        inputs, outputs = description.signature(mlmodel)
        path = description.example_path(mlmodel)
        example = registry.example(body.model, body.version, path) if path else b""
        with self._context.database.session() as session:
            # Asked again, now that nobody else can write: a twin may have come first.
            if earlier := idempotency.earlier(session, user=principal.name, key=key, body=body):
                return False, self._wire(_seen(session, principal, earlier))
            image = None
            if body.image is not None:
                image = images.startable(session, principal, body.image, self._context.settings)
            digest = image.digest if image else None
            name = body.name or _own_name(session, principal, derived or "")
            row = session.get(DeploymentRow, name)
            made = row is None
            if row is None:
                visibility, group = sharing(
                    principal, body.visibility or Visibility.private, body.group
                )
                row = DeploymentRow(
                    name=name, owner=principal.name, visibility=visibility, group=group
                )
                session.add(row)
            else:
                _check_move(principal, row, body)
                if body.visibility is not None:
                    row.visibility, row.group = sharing(principal, body.visibility, body.group)
                serving = _is_serving(row, body, workspace_of(principal))
                if serving and row.image_digest == digest:
                    return False, self._wire(row)
                row.generation += 1
            row.model, row.version = body.model, body.version
            row.workspace = workspace_of(principal)
            row.image = images.reference(session, image) if image else None
            row.image_digest = digest
            row.state, row.reason, row.stopping = DeploymentState.starting.value, None, False
            row.inputs = [column.model_dump() for column in inputs]
            row.outputs = [column.model_dump() for column in outputs]
            row.input_example = description.example(example)
            row.updated_at = utcnow()
            try:
                session.flush()
            except IntegrityError:
                # On PostgreSQL a twin may come between the look and the write.
                raise Conflict(
                    f"The name '{name}' was taken a moment ago.",
                    field="name",
                    fix="Try again, or choose another name.",
                ) from None
            audit.record(
                session,
                principal,
                "deploy",
                f"deployment/{name}",
                model=body.model,
                version=body.version,
                generation=row.generation,
                visibility=row.visibility,
                group=row.group,
            )
            idempotency.remember(session, user=principal.name, key=key, body=body, object_id=name)
            return made, self._wire(row)

    def delete(self, principal: Principal, name: str) -> Deployment:
        """Ask for a deployment to be stopped and forgotten."""
        with self._context.database.session() as session:
            row = _changeable(session, principal, name)
            if not row.stopping:
                row.stopping = True
                row.state, row.reason = DeploymentState.stopping.value, None
                audit.record(session, principal, "undeploy", f"deployment/{name}")
            return self._wire(row)

    def logs(self, principal: Principal, name: str, *, launcher: Launcher, offset: int) -> LogChunk:
        """Read the log of the newest replica.

        Only whoever may change the deployment: a model may log what its callers sent.
        """
        with self._context.database.reading() as session:
            row = _changeable(session, principal, name)
            newest = session.scalars(
                select(ReplicaRow)
                .where(ReplicaRow.deployment == row.name)
                .order_by(ReplicaRow.generation.desc(), ReplicaRow.attempt.desc())
                .limit(1)
            ).first()
        if newest is None:
            return LogChunk(text="", offset=offset, next_offset=offset, ended=False)
        content, following = launcher.logs(newest.workload, offset, LOG_BYTES)
        ended = newest.state not in ("starting", "ready") and following == offset
        return LogChunk(
            text=content.decode("utf-8", errors="replace"),
            offset=offset,
            next_offset=following,
            ended=ended,
        )

    def _wire(self, row: DeploymentRow) -> Deployment:
        return Deployment(
            name=row.name,
            owner=row.owner,
            group=row.group,
            visibility=Visibility(row.visibility),
            created_at=row.created_at,
            updated_at=row.updated_at,
            model=row.model,
            version=row.version,
            state=DeploymentState(row.state),
            reason=row.reason,
            image=row.image,
            url=f"{self._context.topology.public_url}/services/serve/{row.name}/invocations",
            inputs=[SignatureColumn.model_validate(item) for item in row.inputs],
            outputs=[SignatureColumn.model_validate(item) for item in row.outputs],
            input_example=row.input_example,
        )


def _seen(session: Session, principal: Principal, name: str) -> DeploymentRow:
    row = session.get(DeploymentRow, name)
    if row is None or not may_see(principal, row):
        known = session.scalars(
            select(DeploymentRow.name).where(visible(principal, DeploymentRow))
        ).all()
        raise names.unknown_deployment(name, known)
    return row


def _changeable(session: Session, principal: Principal, name: str) -> DeploymentRow:
    row = _seen(session, principal, name)
    if not may_change(principal, row):
        raise Refused(
            f"Deployment '{name}' belongs to {row.owner}.",
            fix=f"Ask {row.owner} or an administrator.",
        )
    return row


def _own_name(session: Session, principal: Principal, derived: str) -> str:
    """Return the name to use when none was given: the model's, else the model's and the user's.

    Two people may each deploy a model of the same name without having to agree who was first.
    """
    row = session.get(DeploymentRow, derived)
    if row is None or row.owner == principal.name:
        return derived
    return names.derived(f"{derived}-{principal.name}")


def _check_move(principal: Principal, row: DeploymentRow, body: DeploymentCreate) -> None:
    """Refuse to move what is not the caller's, or not what they meant."""
    if row.owner != principal.name:
        raise Conflict(
            f"The name '{row.name}' is taken by someone else's deployment.",
            field="name",
            fix="Choose another name.",
        )
    if body.name is None and row.model != body.model:
        raise Conflict(
            f"Your deployment '{row.name}' serves another model, '{row.model}'.",
            field="name",
            fix=f"Give a name: '{row.name}' to replace it, or another.",
        )


def _is_serving(row: DeploymentRow, body: DeploymentCreate, workspace: str) -> bool:
    """Tell whether ``row`` already is what ``body`` asks for; a failed one is tried again."""
    return (
        (row.model, row.version, row.workspace) == (body.model, body.version, workspace)
        and row.state in (DeploymentState.starting.value, DeploymentState.ready.value)
        and not row.stopping
    )
