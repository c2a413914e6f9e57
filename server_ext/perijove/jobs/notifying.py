"""Who is told of a job's runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from perijove.client import Client
from perijove.jobs.finding import JobError, find
from perijove.options import Option, duration, one_of, seconds
from perijove.types.base import Page
from perijove.types.notifications import (
    Channel,
    Delivery,
    Notification,
    NotificationCreate,
    NotifyOn,
)

_event = one_of(NotifyOn)


def _events(given: str) -> list[NotifyOn]:
    return [_event(one.strip()) for one in given.split(",")]


#: What the command line and the magic take as well.
NOTIFY = (
    Option("on", "With commas between: started, succeeded, failed, late, recovered.", _events),
    Option(
        "late_after",
        "A run is late this long after its slot, or after it was queued.",
        seconds,
        "DURATION",
    ),
)


def notify(
    name: str,
    *,
    webhook: str | None = None,
    email: str | None = None,
    on: Sequence[NotifyOn | str] | None = None,
    late_after: int | str | None = None,
    owner: str | None = None,
) -> Notification:
    """Have a job's runs told of at one of ``webhook`` (a URL) and ``email`` (an address).

    ``on`` is ``failed`` and ``recovered`` if left out; ``late_after`` (seconds or ``"2h"``) adds
    ``late``. A webhook's answer holds the key its messages are signed with, this once.
    """
    if (webhook is None) == (email is None):
        raise JobError("Say one of webhook and email.")
    given: dict[str, Any] = {"on": [NotifyOn(one) for one in on]} if on else {}
    if late_after is not None:
        given["late_after_s"] = seconds(str(late_after))
        events = given.get("on", [NotifyOn.failed, NotifyOn.recovered])
        given["on"] = [*events, *([] if NotifyOn.late in events else [NotifyOn.late])]
    body = NotificationCreate(
        channel=Channel.webhook if webhook else Channel.email,
        target=webhook or email or "",
        **given,
    )
    with Client() as client:
        job = find(client, name, owner)
        return client.post(Notification, f"/jobs/{job.id}/notifications", body)


def notifications(name: str, *, owner: str | None = None) -> list[Notification]:
    """Return who is told of a job's runs."""
    with Client() as client:
        path = f"/jobs/{find(client, name, owner).id}/notifications"
        return list(client.pages(Notification, path))


def deliveries(name: str, *, limit: int = 50, owner: str | None = None) -> list[Delivery]:
    """Return the newest messages of a job, newest first, and why any did not arrive."""
    with Client() as client:
        path = f"/jobs/{find(client, name, owner).id}/deliveries"
        return client.get(Page[Delivery], path, limit=limit).items


def try_notification(notification_id: str) -> Notification:
    """Send a message that tells of no run."""
    with Client() as client:
        return client.post(Notification, f"/notifications/{quote(notification_id, safe='')}/test")


def unnotify(notification_id: str) -> None:
    """Tell somebody no more."""
    with Client() as client:
        client.delete(f"/notifications/{quote(notification_id, safe='')}")


def told_of(order: Notification) -> str:
    """Say in words what an order tells of."""
    late = f" ({duration(order.late_after_s)})" if order.late_after_s else ""
    return ", ".join(f"{one}{late if one is NotifyOn.late else ''}" for one in order.on)
