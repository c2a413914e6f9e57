"""What runs read."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from perijove_hub.store.models.base import Base, utcnow


class RunDatasetRow(Base):
    """A dataset that a run's queries name; the name of the source where none is known."""

    __tablename__ = "run_datasets"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    dataset: Mapped[str] = mapped_column(String(800), primary_key=True, index=True)
    first_at: Mapped[datetime] = mapped_column(default=utcnow)
