"""Assemble the commands; each imports what it needs only when it is run."""

from __future__ import annotations

import importlib

import click

from perijove.exceptions import PerijoveError, Unfit
from perijove_hub import __version__
from perijove_hub.cli.options import fail

#: command → module that defines it under the same name with '-' as '_'.
COMMANDS = {
    "up": "perijove_hub.cli.up",
    "status": "perijove_hub.cli.status",
    "doctor": "perijove_hub.cli.doctor",
    "token": "perijove_hub.cli.token",
    "users": "perijove_hub.cli.users",
    "setup": "perijove_hub.cli.setup",
    "teardown": "perijove_hub.cli.setup",
    "hub": "perijove_hub.cli.serve",
    "proxy": "perijove_hub.cli.serve",
    "api": "perijove_hub.cli.serve",
    "mlflow": "perijove_hub.cli.serve",
    "gateway": "perijove_hub.cli.serve",
    "worker": "perijove_hub.cli.serve",
    "backup": "perijove_hub.cli.backup",
    "restore": "perijove_hub.cli.backup",
    "data": "perijove_hub.cli.data",
    "images": "perijove_hub.cli.images",
    "jobs": "perijove_hub.cli.jobs",
    "kernels": "perijove_hub.cli.kernels",
    "models": "perijove_hub.cli.models",
    "runs": "perijove_hub.cli.runs",
    "gpus": "perijove_hub.cli.gpus",
    "usage": "perijove_hub.cli.usage",
    "secrets": "perijove_hub.cli.secrets",
    "shares": "perijove_hub.cli.shares",
    "workspaces": "perijove_hub.cli.workspaces",
}


class Lazy(click.Group):
    """A group whose commands load on use, so that ``--help`` takes no seconds."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order a person meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        return command


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="perijove")
def cli() -> None:
    """Perijove: a notebook goes all the way to production."""


def main() -> None:
    """Run the command line; our own errors are one clear message and status 1."""
    from pydantic import ValidationError

    try:
        cli()
    except PerijoveError as error:
        fail(error)
    except ValidationError as error:
        fail(Unfit.of(error))
