"""A job that runs when a crawl finds a dataset changed: once per change, for nothing else."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select

from perijove.types.jobs import Job, JobUpdate, Overlap, Schedule
from perijove_hub.catalog.connector import Crawl
from perijove_hub.catalog.duty import CrawlDuty, Outcome, record
from perijove_hub.exceptions import Invalid
from perijove_hub.jobs import datasets
from perijove_hub.jobs.scheduler import Scheduler
from perijove_hub.settings import SourceSettings
from perijove_hub.store.models import DatasetRow, RunRow, SourceRow, utcnow
from tests.fixtures.postgres import server
from tests.jobs.conftest import ADA, GRACE, Platform


class Lake:
    """A folder of files and a database in the catalog, and a job that waits for one of them."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.platform, self.folder = platform, folder
        self.csv, self.database = folder / "files" / "sales.csv", folder / "shop.sqlite"
        self.csv.parent.mkdir()
        self.csv.write_text("id,amount\n1,2\n")
        self.change("create table orders (id integer)")
        platform.context.settings.catalog.sources |= {
            "lake": SourceSettings(path=str(self.csv.parent), groups=["research"]),
            "shop": SourceSettings(url=f"sqlite:///{self.database}", groups=["research"]),
        }
        self.crawl()

    def change(self, statement: str) -> None:
        with sqlite3.connect(self.database) as connection:
            connection.execute(statement)
        connection.close()

    def crawl(self) -> None:
        with self.platform.context.database.session() as session:
            for row in session.scalars(select(SourceRow)):
                row.crawl_requested_at = utcnow()
        CrawlDuty(self.platform.context).tick()

    def job(self, dataset: str) -> Job:
        wanted = Schedule(dataset=dataset, overlap=Overlap.allow)
        return self.platform.promote(name=dataset.replace(".", "-"), schedule=wanted)

    def runs(self) -> int:
        """Crawl, serve what is due, and count the runs there are."""
        self.crawl()
        for _ in range(2):
            Scheduler(self.platform.context).step()
        with self.platform.context.database.reading() as session:
            rows = session.scalars(select(RunRow)).all()
        assert all(run.trigger == "dataset" and run.slot is None for run in rows)
        return len(rows)


@pytest.fixture
def lake(platform: Platform, tmp_path: Path) -> Lake:
    return Lake(platform, tmp_path)


def test_a_file_that_was_written_again_makes_one_run(lake: Lake) -> None:
    lake.job("lake.main.sales")
    assert lake.runs() == 0
    lake.csv.write_text("id,amount\n1,3\n")
    os.utime(lake.csv, (1_800_000_000, 1_800_000_000))
    assert lake.runs() == 1
    assert lake.runs() == 1
    # Back to what it once was is a change again.
    os.utime(lake.csv, (1_700_000_000, 1_700_000_000))
    assert lake.runs() == 2
    lake.csv.write_text("id,amount,by\n1,3,x\n")
    assert lake.runs() == 3


def test_a_table_makes_a_run_when_rows_or_columns_are_added(lake: Lake) -> None:
    lake.job("shop.main.orders")
    assert lake.runs() == 0
    lake.change("insert into orders values (1)")
    assert lake.runs() == 1
    lake.change("alter table orders add column amount integer")
    assert lake.runs() == 2
    assert lake.runs() == 2


def test_what_a_crawl_could_not_count_is_no_change(lake: Lake) -> None:
    lake.job("shop.main.orders")
    assert lake.runs() == 0
    with lake.platform.context.database.session() as session:
        session.get_one(DatasetRow, "shop.main.orders").row_count = None
    Scheduler(lake.platform.context).step()
    assert lake.runs() == 0


def test_a_dataset_that_was_away_and_came_back_the_same_is_no_change(lake: Lake) -> None:
    lake.job("lake.main.sales")
    context, settings = lake.platform.context, lake.platform.context.settings.catalog.sources
    with context.database.session() as session:
        record(session, "lake", settings["lake"], Outcome(Crawl([]), None))
    Scheduler(context).step()
    assert lake.runs() == 0


