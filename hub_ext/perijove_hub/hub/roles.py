"""Scopes and roles: what users, their servers and our services may do, and nothing more."""

from __future__ import annotations

from typing import Any

from perijove_hub.access import METRICS, VERBS, scope

#: The services users' tokens may reach.
SERVICES = ("perijove", "mlflow", "serve")

#: What the Hub calls each of our verbs on its token page.
CUSTOM_SCOPES: dict[str, dict[str, Any]] = {
    scope(verb): {"description": meaning} for verb, meaning in VERBS.items()
} | {scope(METRICS): {"description": "Read Perijove's figures for Prometheus; no user has it"}}

_REACH = [f"access:services!service={name}" for name in SERVICES]
_VERBS = [scope(verb) for verb in VERBS]

#: Added to what every user may do with their own account.
USER_SCOPES = [*_REACH, *_VERBS]

#: A workspace's own token: its activity, itself, and Perijove's verbs; not the user's account.
SERVER_ROLE: dict[str, Any] = {
    "name": "server",
    "description": "A workspace: report activity, reach itself and Perijove",
    "scopes": ["users:activity!user", "access:servers!server", *USER_SCOPES],
}

SERVICE_ROLES: list[dict[str, Any]] = [
    {
        "name": "perijove-control-plane",
        "description": "Download models from MLflow; ask who is a user and which servers run; "
        "stop those that are idle or over their quota",
        "services": ["perijove"],
        "scopes": [
            "access:services!service=mlflow",
            "read:users:name",
            "read:users:groups",
            "list:users",
            "read:servers",
            "delete:servers",
        ],
    },
    {
        "name": "perijove-cli",
        "description": "perijove token, status and users, for whoever owns the data directory",
        "services": ["perijove-cli"],
        "scopes": [
            "tokens",
            "list:users",
            "read:users:name",
            "read:users:groups",
            "read:servers",
            "admin:users",
            "admin:groups",
            "list:groups",
            "shutdown",
            "read:hub",
        ],
    },
    {
        "name": "perijove-metrics",
        "description": "Prometheus: read Perijove's figures, and nothing else",
        "services": ["perijove-metrics"],
        "scopes": ["access:services!service=perijove", scope(METRICS)],
    },
]


def session_scopes(service: str) -> list[str]:
    """Scopes a browser session at ``service`` may have: to see, never to change."""
    return [f"access:services!service={service}", scope("read")]
