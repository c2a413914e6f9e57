"""What every process of the control plane starts from: settings, data, where the others are."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from perijove_hub.paths import DataDir
from perijove_hub.settings import Settings, SourceSettings, load
from perijove_hub.store import BlobStore, Database

#: Ports at which containers find the parts, whichever the parts listen on.
INSIDE_PORTS = {"hub": 8081, "api": 8010, "mlflow": 8011, "gateway": 8012}


@dataclass(frozen=True)
class Topology:
    """Where each part listens, as the others reach it. URLs end without a slash."""

    public_url: str
    """What people see: the proxy, such as ``http://127.0.0.1:8000``."""
    hub_api_url: str
    """``http://…/hub/api``, past the proxy."""
    host: str
    """Address the parts below listen on: loopback, or Docker's bridge."""
    api_port: int
    mlflow_port: int
    gateway_port: int
    spawner: str = "local"
    """``local`` or ``docker``: how this run of ``perijove up`` starts workspaces."""
    proxy_api_port: int | None = None
    """Where the proxy takes orders, on loopback; null when an operator runs it."""

    @property
    def inside(self) -> Topology:
        """The same parts as containers address them.

        Always the same ports at the bridge's address, redirected on the host to wherever the
        parts listen now, so that running containers outlive a restart on other ports.
        """
        if self.spawner != "docker":
            return self
        return replace(
            self,
            hub_api_url=f"http://{self.host}:{INSIDE_PORTS['hub']}/hub/api",
            api_port=INSIDE_PORTS["api"],
            mlflow_port=INSIDE_PORTS["mlflow"],
            gateway_port=INSIDE_PORTS["gateway"],
        )

    @property
    def ports(self) -> dict[str, int]:
        """Where the parts that containers may reach listen now, by part."""
        return {
            "hub": int(self.hub_api_url.rsplit(":", 1)[1].split("/")[0]),
            "api": self.api_port,
            "mlflow": self.mlflow_port,
            "gateway": self.gateway_port,
        }

    @property
    def api_url(self) -> str:
        """Base of the control plane, as workspaces and workloads reach it."""
        return f"http://{self.host}:{self.api_port}/services/perijove"

    @property
    def mlflow_url(self) -> str:
        """MLflow's tracking URI, as workspaces and workloads reach it."""
        return f"http://{self.host}:{self.mlflow_port}/services/mlflow"

    @property
    def gateway_url(self) -> str:
        """Base of the gateway, as workspaces and workloads reach it."""
        return f"http://{self.host}:{self.gateway_port}/services/serve"

    def save(self, path: Path) -> None:
        """Write to ``path`` in one step."""
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Topology:
        """Read what ``save`` wrote; ``FileNotFoundError`` when Perijove never ran here."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def demo_source(database: Path) -> SourceSettings:
    """Return the catalog source that ``perijove up --demo`` adds; open to everyone."""
    return SourceSettings(
        url=f"sqlite:///{database}",
        description="Wisconsin breast cancer: 569 tumours, 30 measurements of their cell nuclei",
        groups=["*"],
    )


class Context:
    """Settings, data directory, database and blobs of one process."""

    def __init__(self, settings: Settings, data: DataDir, config: Path | None = None) -> None:
        self.settings = settings
        self.data = data
        self.config = config

    @classmethod
    def open(cls, data_dir: Path, config: Path | None) -> Context:
        """Check settings and data directory.

        Raises ``SettingsError`` or ``DataDirError``; nothing has started by then.
        """
        settings = load(config)
        data = DataDir.open(data_dir)
        if data.demo_database.exists():
            settings.catalog.sources.setdefault("demo", demo_source(data.demo_database))
        return cls(settings, data, config)

    @cached_property
    def database(self) -> Database:
        """The store's database."""
        return Database(self.data.database_url(self.settings))

    @cached_property
    def blobs(self) -> BlobStore:
        """The blob store."""
        return BlobStore(self.data.blobs_url(self.settings), self.database)

    @cached_property
    def topology(self) -> Topology:
        """Where the parts are; ``FileNotFoundError`` when ``perijove up`` never ran here."""
        return Topology.load(self.data.run / "topology.json")
