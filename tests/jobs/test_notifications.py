"""Who is told of a job's runs: signed webhooks, e-mails, each message once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.header import decode_header, make_header
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler
from aiosmtpd.smtp import AuthResult
from sqlalchemy import func, select, update

from perijove.types.base import Principal
from perijove.types.jobs import Cause, Job, RunState, Schedule
from perijove.types.notifications import Channel, Notification, NotificationCreate, NotifyOn
from perijove_hub.exceptions import Conflict, Invalid, NotFound, Refused
from perijove_hub.jobs import ledger
from perijove_hub.jobs.notifications import mail
from perijove_hub.jobs.notifications import message as told_of
from perijove_hub.jobs.notifications.addresses import Refusal, resolve, split
from perijove_hub.jobs.notifications.duty import EACH, NotificationDuty
from perijove_hub.jobs.notifications.exceptions import NotDelivered
from perijove_hub.jobs.notifications.service import NotificationService
from perijove_hub.jobs.notifications.standin import StandIn
from perijove_hub.jobs.retention import RetentionDuty
from perijove_hub.secrets.sealing import Sealer
from perijove_hub.settings import NotificationSettings, SmtpSettings
from perijove_hub.store.models import (
    AuditRow,
    DeliveryRow,
    NotificationRow,
    PrincipalRow,
    RunRow,
    ScheduleRow,
    WorkerRow,
    utcnow,
)
from tests.fixtures.processes import free_port, wait_until
from tests.jobs.conftest import ADA, BOB, GRACE, Platform

FAILED = ledger.Ending(RunState.failed, "Cell 2 raised ValueError: 7", cause=Cause.cell_error)
WELL = ledger.Ending(RunState.succeeded)


@dataclass
class Receiver:
    """What a webhook's other end got."""

    url: str
    status: int = 204
    got: list[tuple[dict[str, str], dict[str, Any], bytes]] = field(default_factory=list)

    @property
    def types(self) -> list[str]:
        return [body["type"] for _, body, _ in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.got.append((headers, json.loads(raw), raw))
            self.send_response(found.status)
            if found.status == 302:
                self.send_header("Location", found.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Receiver(f"http://127.0.0.1:{server.server_port}/hook?key=hunter2")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def settle(platform: Platform, **settings: Any) -> None:
    """Give the platform these settings of notifications."""
    settings_ = platform.context.settings
    wanted = NotificationSettings(**settings)
    settings_.notifications = wanted


@pytest.fixture
def told(platform: Platform) -> Callable[..., Notification]:
    settle(platform, allow=["127.0.0.1"])

    def order(job: Job, url: str, *on: NotifyOn, **more: Any) -> Notification:
        body = NotificationCreate(
            channel=Channel.webhook, target=url, **({"on": list(on)} if on else {}), **more
        )
        return NotificationService(platform.context).create(ADA, job.id, body)

    return order


def end(platform: Platform, job: Job, ending: ledger.Ending, by: Principal = ADA) -> str:
    """Have a run of ``job`` that ends so, without its notebook."""
    run = platform.run(job, by)
    with platform.context.database.session() as session:
        row = session.get_one(RunRow, run.id)
        epoch = ledger.claim(session, row, "worker")
        assert epoch is not None
        assert ledger.started(session, run.id, epoch)
        assert ledger.finish(session, run.id, epoch, ending=ending)
    return run.id


def test_a_failure_and_the_recovery_are_told_signed_and_once(
    platform: Platform, receiver: Receiver, told: Callable[..., Notification]
) -> None:
    job = platform.promote()
    order = told(job, receiver.url)
    assert order.signing_key is not None
    duty = NotificationDuty(platform.context)
    end(platform, job, WELL)
    run = end(platform, job, FAILED)
    end(platform, job, WELL)
    end(platform, job, WELL)
    for _ in range(3):
        duty.tick()
    assert sorted(receiver.types) == ["run.failed", "run.recovered"]
    headers, body, raw = next(each for each in receiver.got if each[1]["type"] == "run.failed")
    assert body["data"]["run"] == run
    assert body["data"]["reason"] == "Cell 2 raised ValueError: 7"
    assert body["data"]["cause"] == "cell_error"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + raw
    key = base64.b64decode(order.signing_key.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_who_asks_for_everything_hears_of_starts_and_successes(
    platform: Platform, receiver: Receiver, told: Callable[..., Notification]
) -> None:
    job = platform.promote()
    told(job, receiver.url, NotifyOn.started, NotifyOn.succeeded)
    end(platform, job, WELL)
    NotificationDuty(platform.context).tick()
    assert sorted(receiver.types) == ["run.started", "run.succeeded"]


def test_what_does_not_arrive_is_tried_again_with_the_same_id(
    platform: Platform, receiver: Receiver, told: Callable[..., Notification]
) -> None:
    job = platform.promote()
    told(job, receiver.url)
    receiver.status = 500
    end(platform, job, FAILED)
    duty = NotificationDuty(platform.context)
    duty.tick()
    duty.tick()
    assert len(receiver.got) == 1, "not before its pause"
    with platform.context.database.session() as session:
        order = session.scalars(select(NotificationRow)).one()
        assert order.last_error == "127.0.0.1 answered 500"
        session.execute(update(DeliveryRow).values(next_at=utcnow() - timedelta(seconds=1)))
    receiver.status = 204
    # As after kill -9: what was not sent is in the database.
    NotificationDuty(platform.context).tick()
    assert len({headers["webhook-id"] for headers, _, _ in receiver.got}) == 1
    with platform.context.database.reading() as session:
        assert session.scalars(select(DeliveryRow.state)).all() == ["sent"]
        assert session.scalars(select(NotificationRow)).one().last_error is None


def test_a_message_is_given_up_after_six_attempts(
    platform: Platform, receiver: Receiver, told: Callable[..., Notification]
) -> None:
    job = platform.promote()
    told(job, receiver.url)
    receiver.status = 500
    end(platform, job, FAILED)
    for _ in range(8):
        NotificationDuty(platform.context).tick()
        with platform.context.database.session() as session:
            session.execute(update(DeliveryRow).values(next_at=utcnow() - timedelta(seconds=1)))
    assert len(receiver.got) == 6
    with platform.context.database.reading() as session:
        assert session.scalars(select(DeliveryRow.state)).all() == ["given up"]


def test_a_fault_of_ours_counts_as_an_attempt(
    platform: Platform, receiver: Receiver, told: Callable[..., Notification]
) -> None:
    job = platform.promote()
    order = told(job, receiver.url)
    with platform.context.database.session() as session:
        broken = Sealer(platform.context.data).seal("whsec_x", owner="ada", name=order.id)
        session.execute(update(NotificationRow).values(signing_key=broken))
    end(platform, job, FAILED)
    for _ in range(8):
        NotificationDuty(platform.context).tick()
        with platform.context.database.session() as session:
            session.execute(update(DeliveryRow).values(next_at=utcnow() - timedelta(seconds=1)))
    with platform.context.database.reading() as session:
        assert session.scalars(select(DeliveryRow.state)).all() == ["given up"]
        assert "could not be sent" in (
            session.scalars(select(NotificationRow)).one().last_error or ""
        )


def test_two_workers_send_a_message_once(
    platform: Platform, receiver: Receiver, told: Callable[..., Notification]
) -> None:
    job = platform.promote()
    told(job, receiver.url, NotifyOn.failed)
    for _ in range(6):
        end(platform, job, FAILED)
    duties = [NotificationDuty(platform.context) for _ in range(3)]
    threads = [threading.Thread(target=duty.tick) for duty in duties]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    NotificationDuty(platform.context).tick()
    ids = [headers["webhook-id"] for headers, _, _ in receiver.got]
    assert len(ids) == len(set(ids)) == 6


def test_a_run_that_has_not_ended_in_time_is_late_once(
    platform: Platform, receiver: Receiver, told: Callable[..., Notification]
) -> None:
    job = platform.promote()
    told(job, receiver.url, NotifyOn.late, late_after_s=60)
    platform.run(job)
    NotificationDuty(platform.context).tick()
    assert receiver.types == []
    with platform.context.database.session() as session:
        session.execute(update(RunRow).values(queued_at=utcnow() - timedelta(seconds=61)))
    NotificationDuty(platform.context).tick()
    NotificationDuty(platform.context).tick()
    assert receiver.types == ["run.late"]


def test_a_redirect_is_not_followed(
    platform: Platform, receiver: Receiver, told: Callable[..., Notification]
) -> None:
    order = told(platform.promote(), receiver.url)
    receiver.status = 302
    with pytest.raises(Conflict, match="answered 302"):
        NotificationService(platform.context).test(ADA, order.id)
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://localhost:8443/",
        "https://10.1.2.3/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[64:ff9b::8.8.8.8]/",
        "https://100.64.0.1/",
        "https://0/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://[::127.0.0.1]/",
        "https://[fec0::1]/",
        "https://[fe80::1%25lo]/",
        "https://[2002:7f00:1::]/",
        "https://255.255.255.255/",
        "https://no-such-host.invalid/",
    ],
)
def test_no_url_leads_to_a_private_address(url: str) -> None:
    with pytest.raises(Refusal):
        resolve(url, allow=[])


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1/",
        "ftp://192.0.2.1/",
        "https:///nothing",
        "https://ada:hunter2@192.0.2.1/",
        "https://example.org\\@127.0.0.1/",
        "https://192.0.2.1#@127.0.0.1/",
        "https://192.0.2.1:99999/",
        "https://192.0.2.1/a b",
        "https://192.0.2.1/\r\nHost: other",
        "nonsense",
    ],
)
def test_a_url_of_a_wrong_form_is_refused_before_anything_is_looked_up(url: str) -> None:
    with pytest.raises(Refusal):
        split(url)


