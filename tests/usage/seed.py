"""A month of a small company, for the administrators' page to show."""

from __future__ import annotations

import random
from datetime import timedelta

from perijove_hub.gpus import leases
from perijove_hub.settings import Settings
from perijove_hub.store import Database, audit
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import AuditRow, GpuRow, UsageRow

SEED_SETTINGS = Settings.model_validate(
    {
        "gpus": {"devices": ["GPU-0a", "GPU-0b", "GPU-0c"], "shares": 2},
        "usage": {
            "quotas": {
                "research": {"gpu_hours": 200, "cost": 900},
                "risk": {"hours": 60},
                "marketing": {"hours": 400},
            }
        },
    }
)
_PEOPLE = {
    "ada": "research",
    "emmy": "research",
    "alan": "research",
    "grace": "risk",
    "edith": "marketing",
    "hedy": "design",
    "eve": None,
}


def seed(database: Database) -> None:
    """Write 30 days of workspaces, runs and kernels, some of which still run."""
    chance = random.Random(7)
    with database.session() as session:
        now = database_now(session)
        for day in range(30):
            start = now - timedelta(days=day)
            for user, group in _PEOPLE.items():
                if day and (day % 7 > 4 or chance.random() < 0.25):
                    continue
                gpus, price = (1, 2.4) if user in ("ada", "grace") else (0, 0.12)
                end = start - timedelta(hours=chance.uniform(0, 5)) if day else now
                length = timedelta(hours=chance.uniform(1, 9))
                session.add(
                    UsageRow(
                        kind=chance.choice(["workspace", "workspace", "kernel", "run"]),
                        object=f"{user}-{day}",
                        user=user,
                        group=group,
                        image="gpu@2" if gpus else "cpu@4",
                        size="gpu" if gpus else "medium",
                        gpus=gpus,
                        price=price,
                        started_at=end - length,
                        seen_at=end,
                        ended_at=end if day else None,
                        warned_at=now if user == "grace" and not day else None,
                    )
                )
        for gpu in "abc":
            session.add(
                GpuRow(
                    id=f"GPU-0{gpu}", model="NVIDIA L40S", memory_mb=46068, shares=2, present=True
                )
            )
        session.flush()
        leases.acquire(session, kind="workspace", holder="ada/", user="ada", gpus=1)
        leases.acquire(session, kind="kernel", holder="9f2c", user="grace", gpus=0.5)
        leases.acquire(session, kind="run", holder="41aa", user="emmy", gpus=1)
        session.get_one(GpuRow, "GPU-0c").present = False
        for minutes, user in enumerate(["ada", "grace", "emmy", "edith", "ada"] * 9):
            session.add(
                AuditRow(
                    at=now - timedelta(minutes=37 * (45 - minutes)),
                    actor=user,
                    verb=["workspace.start", "run.create", "kernel.create"][minutes % 3],
                    object=f"workspace/{user}/" if minutes % 3 == 0 else f"run/{minutes:04x}",
                    detail={
                        "image": "cpu@4",
                        "digest": f"sha256:{minutes:02x}f0c1d2e3a4b5c6d7",
                        "size": "medium",
                        "group": _PEOPLE[user],
                    },
                )
            )
        audit.record(session, "<script>alert(1)</script>", "job.delete", '"><img src=x>')
