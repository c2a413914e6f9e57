"""``perijove gpus``: how many GPUs are free, and for administrators who holds the others."""

from __future__ import annotations

import click

from perijove.client import Client
from perijove.magics.display import Listing
from perijove.types.gpus import Gpu, GpuInventory


@click.group()
def gpus() -> None:
    """See the machine's GPUs; PERIJOVE_URL and PERIJOVE_TOKEN say where and who."""


@gpus.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the GPUs and how much of each is free."""
    with Client() as client:
        found = client.get(GpuInventory, "/gpus")
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    if not found.devices:
        click.echo("This machine has no GPUs.")
        return
    click.echo(f"{found.free:g} of {found.total} free")
    rows = [
        (gpu.id, gpu.model, _gib(gpu), f"{gpu.free_shares}/{gpu.shares}", _held_by(gpu))
        for gpu in found.devices
    ]
    click.echo(repr(Listing(["gpu", "model", "memory", "free shares", "held by"], rows)))


def _gib(gpu: Gpu) -> str:
    return f"{gpu.memory_mb / 1024:.0f} GiB" if gpu.memory_mb else ""


def _held_by(gpu: Gpu) -> str:
    held = ", ".join(f"{one.kind} {one.holder} of {one.user}" for one in gpu.holders or [])
    return held if gpu.present else f"vanished; {held or 'held by nobody'}"
