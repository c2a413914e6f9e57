"""``perijove kernels``: see one's remote kernels and stop them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from perijove.client import Client
from perijove.magics.display import Listing
from perijove.types.base import Page
from perijove.types.kernels import Kernel

_COLUMNS = ["kernel", "state", "size", "image", "user", "last active", "why"]


@click.group()
def kernels() -> None:
    """Remote kernels; PERIJOVE_URL and PERIJOVE_TOKEN say where and who."""


@kernels.command("list")
@click.option("--all", "over", is_flag=True, help="Those that have ended, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(over: bool, as_json: bool) -> None:
    """List your remote kernels; an administrator sees everybody's."""
    found: list[Kernel] = []
    cursor = None
    with Client() as client:
        while True:
            page = client.get(Page[Kernel], "/kernels", over=over, cursor=cursor)
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
    if as_json:
        click.echo(json.dumps([kernel.model_dump(mode="json") for kernel in found], indent=2))
        return
    rows = [
        [
            kernel.id,
            kernel.state.value,
            kernel.size,
            kernel.image,
            kernel.user,
            _ago(kernel.active_at),
            kernel.reason or "",
        ]
        for kernel in found
    ]
    click.echo(repr(Listing(_COLUMNS, rows, empty="No remote kernels.")))


@kernels.command()
@click.argument("kernel_ids", metavar="KERNEL...", nargs=-1, required=True)
def stop(kernel_ids: tuple[str, ...]) -> None:
    """Stop kernels, or take them out of the queue."""
    with Client() as client:
        for kernel_id in kernel_ids:
            kernel = client.get(Kernel, f"/kernels/{kernel_id}")
            client.delete(f"/kernels/{kernel.id}")
            click.echo(f"{kernel.id} is being stopped.")


def _ago(moment: datetime | None) -> str:
    if moment is None:
        return ""
    minutes = (datetime.now(UTC) - moment).total_seconds() / 60
    return "now" if minutes < 1 else f"{minutes:.0f} min ago"
