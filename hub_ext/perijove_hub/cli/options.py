"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

EX_CONFIG = 78


def data_options(command: F) -> F:
    """Add ``--data-dir`` and ``--config``."""
    command = click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="PERIJOVE_CONFIG",
        help="Settings file, perijove.toml.",
    )(command)
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        envvar="PERIJOVE_DATA_DIR",
        default=lambda: Path.home() / ".local/share/perijove",
        show_default="~/.local/share/perijove",
        help="Where all state is kept.",
    )(command)


def fail(error: object, status: int = 1) -> NoReturn:
    """Print what went wrong and exit."""
    click.echo(f"perijove: {error}", err=True)
    sys.exit(status)
