"""Which GPUs this machine has, as its driver says or as the settings name them."""

from __future__ import annotations

import csv
import logging
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove_hub.settings import GpuSettings
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import GpuLeaseRow, GpuRow

log = logging.getLogger(__name__)

#: Seconds the driver may take to answer; a broken one hangs.
TIMEOUT = 30

_QUERY = ("--query-gpu=uuid,name,memory.total,mig.mode.current", "--format=csv,noheader,nounits")
_GPU_ID = re.compile(r"GPU-[0-9a-fA-F-]{8,60}")
_LISTED_GPU = re.compile(r"GPU \d+: .*\(UUID: (GPU-[0-9a-fA-F-]+)\)")
_LISTED_MIG = re.compile(r"MIG (\d+(?:c\.\d+)?g\.(\d+)gb\S*)\s+Device\s+\d+: \(UUID: (MIG-\S+)\)")


@dataclass(frozen=True)
class Device:
    """One GPU, or one instance of a GPU that is partitioned (MIG)."""

    id: str
    model: str = ""
    memory_mb: int | None = None


class Unknown(Exception):
    """What there is cannot be known now; ``str()`` says why."""


def look(settings: GpuSettings) -> list[Device]:
    """Return the devices to hand out.

    Those the settings name, described by the driver where it knows them, else all it lists. No
    driver means no GPUs. Raises ``Unknown`` when the driver's answer makes no sense.
    """
    program = shutil.which("nvidia-smi")
    if settings.devices is None:
        return _ask(program) if program else []
    named = list(dict.fromkeys(settings.devices))
    if program is None:
        return [Device(one) for one in named]
    try:
        known = {device.id: device for device in _ask(program)}
    except Unknown as error:
        raise Unknown(f"the GPUs of [gpus] devices cannot be checked: {error}") from None
    return [known[one] for one in named if one in known]


def record(session: Session, devices: Sequence[Device], *, shares: int) -> None:
    """Write down what there is now; what has vanished is marked and its holders named."""
    now = database_now(session)
    rows = {row.id: row for row in session.scalars(select(GpuRow).order_by(GpuRow.id))}
    for device in devices:
        row = rows.pop(device.id, None)
        if row is None:
            row = GpuRow(id=device.id)
            session.add(row)
        elif not row.present:
            log.info("GPU %s is back", device.id)
        row.model = device.model or row.model or ""
        row.memory_mb = device.memory_mb or row.memory_mb
        row.shares, row.present, row.seen_at = shares, True, now
    for row in rows.values():
        if row.present:
            row.present = False
            log.warning("GPU %s (%s) has vanished; held by %s", *_described(session, row))


def _described(session: Session, row: GpuRow) -> tuple[str, str, str]:
    holders = session.execute(
        select(GpuLeaseRow.kind, GpuLeaseRow.holder, GpuLeaseRow.user)
        .where(GpuLeaseRow.gpu == row.id)
        .distinct()
    )
    named = [f"{kind} {holder} of {user}" for kind, holder, user in holders]
    return row.id, row.model or "unknown model", ", ".join(named) or "nobody"


def _ask(program: str) -> list[Device]:
    devices = []
    partitions: dict[str, list[Device]] | None = None
    for line in csv.reader(_run(program, *_QUERY).splitlines(), skipinitialspace=True):
        if len(line) != 4 or not _GPU_ID.fullmatch(line[0].strip()):
            raise Unknown(f"nvidia-smi wrote a line that is no GPU: {', '.join(line)[:200]!r}")
        uuid, model, memory, mig = (part.strip() for part in line)
        if mig == "Enabled":
            # The whole device would hand out every partition with it.
            if partitions is None:
                partitions = _partitions(_run(program, "-L"))
            devices += [
                Device(part.id, f"{model} {part.model}", part.memory_mb)
                for part in partitions.get(uuid, [])
            ]
        else:
            devices.append(Device(uuid, model, int(memory) if memory.isdigit() else None))
    return list({device.id: device for device in devices}.values())


def _partitions(listing: str) -> dict[str, list[Device]]:
    """Read the MIG instances of each GPU off ``nvidia-smi -L``."""
    found: dict[str, list[Device]] = {}
    parent = ""
    for line in listing.splitlines():
        if match := _LISTED_GPU.match(line.strip()):
            parent = match[1]
        elif match := _LISTED_MIG.match(line.strip()):
            part = Device(match[3], f"MIG {match[1]}", int(match[2]) * 1024)
            found.setdefault(parent, []).append(part)
    return found


def _run(program: str, *arguments: str) -> str:
    try:
        answer = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=TIMEOUT, errors="replace"
        )
    except subprocess.TimeoutExpired:
        raise Unknown(f"nvidia-smi did not answer within {TIMEOUT} s") from None
    except OSError as error:
        raise Unknown(f"nvidia-smi cannot be run: {error.strerror}") from None
    if "No devices were found" in answer.stdout:
        return ""
    if answer.returncode:
        said = (answer.stderr + answer.stdout).strip().splitlines()
        raise Unknown(
            f"nvidia-smi ended with status {answer.returncode}: {said[0][:300] if said else ''}"
        )
    return answer.stdout
