"""Every table. Nothing outside this package writes SQL against them without these classes."""

from __future__ import annotations

from perijove_hub.store.models.backfills import BackfillRow, BackfillSlotRow
from perijove_hub.store.models.base import Base, OwnedRow, Timestamps, UtcDateTime, new_id, utcnow
from perijove_hub.store.models.catalog import ColumnRow, DatasetRow, SourceRow
from perijove_hub.store.models.deployments import DeploymentRow, ReplicaRow
from perijove_hub.store.models.files import SharedFolderRow, ShareDismissalRow, ShareRow
from perijove_hub.store.models.identity import (
    AuditRow,
    IdempotencyRow,
    LoginRow,
    LooseBlobRow,
    PrincipalRow,
    RunTokenRow,
)
from perijove_hub.store.models.images import BuildRow, ImageRow, ImageVersionRow, PackageRow
from perijove_hub.store.models.jobs import (
    ArtifactRow,
    AttemptRow,
    JobInputRow,
    JobRow,
    JobVersionRow,
    RunRow,
    ScheduleRow,
    UpstreamRow,
    WorkerRow,
)
from perijove_hub.store.models.lineage import RunDatasetRow
from perijove_hub.store.models.notifications import DeliveryRow, NotificationRow
from perijove_hub.store.models.secrets import SecretRow
from perijove_hub.store.models.sweeps import SweepRow, TrialRow
from perijove_hub.store.models.usage import GpuLeaseRow, GpuRow, UsageRow
from perijove_hub.store.models.workspaces import KernelRow, WarmRow, WorkspaceRow

__all__ = [
    "ArtifactRow",
    "AttemptRow",
    "AuditRow",
    "BackfillRow",
    "BackfillSlotRow",
    "Base",
    "BuildRow",
    "ColumnRow",
    "DatasetRow",
    "DeliveryRow",
    "DeploymentRow",
    "GpuLeaseRow",
    "GpuRow",
    "IdempotencyRow",
    "ImageRow",
    "ImageVersionRow",
    "JobInputRow",
    "JobRow",
    "JobVersionRow",
    "KernelRow",
    "LoginRow",
    "LooseBlobRow",
    "NotificationRow",
    "OwnedRow",
    "PackageRow",
    "PrincipalRow",
    "ReplicaRow",
    "RunDatasetRow",
    "RunRow",
    "RunTokenRow",
    "ScheduleRow",
    "SecretRow",
    "ShareDismissalRow",
    "ShareRow",
    "SharedFolderRow",
    "SourceRow",
    "SweepRow",
    "Timestamps",
    "TrialRow",
    "UpstreamRow",
    "UsageRow",
    "UtcDateTime",
    "WarmRow",
    "WorkerRow",
    "WorkspaceRow",
    "new_id",
    "utcnow",
]
