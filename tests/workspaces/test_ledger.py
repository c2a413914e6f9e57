"""The record of workspaces: what changes together, and what a restart of the Hub mends."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from perijove.types.workspaces import Profile
from perijove_hub.context import Context
from perijove_hub.gpus import leases
from perijove_hub.store.models import AuditRow, GpuLeaseRow, UsageRow, WorkspaceRow
from perijove_hub.workspaces import ledger
from perijove_hub.workspaces.choice import resolve
from tests.workspaces.conftest import ADA, GRACE, digest


def begin(context: Context, *, user: str = "grace", profile: Profile | None = None) -> None:
    profile = profile or Profile(size="gpu")
    who = GRACE if user == "grace" else ADA
    with context.database.session() as session:
        choice = resolve(session, context.settings, profile, who, local=False)
        ledger.asking(session, user=user, server="")
        holder = ledger.holder(user, "")
        leases.acquire(session, kind=ledger.KIND, holder=holder, user=user, gpus=choice.limits.gpus)
        ledger.began(session, user=user, server="", profile=profile, choice=choice, container="c1")


def row(context: Context, user: str = "grace") -> WorkspaceRow:
    with context.database.reading() as session:
        return session.get_one(WorkspaceRow, (user, ""))


def test_a_start_says_who_started_what_from_which_digest(offered: Context) -> None:
    begin(offered)
    with offered.database.reading() as session:
        audit = session.scalars(select(AuditRow).where(AuditRow.verb == "workspace.start")).one()
        usage = session.scalars(select(UsageRow)).one()
    assert (audit.actor, audit.object) == ("grace", "workspace/grace/")
    assert audit.detail == {"image": "cpu@2", "digest": digest(2), "size": "gpu", "group": "risk"}
    assert (usage.object, usage.group, usage.digest, usage.gpus, usage.price) == (
        "grace/",
        "risk",
        digest(2),
        1,
        2.0,
    )


def test_an_end_gives_everything_back_once(offered: Context) -> None:
    begin(offered)
    for ending in ("It ran out of memory.", "Something else."):
        with offered.database.session() as session:
            ledger.ended(session, user="grace", server="", ending=ending)
    with offered.database.reading() as session:
        assert session.scalars(select(GpuLeaseRow)).all() == []
        assert session.scalars(select(UsageRow)).one().ended_at is not None
        ends = session.scalars(select(AuditRow).where(AuditRow.verb == "workspace.end")).all()
    assert len(ends) == 1
    assert row(offered).ending == "It ran out of memory."
    assert row(offered).container is None


def test_what_the_culler_wrote_stays_the_reason(offered: Context) -> None:
    begin(offered)
    with offered.database.session() as session:
        session.get_one(WorkspaceRow, ("grace", "")).ending = "It was idle."
    with offered.database.session() as session:
        ledger.ended(session, user="grace", server="", ending=None)
    assert row(offered).ending == "It was idle."


def test_a_start_that_a_restart_cuts_short_is_mended_and_told(offered: Context) -> None:
    with offered.database.session() as session:
        ledger.asking(session, user="grace", server="")
        leases.acquire(session, kind=ledger.KIND, holder="grace/", user="grace", gpus=1)
    # Here the Hub is killed.
    with offered.database.session() as session:
        ledger.mend(session)
        assert session.scalars(select(GpuLeaseRow)).all() == []
    assert row(offered).ending == ledger.CUT_SHORT


def test_a_workspace_that_runs_keeps_what_it_holds_over_a_restart(offered: Context) -> None:
    begin(offered)
    with offered.database.session() as session:
        ledger.mend(session)
        assert len(session.scalars(select(GpuLeaseRow)).all()) == 1
        assert session.scalars(select(UsageRow)).one().ended_at is None
        assert ledger.running(session) == 1


def test_a_start_that_failed_leaves_no_word_of_a_restart(offered: Context) -> None:
    with offered.database.session() as session:
        ledger.asking(session, user="grace", server="")
    with offered.database.session() as session:
        ledger.ended(session, user="grace", server="", ending=None)
    assert row(offered).ending is None


@pytest.mark.parametrize(
    ("profile", "again"),
    [
        (Profile(), {"image": "cpu", "size": "small", "interface": "lab", "group": "lab"}),
        (
            Profile(image="cpu@1", size="large", idle_minutes=30),
            {
                "image": "cpu@1",
                "size": "large",
                "interface": "lab",
                "group": "lab",
                "idle_minutes": 30,
            },
        ),
    ],
)
def test_the_last_choice_is_asked_for_again_a_version_only_if_it_was_named(
    offered: Context, profile: Profile, again: dict[str, object]
) -> None:
    begin(offered, user="ada", profile=profile)
    assert ledger.asked(row(offered, "ada").choice) == again


def test_a_named_server_takes_its_choice_to_its_new_name(offered: Context) -> None:
    with offered.database.session() as session:
        ledger.of(session, "ada", "old").choice = {"size": "large"}
    with offered.database.session() as session:
        ledger.renamed(session, "ada", "old", "new")
    with offered.database.reading() as session:
        assert session.get(WorkspaceRow, ("ada", "old")) is None
        assert session.get_one(WorkspaceRow, ("ada", "new")).choice == {"size": "large"}
