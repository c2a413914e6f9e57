"""``perijove status``: what runs, and whether it answers."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click
import httpx

from perijove_hub.cli.hub_api import HubApi
from perijove_hub.cli.options import data_options
from perijove_hub.context import Context


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_options
def status(as_json: bool, data_dir: Path, config: Path | None) -> None:
    """Say which parts run, and whether they answer; status 1 when one does not."""
    from perijove_hub.up.part import leftover

    context = HubApi.open(data_dir, config).context
    rows = []
    for name, probe in _probes(context).items():
        process = leftover(context.data.run / f"{name}.json")
        rows.append(
            {
                "part": name,
                "pid": process.pid if process else None,
                "up_seconds": round(time.time() - process.create_time()) if process else None,
                "memory_mb": round(process.memory_info().rss / 2**20) if process else None,
                "answers": _answers(probe) if probe else process is not None,
            }
        )
    report = {
        "url": f"{context.topology.public_url}/",
        "data_dir": str(context.data.root),
        "spawner": context.topology.spawner,
        "parts": rows,
    }
    click.echo(json.dumps(report, indent=2) if as_json else _table(report))
    if not all(row["answers"] for row in rows):
        sys.exit(1)


def _probes(context: Context) -> dict[str, str | None]:
    topology = context.topology
    return {
        "proxy": f"{topology.public_url}/hub/health",
        "hub": f"{topology.hub_api_url}/",
        "api": f"{topology.api_url}/api/health",
        "mlflow": f"{topology.mlflow_url}/health",
        "gateway": f"{topology.gateway_url}/health",
        "worker": None,
    }


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _table(report: dict[str, Any]) -> str:
    lines = [f"{report['url']}  (data in {report['data_dir']}, {report['spawner']} spawner)"]
    for row in report["parts"]:
        state = (
            click.style("answers", fg="green") if row["answers"] else click.style("down", fg="red")
        )
        where = f"pid {row['pid']}, {row['memory_mb']} MiB" if row["pid"] else "not running"
        lines.append(f"  {row['part']:<8} {state:<18} {where}")
    return "\n".join(lines)