def test_a_refused_url_names_its_field_and_shows_no_secret(platform: Platform) -> None:
    job = platform.promote()
    body = NotificationCreate(channel=Channel.webhook, target="https://10.0.0.1/?key=hunter2")
    with pytest.raises(Invalid, match="private address") as refused:
        NotificationService(platform.context).create(ADA, job.id, body)
    assert refused.value.field == "target"
    assert "hunter2" not in str(refused.value)


def test_late_wants_its_seconds(
    platform: Platform, receiver: Receiver, told: Callable[..., Notification]
) -> None:
    job = platform.promote()
    with pytest.raises(Invalid, match="go together"):
        told(job, receiver.url, NotifyOn.late)
    with pytest.raises(Invalid, match="go together"):
        told(job, receiver.url, NotifyOn.failed, late_after_s=60)


def test_a_url_is_shown_to_nobody_again_and_is_nowhere_in_clear(
    platform: Platform, receiver: Receiver, told: Callable[..., Notification]
) -> None:
    job = platform.promote(visibility="group", group="research")
    order = told(job, receiver.url)
    assert (order.target, order.signing_key is not None) == ("127.0.0.1/…", True)
    service = NotificationService(platform.context)
    for who in (ADA, BOB):
        seen = service.list(who, job.id, cursor=None, limit=9).items[0]
        assert (seen.target, seen.signing_key) == ("127.0.0.1/…", None)
    for forbidden in (service.test, service.delete):
        with pytest.raises(Refused):
            forbidden(BOB, order.id)
        with pytest.raises(NotFound):
            forbidden(GRACE, order.id)
    with pytest.raises(NotFound):
        service.list(GRACE, job.id, cursor=None, limit=9)
    with platform.context.database.reading() as session:
        row = session.scalars(select(NotificationRow)).one()
        noted = session.scalars(select(AuditRow.detail)).all()
    assert "hunter2" not in f"{row.target} {row.shown} {noted}"


