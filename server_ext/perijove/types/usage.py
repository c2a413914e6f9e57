"""What ran, for how long and at what cost; quotas and how a group stands with them."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from perijove.types.base import Instant, Wire


class UsageBy(StrEnum):
    """What a report adds up by."""

    user = "user"
    group = "group"
    kind = "kind"
    image = "image"
    day = "day"


class UsageSum(Wire):
    """Hours and cost of one user, group, kind, image or day."""

    key: str | None = None
    """Null for what has none, such as the group of a user without groups. Days are UTC."""
    hours: float = 0
    gpu_hours: float = 0
    """Hours times GPUs."""
    cost: float = 0
    """Hours times the price per hour that held when each stretch began."""


class QuotaStanding(Wire):
    """How a group stands with one of its limits, within the rolling window."""

    measure: str
    """``hours``, ``gpu_hours`` or ``cost``."""
    used: float
    limit: float
    over: bool
    below_at: Instant | None = None
    """When it is below the limit again, if nothing more runs until then."""


class GroupUsage(Wire):
    """A group's total, which its members may see."""

    group: str
    total: UsageSum
    quotas: list[QuotaStanding] = []


class UsageReport(Wire):
    """What ran on some days: the caller's own, or everybody's for administrators."""

    first: date
    last: date
    """Both days belong to it."""
    currency: str
    by: UsageBy
    items: list[UsageSum] = []
    total: UsageSum
    groups: list[GroupUsage] = []
    """The caller's groups; all of them for administrators."""


class RunningUsage(Wire):
    """Something of the caller's that runs now."""

    kind: str
    object: str
    image: str = ""
    size: str = ""
    gpus: float = 0
    price: float = 0
    """Per hour."""
    started_at: Instant
    hours: float
    cost: float
    warning: str | None = None
    """Why it is going to be stopped."""
    stops_at: Instant | None = None


class MyUsage(Wire):
    """What of the caller's runs now, and what it has cost so far."""

    currency: str
    cost: float
    running: list[RunningUsage] = []
