"""Sources, datasets and their columns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKey,
    String,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from perijove_hub.store.models.base import Base, Timestamps


class SourceRow(Timestamps, Base):
    """What the last crawl of a configured source found; its URL stays in the settings."""

    __tablename__ = "sources"

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(64))
    description: Mapped[str] = mapped_column(Text, default="")
    groups: Mapped[list[Any]] = mapped_column(default=list)
    state: Mapped[str] = mapped_column(String(16), default="pending")
    error: Mapped[str | None] = mapped_column(Text)
    crawled_at: Mapped[datetime | None]
    crawl_requested_at: Mapped[datetime | None]


class DatasetRow(Base):
    """A table, view or file."""

    __tablename__ = "datasets"

    name: Mapped[str] = mapped_column(String(800), primary_key=True)
    source: Mapped[str] = mapped_column(ForeignKey("sources.name", ondelete="CASCADE"), index=True)
    schema_name: Mapped[str]
    table: Mapped[str] = mapped_column("table_name")
    kind: Mapped[str] = mapped_column(String(16), default="table")
    row_count: Mapped[int | None] = mapped_column(BigInteger)
    modified_at: Mapped[datetime | None]
    """When a file was last written; null where the source does not say."""
    writes: Mapped[int | None] = mapped_column(BigInteger)
    """Rows that were ever added, changed or deleted, where the source counts that."""
    comment: Mapped[str] = mapped_column(Text, default="")
    columns: Mapped[list[ColumnRow]] = relationship(
        cascade="all, delete-orphan", order_by="ColumnRow.position", lazy="selectin"
    )


class ColumnRow(Base):
    """One column of a dataset."""

    __tablename__ = "columns"

    dataset: Mapped[str] = mapped_column(
        String(800), ForeignKey("datasets.name", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    type: Mapped[str]
    nullable: Mapped[bool] = mapped_column(Boolean, default=True)
    comment: Mapped[str] = mapped_column(Text, default="")
