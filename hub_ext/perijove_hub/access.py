"""Who may do what to which object, decided in this one place and closed by default."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, or_, true

from perijove.types.base import Principal, Visibility
from perijove_hub.exceptions import Invalid, Refused
from perijove_hub.store.models import JobRow, OwnedRow

#: What a token can be allowed to do; each is a Hub scope ``custom:perijove:VERB``.
VERBS: dict[str, str] = {
    "read": "See the catalog, experiments, jobs, runs and deployments one has a right to",
    "query": "Run read-only queries against sources one has a right to",
    "run": "Run and cancel jobs one owns or shares",
    "promote": "Create, change and delete jobs",
    "deploy": "Deploy and undeploy models",
    "predict": "Call deployed models",
    "build": "Build images and change those one owns",
    "start": "Start, keep alive and stop one's remote kernels and workspaces",
    "share": "Share notebooks and take what is shared",
}

#: A scope that no user has, for a service that only reads figures.
METRICS = "metrics"


def scope(verb: str) -> str:
    """Name the Hub scope of ``verb``."""
    return f"custom:perijove:{verb}"


def require_scope(principal: Principal, verb: str, service: str = "perijove") -> None:
    """Refuse a token that may not reach ``service`` or lacks ``verb``.

    Raises ``Refused``.
    """
    reach = {"access:services", f"access:services!service={service}"}
    if not reach & set(principal.scopes):
        raise Refused(
            f"This token does not reach the service '{service}'.",
            fix=f"Ask for a token with the scope access:services!service={service}.",
        )
    if scope(verb) not in principal.scopes:
        raise Refused(
            f"This token may not {verb}.", fix=f"Ask for a token with the scope {scope(verb)}."
        )


def require_admin(principal: Principal) -> None:
    """Refuse everybody but administrators. Raises ``Refused``."""
    if principal.kind != "user" or not principal.admin:
        raise Refused("Only administrators may see this.", fix="Ask one of them.")


def may_see(principal: Principal, row: OwnedRow) -> bool:
    """Tell whether ``principal`` may know of ``row`` and read it."""
    if may_change(principal, row):
        return True
    if principal.kind not in ("user", "run"):
        return False
    if row.visibility == Visibility.everyone:
        return True
    return row.visibility == Visibility.group and row.group in principal.groups


def may_change(principal: Principal, row: OwnedRow) -> bool:
    """Tell whether ``principal`` may change or delete ``row``: its owner or an administrator.

    A job's owner may be a group besides.
    """
    if principal.kind not in ("user", "run"):
        return False
    if principal.admin or row.owner == principal.name:
        return True
    return isinstance(row, JobRow) and row.owner_group in principal.groups


def visible(principal: Principal, table: type[OwnedRow]) -> ColumnElement[bool]:
    """The condition that keeps the rows ``may_see`` would allow."""
    if principal.kind not in ("user", "run"):
        return ~true()
    if principal.admin:
        return true()
    return or_(
        table.owner == principal.name,
        table.visibility == Visibility.everyone.value,
        and_(
            table.visibility == Visibility.group.value,
            table.group.in_(principal.groups),
        ),
    )


def may_read_source(principal: Principal, groups: Sequence[str]) -> bool:
    """Tell whether ``principal`` may read a source open to ``groups`` (``*``: every user)."""
    if principal.kind not in ("user", "run"):
        return False
    return principal.admin or "*" in groups or bool(set(groups) & set(principal.groups))


def sharing(
    principal: Principal, visibility: Visibility, group: str | None
) -> tuple[str, str | None]:
    """Check what a caller asks to share with and return ``(visibility, group)`` to store.

    A group may be left out by someone who is in exactly one. Raises ``Invalid``.
    """
    if visibility is not Visibility.group:
        return visibility.value, None
    if group is None and len(principal.groups) == 1:
        group = principal.groups[0]
    if group is None or (group not in principal.groups and not principal.admin):
        yours = ", ".join(principal.groups) or "none"
        raise Invalid(
            f"'{group}' is not a group of yours." if group else "Which group?",
            field="group",
            fix=f"Name one of your groups: {yours}.",
        )
    return visibility.value, group
