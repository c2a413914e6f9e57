"""The Hub's REST API for whoever owns the data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from perijove_hub.cli.options import fail
from perijove_hub.context import Context
from perijove_hub.paths import DataDirError
from perijove_hub.settings import SettingsError


class HubApi:
    """Calls the Hub with the command line's own service token."""

    def __init__(self, context: Context) -> None:
        self.context = context

    @classmethod
    def open(cls, data_dir: Path, config: Path | None) -> HubApi:
        """Find the Hub of a data directory; exit with the reason when there is none."""
        if not (data_dir / "run" / "topology.json").exists():
            fail(f"Perijove never ran on {data_dir}. Start it with `perijove up`.")
        try:
            return cls(Context.open(data_dir, config))
        except (SettingsError, DataDirError) as error:
            fail(error)

    def send(self, method: str, path: str, body: object = None, *, missing: str = "") -> Any:
        """Send a request and return the answer's JSON; exit with the reason on failure.

        ``missing`` is what to say where there is no such thing.
        """
        try:
            response = httpx.request(
                method,
                self.context.topology.hub_api_url + path,
                json=body,
                headers={"Authorization": f"token {self.context.data.secret('service-cli')}"},
                timeout=30,
                trust_env=False,
            )
        except httpx.TransportError:
            fail("The Hub does not answer. Start it with `perijove up`.")
        if response.status_code == 404 and missing:
            fail(missing)
        if response.is_error:
            try:
                message = response.json()["message"]
            except (ValueError, KeyError):
                message = response.reason_phrase
            fail(f"The Hub refused ({response.status_code}): {message}")
        return response.json() if response.content else None

    def answers(self) -> bool:
        """Tell whether the Hub runs."""
        try:
            url = f"{self.context.topology.hub_api_url}/"
            return httpx.get(url, timeout=5, trust_env=False).is_success
        except httpx.HTTPError:
            return False