def test_its_owner_sees_each_message_and_why_it_did_not_arrive(
    platform: Platform, receiver: Receiver, told: Callable[..., Notification]
) -> None:
    job = platform.promote(visibility="group", group="research")
    order = told(job, receiver.url)
    service = NotificationService(platform.context)
    receiver.status = 503
    run = end(platform, job, FAILED)
    NotificationDuty(platform.context).tick()
    (seen,) = service.deliveries(ADA, job.id, cursor=None, limit=9).items
    assert (seen.event, seen.run_id, seen.state, seen.attempts) == ("failed", run, "waiting", 1)
    assert (seen.error, seen.target) == ("127.0.0.1 answered 503", "127.0.0.1/…")
    assert seen.tried_at is not None
    assert seen.next_at is not None
    assert seen.next_at > seen.tried_at
    receiver.status = 204
    end(platform, job, WELL)
    NotificationDuty(platform.context).tick()
    newest = service.deliveries(ADA, job.id, cursor=None, limit=1)
    assert [(one.event, one.state) for one in newest.items] == [("recovered", "sent")]
    older = service.deliveries(ADA, job.id, cursor=newest.next_cursor, limit=1)
    assert [one.id for one in older.items] == [seen.id]
    with pytest.raises(Refused):
        service.deliveries(BOB, job.id, cursor=None, limit=9)
    with pytest.raises(NotFound):
        service.deliveries(GRACE, job.id, cursor=None, limit=9)
    with platform.context.database.session() as session:
        session.execute(update(DeliveryRow).values(created_at=utcnow() - timedelta(days=91)))
    RetentionDuty(platform.context).tick()
    left = service.deliveries(ADA, job.id, cursor=None, limit=9).items
    assert [one.state for one in left] == ["waiting"], "only what is settled is forgotten"
    assert order.id == left[0].notification_id


