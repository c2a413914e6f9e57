"""Messages under load: nobody's hold up another's, none is sent twice, no server is heard for ever.

Also who is refused what, and by which words.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text, update

from perijove.types.base import Principal
from perijove.types.notifications import Channel, NotificationCreate, NotifyOn
from perijove_hub.exceptions import Refused
from perijove_hub.jobs.notifications import duty as duties
from perijove_hub.jobs.notifications import mail
from perijove_hub.jobs.notifications import service as services
from perijove_hub.jobs.notifications.duty import EACH, NotificationDuty
from perijove_hub.jobs.notifications.exceptions import NotDelivered
from perijove_hub.jobs.notifications.message import Message
from perijove_hub.jobs.notifications.service import NotificationService
from perijove_hub.settings import NotificationSettings, SmtpSettings
from perijove_hub.store.models import DeliveryRow, JobRow, utcnow
from tests.fixtures.processes import wait_until
from tests.jobs.conftest import ADA, BOB, Platform

#: More than were ever looked at to find one to send.
MANY = 600
QUICK = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


@contextlib.contextmanager
def server(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server on loopback that does ``talk`` with each who calls; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    caller, _ = listening.accept()
                except OSError:
                    return
                with caller, contextlib.suppress(OSError):
                    talk(caller)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        # Closing alone would wake nobody.
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A server that takes calls and never answers; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def order(platform: Platform, port: int, by: Principal, *, messages: int) -> None:
    """Have a job of ``by`` with so many messages that are due, the older the more there are."""
    platform.context.settings.notifications = NotificationSettings(allow=["127.0.0.1"])
    body = NotificationCreate(channel=Channel.webhook, target=f"http://127.0.0.1:{port}/")
    job = platform.promote(name=f"of-{by.name}", by=by)
    made = NotificationService(platform.context).create(by, job.id, body)
    run = platform.run(job, by)
    since = utcnow() - timedelta(seconds=messages)
    rows = [
        {
            "notification_id": made.id,
            "key": f"failed:{number}",
            "event": NotifyOn.failed.value,
            "run_id": run.id,
            "next_at": since,
        }
        for number in range(messages)
    ]
    with platform.context.database.session() as session:
        session.execute(insert(DeliveryRow), rows)


def tried(platform: Platform) -> tuple[int, Sequence[str]]:
    """How often anything was tried, and the states of all that was."""
    with platform.context.database.reading() as session:
        times = session.scalar(select(func.sum(DeliveryRow.attempts)))
        states = select(DeliveryRow.state).where(DeliveryRow.attempts > 0)
        return times or 0, sorted(session.scalars(states))


def ended(duty: NotificationDuty) -> None:
    """Wait for its threads: they note what became of it, for which the database has to be there."""
    wait_until(lambda: not any(one.is_alive() for one in duty._busy), what="the threads' end")


def test_one_persons_thousands_hold_nobody_elses_up(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = 0
    claim = NotificationDuty._claim

    def counted(self: NotificationDuty) -> Any:
        nonlocal claims
        claims += 1
        return claim(self)

    monkeypatch.setattr(NotificationDuty, "_claim", counted)
    with server(lambda caller: caller.sendall(QUICK.encode()) or caller.recv(9999)) as quick:
        with silent() as slow:
            order(platform, slow, BOB, messages=MANY)
            order(platform, quick, ADA, messages=1)
            duty = NotificationDuty(platform.context)
            duty.tick()
            # On a machine that is busy it may come after this step.
            wait_until(lambda: "sent" in tried(platform)[1], what="her message")
            assert tried(platform) == (1 + EACH, ["sent"] + ["waiting"] * EACH)
            assert claims <= 2, "again only after hers had ended"
        ended(duty)


def test_what_is_still_being_sent_is_not_sent_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duties, "WAIT", 0.1)
    with silent() as slow:
        order(platform, slow, ADA, messages=1)
        duty = NotificationDuty(platform.context)
        duty.tick()
        # As when the claim has run out.
        with platform.context.database.session() as session:
            session.execute(update(DeliveryRow).values(next_at=utcnow() - timedelta(seconds=1)))
        duty.tick()
        assert tried(platform) == (1, ["waiting"])
    ended(duty)
    duty.tick()
    assert tried(platform) == (1, ["waiting"]), "not before its pause"
    assert not duty._busy


def drip(caller: socket.socket) -> None:
    while True:
        caller.sendall(b"2")
        time.sleep(0.05)


def drip_as_tls(caller: socket.socket) -> None:
    """Drip once TLS is to begin: the head of a long record, and never its end."""
    caller.sendall(b"220 here\r\n")
    caller.recv(999)
    caller.sendall(b"250-here\r\n250 STARTTLS\r\n")
    caller.recv(999)
    caller.sendall(b"220 go on\r\n")
    caller.sendall(b"\x16\x03\x03\x3f\xff")
    drip(caller)


@pytest.mark.parametrize("talk", [drip, drip_as_tls])
def test_a_mail_server_that_says_a_byte_now_and_then_is_left(
    talk: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "ALTOGETHER", 0.3)
    message = Message(
        id="m", event=None, at=utcnow(), job="tutorial", owner="ada", url="http://127.0.0.1:1"
    )
    with server(talk) as port:
        smtp = SmtpSettings(host="127.0.0.1", port=port, sender="p@example.org", starttls=True)
        began = time.monotonic()
        with pytest.raises(NotDelivered, match="takes too long"):
            mail.send("ada@example.org", message, smtp)
        assert time.monotonic() - began < 5


def test_an_order_deleted_while_its_messages_are_listed(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    order(platform, 9, ADA, messages=1)
    with platform.context.database.reading() as session:
        job_id = session.scalars(select(JobRow.id)).one()
    page = services.paginate

    def deleted_after(session: Any, *arguments: Any, **more: Any) -> Any:
        found = page(session, *arguments, **more)
        # As another's transaction does, which PostgreSQL shows to the next query here.
        session.execute(text("DELETE FROM notifications"))
        return found

    monkeypatch.setattr(services, "paginate", deleted_after)
    listed = NotificationService(platform.context).deliveries(ADA, job_id, cursor=None, limit=9)
    assert [one.event for one in listed.items] == ["failed"]


def test_a_refusal_names_who_may_and_is_to_be_asked(platform: Platform) -> None:
    job = platform.promote(visibility="group", group="research")
    body = NotificationCreate(channel=Channel.webhook, target="http://127.0.0.1:9/")
    platform.context.settings.notifications = NotificationSettings(allow=["127.0.0.1"])
    service = NotificationService(platform.context)
    made = service.create(ADA, job.id, body)
    run = platform.run(job)
    refused: list[Callable[[], object]] = [
        lambda: service.deliveries(BOB, job.id, cursor=None, limit=9),
        lambda: service.delete(BOB, made.id),
        lambda: platform.runs.cancel(BOB, run.id),
    ]
    for call in refused:
        with pytest.raises(Refused, match="Only ada may") as one:
            call()
        assert one.value.fix == "Ask ada."
