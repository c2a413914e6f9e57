"""What is told of a run: the same facts for programs and for people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from perijove.types.notifications import NotifyOn

_WORDS = {
    NotifyOn.started: "has started",
    NotifyOn.succeeded: "has succeeded",
    NotifyOn.failed: "has failed",
    NotifyOn.late: "is late",
    NotifyOn.recovered: "has recovered",
}


@dataclass(frozen=True, kw_only=True)
class Message:
    """One event of one run, or of a slot that has none; without an event it is a test."""

    id: str
    event: NotifyOn | None
    at: datetime
    job: str
    owner: str
    url: str
    """Where people look at the job's platform; no token in it."""
    run_id: str | None = None
    state: str | None = None
    version: int | None = None
    trigger: str | None = None
    reason: str | None = None
    cause: str | None = None
    slot: datetime | None = None

    @property
    def subject(self) -> str:
        """One line."""
        words = _WORDS[self.event] if self.event else "is tested: this message tells of no run"
        return f"{self.owner}'s job {self.job} {words}"

    @property
    def text(self) -> str:
        """What an e-mail says."""
        facts = {
            "Run": self.run_id,
            "State": self.state,
            "Version": self.version,
            "Slot (UTC)": f"{self.slot:%Y-%m-%d %H:%M}" if self.slot else None,
            "Why": self.reason,
        }
        lines = [f"{name}: {value}" for name, value in facts.items() if value is not None]
        return "\n".join([f"{self.subject}.", "", *lines, "", self.url, ""])

    def payload(self) -> dict[str, Any]:
        """Return what a webhook gets, as JSON."""
        return {
            "type": f"run.{self.event}" if self.event else "test",
            "timestamp": self.at.isoformat(),
            "data": {
                "job": self.job,
                "owner": self.owner,
                "run": self.run_id,
                "state": self.state,
                "version": self.version,
                "trigger": self.trigger,
                "slot": self.slot.isoformat() if self.slot else None,
                "cause": self.cause,
                "reason": self.reason,
                "url": self.url,
            },
        }