def test_who_has_left_the_group_is_told_no_more(platform: Platform, receiver: Receiver) -> None:
    settle(platform, allow=["127.0.0.1"])
    job = platform.promote(owner_group="research")
    body = NotificationCreate(channel=Channel.webhook, target=receiver.url)
    with platform.context.database.session() as session:
        session.add(PrincipalRow(name="bob", groups=["research"]))
    NotificationService(platform.context).create(BOB, job.id, body)
    end(platform, job, FAILED)
    NotificationDuty(platform.context).tick()
    assert receiver.types == ["run.failed"]
    with platform.context.database.session() as session:
        session.get_one(PrincipalRow, "bob").groups = []
    end(platform, job, FAILED)
    NotificationDuty(platform.context).tick()
    assert receiver.types == ["run.failed"]
    seen = NotificationService(platform.context).deliveries(ADA, job.id, cursor=None, limit=1)
    assert (seen.items[0].state, seen.items[0].error) == (
        "given up",
        "bob, who ordered it, may not see the job",
    )


def test_a_slot_that_nothing_serves_is_late_once_also_when_its_run_is_made(
    platform: Platform, receiver: Receiver, told: Callable[..., Notification]
) -> None:
    job = platform.promote(schedule=Schedule(cron="0 6 * * *"))
    told(job, receiver.url, NotifyOn.late, late_after_s=60)
    slot = utcnow().replace(microsecond=0) - timedelta(seconds=61)
    stand_in = StandIn(platform.context)
    stand_in.tick()
    assert receiver.types == []
    with platform.context.database.session() as session:
        session.execute(update(ScheduleRow).values(next_slot=slot))
        worker = WorkerRow(id="w", host="h", started_at=utcnow())
        worker.expires_at = utcnow() + timedelta(seconds=9)
        session.add(worker)
    StandIn(platform.context).tick()
    assert receiver.types == [], "the worker does that"
    with platform.context.database.session() as session:
        session.execute(update(WorkerRow).values(expires_at=utcnow() - timedelta(minutes=1)))
    StandIn(platform.context).tick()
    assert receiver.types == ["run.late"]
    data = receiver.got[0][1]["data"]
    assert (data["run"], data["slot"]) == (None, slot.isoformat())
    run = platform.run(job)
    with platform.context.database.session() as session:
        session.execute(update(ScheduleRow).values(next_slot=slot + timedelta(days=1)))
        row = session.get_one(RunRow, run.id)
        row.trigger, row.slot = "schedule", slot
    NotificationDuty(platform.context).tick()
    assert receiver.types == ["run.late"]
    with platform.context.database.session() as session:
        # By the slot, not by when a worker at last queued it.
        session.get_one(RunRow, run.id).slot = slot - timedelta(days=1)
    NotificationDuty(platform.context).tick()
    assert receiver.types == ["run.late", "run.late"]
    assert receiver.got[1][1]["data"]["run"] == run.id