def test_a_paused_job_makes_none_and_one_change_is_enough_for_two_jobs(lake: Lake) -> None:
    first = lake.job("shop.main.orders")
    wanted = Schedule(dataset="shop.main.orders")
    lake.platform.promote(name="second", schedule=wanted)
    paused = wanted.model_copy(update={"paused": True})
    lake.platform.jobs.update(ADA, first.id, JobUpdate(schedule=paused))
    lake.change("insert into orders values (1)")
    assert lake.runs() == 1
    # What changed meanwhile makes a run once it is resumed.
    resumed = wanted.model_copy(update={"paused": False})
    lake.platform.jobs.update(ADA, first.id, JobUpdate(schedule=resumed))
    assert lake.runs() == 2


def test_a_job_whose_dataset_is_gone_can_be_paused_and_not_resumed(lake: Lake) -> None:
    job = lake.job("shop.main.orders")
    lake.change("drop table orders")
    lake.crawl()
    jobs = lake.platform.jobs
    paused = jobs.update(ADA, job.id, JobUpdate(schedule=Schedule(paused=True))).schedule
    assert paused and paused.paused and paused.dataset == "shop.main.orders"
    with pytest.raises(Invalid, match="There is no dataset"):
        jobs.update(ADA, job.id, JobUpdate(schedule=Schedule(paused=False)))


def test_a_dataset_nobody_knows_or_may_not_read_is_refused(lake: Lake) -> None:
    with pytest.raises(Invalid) as caught:
        lake.job("shop.main.order")
    assert caught.value.field == "schedule.dataset"
    assert caught.value.fix == "Did you mean shop.main.orders?"
    with pytest.raises(Invalid) as caught:
        lake.platform.promote(by=GRACE, schedule=Schedule(dataset="shop.main.orders"))
    assert "orders" not in (caught.value.fix or "")


def test_a_table_of_postgresql_makes_a_run_when_its_rows_are_changed_in_place(
    platform: Platform, tmp_path: Path
) -> None:
    with server() as found, psycopg.connect(found.url, autocommit=True) as connection:
        connection.execute("create table stock (id int, amount int)")
        connection.execute("insert into stock values (1, 1), (2, 2)")
        connection.execute("create view seen as select * from stock")
        # Else the server tells of what was written up to ten seconds later.
        connection.execute("select pg_stat_force_next_flush()")
        lake = Lake(platform, tmp_path)
        platform.context.settings.catalog.sources["pg"] = SourceSettings(
            url=found.url, groups=["research"]
        )
        lake.crawl()
        lake.job("pg.public.stock")
        lake.job("pg.public.seen")
        assert lake.runs() == 0
        connection.execute("select * from stock")
        connection.execute("analyze stock")
        connection.execute("select pg_stat_force_next_flush()")
        assert lake.runs() == 0
        connection.execute("update stock set amount = 3 where id = 2")
        connection.execute("select pg_stat_force_next_flush()")
        assert lake.runs() == 1
        assert lake.runs() == 1


def test_a_write_that_the_server_counts_late_is_one_change(lake: Lake) -> None:
    lake.job("shop.main.orders")

    def crawled(rows: int, writes: int) -> int:
        with lake.platform.context.database.session() as session:
            row = session.get_one(DatasetRow, "shop.main.orders")
            row.row_count, row.writes = rows, writes
            session.get_one(SourceRow, "shop").crawled_at = utcnow()
            datasets.crawled(session, "shop")
        Scheduler(lake.platform.context).step()
        with lake.platform.context.database.reading() as session:
            return len(session.scalars(select(RunRow)).all())

    # The first count is learnt, not taken for a change.
    assert crawled(0, 10) == 0
    assert crawled(5, 10) == 1
    assert crawled(5, 15) == 1
    assert crawled(5, 16) == 2
    assert crawled(6, 17) == 3
    assert crawled(6, 17) == 3
    # The server lost count, as after a crash, and counts on from there.
    assert crawled(6, 2) == 3
    assert crawled(6, 3) == 4
