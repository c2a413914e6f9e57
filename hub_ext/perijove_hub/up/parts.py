"""The parts of one machine's Perijove and where they listen."""

from __future__ import annotations

import sys
from importlib import resources

from perijove_hub.context import Context, Topology
from perijove_hub.engine.exceptions import EngineDown
from perijove_hub.up.exceptions import StartError
from perijove_hub.up.part import Part
from perijove_hub.up.ports import pick

LOOPBACK = "127.0.0.1"


def lay_out(context: Context, *, public_url: str, spawner: str) -> Topology:
    """Choose ports, keeping last time's where they are free. Raises ``StartError``."""
    host = LOOPBACK
    if spawner == "docker":
        host = _bridge(context)
    try:
        before = context.topology
        hub_port: int | None = int(before.hub_api_url.rsplit(":", 1)[1].split("/")[0])
    except FileNotFoundError:
        before, hub_port = None, None
    wanted = [
        hub_port,
        before.api_port if before else None,
        before.mlflow_port if before else None,
        context.settings.models.gateway_port or (before.gateway_port if before else None),
    ]
    hub, api, mlflow, gateway = pick(host, wanted)
    [proxy_api] = pick(LOOPBACK, [before.proxy_api_port if before else None])
    return Topology(
        public_url=public_url,
        hub_api_url=f"http://{host}:{hub}/hub/api",
        host=host,
        api_port=api,
        mlflow_port=mlflow,
        gateway_port=gateway,
        spawner=spawner,
        proxy_api_port=proxy_api,
    )


def _bridge(context: Context) -> str:
    """Return the host's address on the containers' network."""
    from perijove_hub.engine import Names, network

    try:
        return network.ensure(Names.of(context.data.root))
    except EngineDown as error:
        raise StartError(str(error)) from None


def hub_command() -> list[str]:
    """Return how the Hub is started; ``PERIJOVE_PROXY_API_URL`` has to be ``proxy_api_url``."""
    config = str(resources.files("perijove_hub.hub") / "embedded_config.py")
    return [sys.executable, "-m", "jupyterhub", "-f", config]


def proxy_api_url(topology: Topology) -> str:
    """Return where the proxy takes the Hub's orders."""
    return f"http://{LOOPBACK}:{topology.proxy_api_port}"


def proxy_options(topology: Topology) -> list[str]:
    """Return the proxy's options but for where people reach it."""
    hub_url = topology.hub_api_url.removesuffix("/hub/api")
    return [
        f"--api-ip={LOOPBACK}",
        f"--api-port={topology.proxy_api_port}",
        f"--default-target={hub_url}",
        f"--error-target={hub_url}/hub/error",
        "--log-level=warn",
    ]


def make_parts(context: Context, *, proxy: list[str]) -> list[Part]:
    """Return the parts in the order they start: what takes longest first."""
    topology, data = context.topology, context.data
    public_port = topology.public_url.rsplit(":", 1)[1]
    common = {"PERIJOVE_DATA_DIR": str(data.root)}
    if context.config:
        common["PERIJOVE_CONFIG"] = str(context.config)
    # Through the proxy, because that is what "ready" means to a person: a part whose route
    # the Hub has not added yet answers 404 there.
    services = f"{topology.public_url}/services"

    def own(name: str, probe: str) -> Part:
        command = [sys.executable, "-m", "perijove_hub.cli", name, "--data-dir", str(data.root)]
        if context.config:
            command += ["--config", str(context.config)]
        return part(name, command, probe)

    def part(
        name: str, command: list[str], probe: str, expects: int = 200, **environment: str
    ) -> Part:
        return Part(
            name=name,
            command=command,
            probe=probe,
            expects=expects,
            log=data.logs / f"{name}.log",
            pid_file=data.run / f"{name}.json",
            environment={**common, **environment},
        )

    return [
        own("mlflow", f"{services}/mlflow/health"),
        part(
            "hub",
            hub_command(),
            f"{topology.hub_api_url}/",
            PERIJOVE_PROXY_API_URL=proxy_api_url(topology),
        ),
        part(
            "proxy",
            [
                *proxy,
                f"--ip={LOOPBACK}",
                f"--port={public_port}",
                *proxy_options(topology),
            ],
            # It runs and guards its API: a stranger is refused.
            f"{proxy_api_url(topology)}/api/routes",
            expects=403,
            CONFIGPROXY_AUTH_TOKEN=data.secret("proxy"),
        ),
        own("api", f"{services}/perijove/api/health"),
        own("gateway", f"{services}/serve/health"),
        own("worker", f"{services}/perijove/api/health"),
    ]