def test_a_paused_schedule_is_not_late(
    platform: Platform, receiver: Receiver, told: Callable[..., Notification]
) -> None:
    job = platform.promote(schedule=Schedule(cron="0 6 * * *", paused=True))
    told(job, receiver.url, NotifyOn.late, late_after_s=60)
    with platform.context.database.session() as session:
        session.execute(update(ScheduleRow).values(next_slot=utcnow() - timedelta(hours=1)))
    NotificationDuty(platform.context).tick()
    assert receiver.types == []


def test_a_slow_receiver_holds_up_only_who_chose_it(
    platform: Platform, receiver: Receiver, told: Callable[..., Notification]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        slow = platform.promote(name="slow", by=BOB)
        body = NotificationCreate(
            channel=Channel.webhook, target=f"http://127.0.0.1:{silent.getsockname()[1]}/"
        )
        settle(platform, allow=["127.0.0.1"])
        NotificationService(platform.context).create(BOB, slow.id, body)
        for _ in range(20):
            end(platform, slow, FAILED, by=BOB)
        job = platform.promote()
        told(job, receiver.url)
        end(platform, job, FAILED)
        duty = NotificationDuty(platform.context)
        began = time.monotonic()
        duty.tick()
        assert time.monotonic() - began < 5
        wait_until(lambda: receiver.types == ["run.failed"], what="the other's message")
        with platform.context.database.reading() as session:
            tried = select(func.count()).where(DeliveryRow.attempts > 0)
            assert session.scalar(tried) == 1 + EACH
    # They note what became of it, for which the database has to be there.
    wait_until(lambda: not any(one.is_alive() for one in duty._busy), what="the threads' end")


def test_a_test_says_that_it_is_one(
    platform: Platform, receiver: Receiver, told: Callable[..., Notification]
) -> None:
    order = told(platform.promote(), receiver.url)
    NotificationService(platform.context).test(ADA, order.id)
    assert (receiver.types, receiver.got[0][1]["data"]["state"]) == (["test"], None)


A_MESSAGE = told_of.Message(
    id="m1",
    event=NotifyOn.failed,
    at=utcnow(),
    job="tutorial",
    owner="ada",
    url="http://127.0.0.1:1",
    run_id="r1",
    state="failed",
)


@contextmanager
def mail_server(**options: Any) -> Iterator[tuple[int, list[Message]]]:
    """A real mail server on loopback."""
    got: list[Message] = []

    class Mailbox(MessageHandler):  # type: ignore[misc]
        def handle_message(self, message: Message) -> None:
            got.append(message)

    controller = Controller(Mailbox(), hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield controller.port, got
    finally:
        controller.stop()


def test_an_email_says_what_failed(platform: Platform) -> None:
    job = platform.promote()
    with mail_server() as (port, got):
        smtp = SmtpSettings(
            host="127.0.0.1", port=port, starttls=False, sender="perijove@example.org"
        )
        settle(platform, smtp=smtp, email_domains=["example.org"])
        body = NotificationCreate(channel=Channel.email, target="ada@EXAMPLE.org")
        NotificationService(platform.context).create(ADA, job.id, body)
        run = end(platform, job, FAILED)
        NotificationDuty(platform.context).tick()
    (one,) = got
    assert one["Subject"] == "ada's job tutorial has failed"
    assert one["To"] == "ada@example.org"
    text = str(one.get_payload())
    assert run in text
    assert "Cell 2 raised ValueError: 7" in text


@pytest.mark.parametrize(
    ("server", "settings", "why"),
    [
        ({}, {"starttls": True}, "lacks TLS"),
        ({"tls_context": True}, {"starttls": True}, r"TLS is not right \(SSLCertVerif"),
        (
            {"authenticator": True, "auth_require_tls": False},
            {"starttls": False, "user": "perijove"},
            r"refused the platform's password \(535\)",
        ),
        ({}, {"starttls": False, "user": "perijove"}, "lacks TLS, a way to log in"),
        ({"data_size_limit": 10}, {"starttls": False}, r"refused it \(552\)"),
        (None, {"starttls": False}, r"does not answer \(ConnectionRefusedError\)"),
    ],
)
def test_what_a_mail_server_refuses_is_said(
    tmp_path: Path, server: dict[str, Any] | None, settings: dict[str, Any], why: str
) -> None:
    options = dict(server or {})
    if options.pop("tls_context", None):
        options["tls_context"] = own_certificate(tmp_path)
    if options.pop("authenticator", None):
        options["authenticator"] = lambda *_: AuthResult(success=False, handled=False)
    if "user" in settings:
        (tmp_path / "password").write_text("hunter2")
        settings = {**settings, "password_file": str(tmp_path / "password")}
    with mail_server(**options) as (port, _):
        port = free_port() if server is None else port
        smtp = SmtpSettings(host="127.0.0.1", port=port, sender="p@example.org", **settings)
        with pytest.raises(NotDelivered, match=why) as failed:
            mail.send("ada@example.org", A_MESSAGE, smtp)
    assert "hunter2" not in str(failed.value)


def own_certificate(folder: Path) -> ssl.SSLContext:
    """A certificate that nobody vouches for."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
         "-keyout", folder / "key", "-out", folder / "certificate"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    return context


def test_an_email_holds_any_words_and_no_further_headers() -> None:
    evil = replace(
        A_MESSAGE, owner="ædä", reason="größer als 日本\r\n.\r\nRCPT TO:<eve@x.org>\nBcc: e@x.org"
    )
    with mail_server() as (port, got):
        smtp = SmtpSettings(host="127.0.0.1", port=port, starttls=False, sender="p@example.org")
        mail.send("ada@example.org", evil, smtp)
        with pytest.raises(NotDelivered, match="cannot be written"):
            mail.send("ada@example.org", replace(evil, job="x\r\nBcc: eve@x.org"), smtp)
    (one,) = got
    assert str(make_header(decode_header(one["Subject"]))) == "ædä's job tutorial has failed"
    assert (one["Bcc"], one["X-RcptTo"]) == (None, "ada@example.org")
    payload = one.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert "größer als 日本" in payload.decode()


@pytest.mark.parametrize(
    ("address", "field"),
    [("eve@elsewhere.org", "target"), ("ada@example.org\r\nBcc: eve@x.org", "target")],
)
def test_nobody_is_written_to_elsewhere(platform: Platform, address: str, field: str) -> None:
    job = platform.promote()
    smtp = SmtpSettings(host="127.0.0.1", port=1, sender="perijove@example.org")
    settle(platform, smtp=smtp, email_domains=["example.org"])
    with pytest.raises(Invalid) as refused:
        NotificationService(platform.context).create(
            ADA, job.id, NotificationCreate(channel=Channel.email, target=address)
        )
    assert refused.value.field == field


def test_without_a_mail_server_that_is_said(platform: Platform) -> None:
    body = NotificationCreate(channel=Channel.email, target="ada@example.org")
    with pytest.raises(Invalid, match="No e-mails are sent from here"):
        NotificationService(platform.context).create(ADA, platform.promote().id, body)
