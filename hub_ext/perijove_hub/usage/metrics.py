"""Figures for Prometheus, read off the database at every scrape: no process keeps counters."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from sqlalchemy import ColumnElement, Float, cast, extract, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from perijove_hub.gpus import leases
from perijove_hub.store import Database
from perijove_hub.store.models import (
    BuildRow,
    DeploymentRow,
    GpuRow,
    KernelRow,
    ReplicaRow,
    RunRow,
    UsageRow,
)

#: What the answer is, for the ``Content-Type`` header.
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Metric = GaugeMetricFamily | CounterMetricFamily


def text(database: Database) -> bytes:
    """Return every figure in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    with database.reading() as session:
        found = [*_now(session), *_used(session)]

    class Read(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from found

    registry.register(Read())
    return generate_latest(registry)


def _now(session: Session) -> Iterator[Metric]:
    running = GaugeMetricFamily(
        "perijove_running", "What runs and is charged, by kind", labels=["kind"]
    )
    open_ = select(UsageRow.kind, func.count().label("things")).where(UsageRow.ended_at.is_(None))
    counts = {row.kind: row.things for row in session.execute(open_.group_by(UsageRow.kind))}
    for kind in ("workspace", "kernel", "run", "replica", "build"):
        running.add_metric([kind], counts.get(kind, 0))
    yield running
    yield _by_state(session, "runs", "Job runs by state", RunRow.state)
    yield _by_state(session, "builds", "Image builds by state", BuildRow.state)
    yield _by_state(session, "kernels", "Remote kernels by state", KernelRow.state)
    yield _by_state(session, "deployments", "Deployments by state", DeploymentRow.state)
    yield _by_state(session, "replicas", "Replicas by state", ReplicaRow.state)
    free, total = leases.free(session)
    yield GaugeMetricFamily("perijove_gpus", "GPUs that are there", total)
    yield GaugeMetricFamily("perijove_gpus_free", "GPUs nobody holds, shares as fractions", free)
    gone = select(func.count()).where(GpuRow.present.is_(False))
    yield GaugeMetricFamily(
        "perijove_gpus_vanished", "GPUs that were there once", session.scalar(gone) or 0
    )


def _by_state(
    session: Session, name: str, text: str, state: InstrumentedAttribute[str]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"perijove_{name}", text, labels=["state"])
    rows = select(state, func.count()).group_by(state).order_by(state)
    for value, count in session.execute(rows):
        family.add_metric([value], count)
    return family


def _used(session: Session) -> Iterator[Metric]:
    labels = ["kind", "group"]
    hours = CounterMetricFamily("perijove_usage_hours", "Hours that ran", labels=labels)
    gpu = CounterMetricFamily("perijove_usage_gpu_hours", "Hours times GPUs", labels=labels)
    cost = CounterMetricFamily("perijove_usage_cost", "Hours times price", labels=labels)
    ran = _hours(session)
    rows = session.execute(
        select(
            UsageRow.kind,
            UsageRow.group,
            func.sum(ran),
            func.sum(ran * UsageRow.gpus),
            func.sum(ran * UsageRow.price),
        )
        .group_by(UsageRow.kind, UsageRow.group)
        .order_by(UsageRow.kind, UsageRow.group)
    )
    for kind, group, *sums in rows:
        for family, value in zip((hours, gpu, cost), sums, strict=True):
            family.add_metric([kind, group or ""], float(value or 0))
    yield from (hours, gpu, cost)


def _hours(session: Session) -> ColumnElement[float]:
    """The length of a stretch in hours, as each database writes it."""
    if session.get_bind().dialect.name == "sqlite":
        days = func.julianday(UsageRow.seen_at) - func.julianday(UsageRow.started_at)
        return cast(days * 24, Float)
    return cast(extract("epoch", UsageRow.seen_at - UsageRow.started_at) / 3600, Float)
