"""What is not under ``/api``: the administrators' page, and figures for Prometheus."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Depends, Query, Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from perijove.types.base import Principal
from perijove.types.usage import UsageSum
from perijove_hub.access import METRICS, require_admin, require_scope, scope
from perijove_hub.api.auth import Reader, caller
from perijove_hub.api.dependencies import Ctx
from perijove_hub.exceptions import Refused
from perijove_hub.usage import charts, metrics
from perijove_hub.usage.overview import STARTS, Filter, Overview, gather
from perijove_hub.usage.quotas import MEASURES

#: Lengths of time the page offers, days.
PERIODS = (7, 30, 90)

router = APIRouter(include_in_schema=False)

Caller = Annotated[Principal, Depends(caller)]
Words = Annotated[str, Query(max_length=255)]


@router.get("/metrics")
def get_metrics(principal: Caller, ctx: Ctx) -> Response:
    """Give an administrator, or the service that may only do this, every figure."""
    if scope(METRICS) in principal.scopes:
        require_scope(principal, METRICS)
    else:
        require_scope(principal, "read")
        require_admin(principal)
    return Response(metrics.text(ctx.database), media_type=metrics.MEDIA_TYPE)


@router.get("/admin")
def get_admin_page(
    principal: Reader,
    ctx: Ctx,
    request: Request,
    days: int = 30,
    actor: Words = "",
    verb: Words = STARTS,
    object: Words = "",  # noqa: A002 - the form's word
    before: Annotated[str, Query(pattern=r"^\d{0,18}$")] = "",
) -> Response:
    """Show administrators what everybody used and what runs now; without scripts."""
    base = urlsplit(ctx.topology.public_url).path.rstrip("/")
    try:
        require_admin(principal)
    except Refused:
        return _page("refused.html", status=403, base=base, name=principal.name)
    shown = Filter(actor.strip(), verb, object.strip(), int(before) if before else None)
    view = gather(ctx, principal, days=days if days in PERIODS else 30, shown=shown)
    return _page("admin.html", base=base, **_drawing(view))


def _page(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    nonce = secrets.token_urlsafe(16)
    content = _templates().get_template(template).render(nonce=nonce, **values)
    headers = {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; "
            # Of no origin, so that no workspace's page that opens this one can read it.
            "form-action 'self'; frame-ancestors 'none'; sandbox allow-forms"
        ),
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
    return HTMLResponse(content, status, headers)


def _drawing(view: Overview) -> dict[str, Any]:
    """Return what the template needs besides the figures themselves."""
    totals = {one.key or "": one.cost or one.hours / 1e6 for one in view.groups}
    # One order of colours for both charts, so that a group looks the same in each.
    names = charts.series(totals)

    def query(**changed: object) -> str:
        now = {
            "days": len(view.days),
            "actor": view.filter.actor,
            "verb": view.filter.verb,
            "object": view.filter.object,
        }
        return urlencode({**now, **changed})

    return {
        "view": view,
        "drawn": {
            "cost": charts.stacked(view.cost, view.days, names, view.currency),
            "hours": charts.stacked(view.hours, view.days, names, "h"),
        },
        "size": {
            "width": charts.WIDTH,
            "height": charts.HEIGHT,
            "left": charts.LEFT,
            "right": charts.RIGHT,
            "bottom": charts.BOTTOM,
        },
        "periods": PERIODS,
        "measures": {**MEASURES, "cost": "cost"},
        "query": query,
        "share": _share,
        "folded": _folded,
    }


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("perijove_hub.usage"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(amount=_amount, plain=_plain, span=_span, day=_day)
    return environment


def _share(one: UsageSum, every: Sequence[UsageSum]) -> float:
    """How long a user's bar is, percent of the longest."""
    most = max(other.cost for other in every)
    if most:
        return 100 * one.cost / most
    return 100 * one.hours / max(max(other.hours for other in every), 1e-9)


def _folded(amounts: Mapping[str, float], legend: Sequence[tuple[str, int]]) -> dict[str, float]:
    return charts.folded(amounts, [name for name, _ in legend])


def _amount(value: float, digits: int = 2) -> str:
    return f"{value:,.{digits}f}"


def _plain(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def _span(hours: float) -> str:
    minutes = round(hours * 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes // 1440} days"


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
