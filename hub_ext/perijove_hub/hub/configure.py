"""``configure(c)``: what a Hub needs to adopt Perijove, in one call.

In an existing ``jupyterhub_config.py``::

    from perijove_hub.hub import configure
    configure(c)

It adds services, roles and scopes and the workspaces' environment, and leaves the
authenticator, the spawner and the proxy as they are. ``embed(c)`` is for ``perijove up``
and sets those too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from perijove_hub.context import Context, Topology
from perijove_hub.hub import accounts
from perijove_hub.hub.environment import workspace_environment
from perijove_hub.hub.roles import (
    CUSTOM_SCOPES,
    SERVER_ROLE,
    SERVICE_ROLES,
    SERVICES,
    USER_SCOPES,
    session_scopes,
)
from perijove_hub.settings import SettingsError

#: Ports of the parts when an adopted Hub's operator runs them, unless topology.json says more.
API_PORT, MLFLOW_PORT, GATEWAY_PORT = 8010, 8011, 8012


def configure(c: Any, *, data_dir: str | None = None, config: str | None = None) -> Context:
    """Make the Hub configured by ``c`` serve Perijove.

    ``data_dir`` and ``config`` default to ``$PERIJOVE_DATA_DIR`` and ``$PERIJOVE_CONFIG``.
    Raises ``SettingsError`` or ``DataDirError`` before anything is changed.
    """
    data_dir = data_dir or os.environ.get("PERIJOVE_DATA_DIR")
    config = config or os.environ.get("PERIJOVE_CONFIG")
    if not data_dir:
        raise SettingsError(
            "configure(c) needs a data directory: pass data_dir= or export PERIJOVE_DATA_DIR."
        )
    context = Context.open(Path(data_dir), Path(config) if config else None)
    topology = _topology(c, context)
    _add_services(c, context, topology)
    _add_roles(c)
    c.JupyterHub.cleanup_servers = False
    c.JupyterHub.token_expires_in_max_seconds = context.settings.hub.token_days * 86_400
    c.JupyterHub.oauth_token_expires_in = 86_400
    c.JupyterHub.cookie_max_age_days = 1
    c.Spawner.environment.update(workspace_environment(topology))
    return context


def embed(c: Any) -> None:
    """Configure the Hub that ``perijove up`` runs, accounts and spawner included."""
    context = configure(c)
    topology, data = context.topology, context.data
    hub_port = int(topology.hub_api_url.rsplit(":", 1)[1].split("/")[0])
    c.JupyterHub.bind_url = topology.public_url
    c.JupyterHub.hub_ip = topology.host
    c.JupyterHub.hub_port = hub_port
    c.JupyterHub.db_url = f"sqlite:///{data.root / 'hub.sqlite'}"
    c.JupyterHub.cookie_secret = bytes.fromhex(data.secret("cookie-secret"))
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.api_url = os.environ["PERIJOVE_PROXY_API_URL"]
    c.ConfigurableHTTPProxy.auth_token = data.secret("proxy")
    # People press Start and see what they start, instead of landing in a spawn by itself.
    c.JupyterHub.default_url = "/hub/home"
    c.JupyterHub.template_paths = [str(Path(__file__).with_name("templates"))]
    # A proxy that lost its routes with a kill -9 has them back within these seconds.
    c.JupyterHub.proxy_check_interval = 5
    _embed_accounts(c, context)
    _embed_spawner(c, context, topology)


def _topology(c: Any, context: Context) -> Topology:
    """Use what ``perijove up`` wrote, or write down where an adopted Hub's parts will be."""
    try:
        return context.topology
    except FileNotFoundError:
        hub = c.JupyterHub
        bind = hub.bind_url if isinstance(hub.bind_url, str) else "http://127.0.0.1:8000"
        hub_ip = hub.hub_ip if isinstance(hub.hub_ip, str) and hub.hub_ip else "127.0.0.1"
        hub_port = hub.hub_port if isinstance(hub.hub_port, int) else 8081
        topology = Topology(
            public_url=bind.rstrip("/"),
            hub_api_url=f"http://{hub_ip}:{hub_port}/hub/api",
            host=hub_ip,
            api_port=API_PORT,
            mlflow_port=MLFLOW_PORT,
            gateway_port=GATEWAY_PORT,
        )
        topology.save(context.data.run / "topology.json")
        return topology


def _add_services(c: Any, context: Context, topology: Topology) -> None:
    ports = {
        "perijove": topology.api_port,
        "mlflow": topology.mlflow_port,
        "serve": topology.gateway_port,
    }
    services: list[dict[str, Any]] = [
        {
            "name": name,
            "url": f"http://{topology.host}:{ports[name]}",
            "api_token": context.data.secret(f"service-{name}"),
            "oauth_client_id": f"service-{name}",
            "oauth_redirect_uri": f"/services/{name}/oauth_callback",
            "oauth_no_confirm": True,
            "oauth_client_allowed_scopes": session_scopes(name),
            # Only MLflow has pages of its own; the rest is reached through JupyterLab.
            "display": name == "mlflow",
        }
        for name in SERVICES
    ]
    for name in ("cli", "metrics"):
        token = context.data.secret(f"service-{name}")
        services.append({"name": f"perijove-{name}", "api_token": token})
    c.JupyterHub.services.extend(services)


def _add_roles(c: Any) -> None:
    c.JupyterHub.custom_scopes.update(CUSTOM_SCOPES)
    c.JupyterHub.extra_user_scopes.update(USER_SCOPES)
    roles = c.JupyterHub.load_roles
    own = {role["name"]: role for role in roles} if isinstance(roles, list) else {}
    if "user" in own:
        # The Hub ignores extra_user_scopes where the operator wrote the role out.
        own["user"].setdefault("scopes", ["self"]).extend(USER_SCOPES)
    if "server" in own:
        own["server"].setdefault("scopes", []).extend(SERVER_ROLE["scopes"])
    else:
        roles.append(SERVER_ROLE)
    roles.extend(SERVICE_ROLES)


def _embed_accounts(c: Any, context: Context) -> None:
    from perijove_hub.hub.authenticator import EmbeddedAuthenticator

    EmbeddedAuthenticator.database = context.database
    c.JupyterHub.authenticator_class = EmbeddedAuthenticator
    c.Authenticator.allow_all = True
    rows = accounts.every(context.database)
    c.Authenticator.admin_users = {row.name for row in rows if row.admin}
    groups: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        for group in row.groups:
            groups.setdefault(group, {"users": []})["users"].append(row.name)
    c.JupyterHub.load_groups = groups


def _embed_spawner(c: Any, context: Context, topology: Topology) -> None:
    from perijove_hub.hub import pages, starting

    # Starts wait in our own line, which people see; the Hub would answer 429.
    c.JupyterHub.concurrent_spawn_limit = 0
    c.Spawner.start_timeout = starting.PATIENCE
    c.Spawner.http_timeout = 60
    # People should not have to wait to be told that theirs has died.
    c.Spawner.poll_interval = 10
    c.Spawner.options_form = pages.form
    c.Spawner.options_from_form = pages.options_from_form
    c.Spawner.apply_user_options = pages.accept_options
    if topology.spawner == "docker":
        from perijove_hub.hub import docker

        docker.embed(c, context, topology)
        return
    from perijove_hub.hub import spawner

    spawner.embed(c, context)
