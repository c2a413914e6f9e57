"""Routes of notifications."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, status

from perijove.types.base import Page
from perijove.types.notifications import Delivery, Notification, NotificationCreate
from perijove_hub.api.auth import Promoter, Reader
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx
from perijove_hub.api.paging import Cursor, Limit
from perijove_hub.jobs.notifications.service import NotificationService

router = APIRouter(tags=["jobs"], route_class=CheckedRoute)


def _notifications(ctx: Ctx) -> NotificationService:
    return NotificationService(ctx)


Notifications = Annotated[NotificationService, Depends(_notifications)]


@router.get("/jobs/{job_id}/notifications")
def list_notifications(
    principal: Reader,
    notifications: Notifications,
    job_id: str,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[Notification]:
    """List who is told of a job's runs."""
    return notifications.list(principal, job_id, cursor=cursor, limit=limit)


@router.get("/jobs/{job_id}/deliveries")
def list_deliveries(
    principal: Reader,
    notifications: Notifications,
    job_id: str,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[Delivery]:
    """List the messages of a job's last 90 days, newest first, with why any did not arrive."""
    return notifications.deliveries(principal, job_id, cursor=cursor, limit=limit)


@router.post("/jobs/{job_id}/notifications", status_code=status.HTTP_201_CREATED)
def create_notification(
    principal: Promoter, notifications: Notifications, job_id: str, body: NotificationCreate
) -> Notification:
    """Have somebody told of a job's runs; the answer holds a webhook's signing key, once."""
    return notifications.create(principal, job_id, body)


@router.post("/notifications/{notification_id}/test")
def test_notification(
    principal: Promoter, notifications: Notifications, notification_id: str
) -> Notification:
    """Send a message that tells of no run."""
    return notifications.test(principal, notification_id)


@router.delete("/notifications/{notification_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_notification(
    principal: Promoter, notifications: Notifications, notification_id: str
) -> None:
    """Tell somebody no more."""
    notifications.delete(principal, notification_id)
