"""Fixtures every test may use: real parts on free ports, in temporary data directories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from perijove_hub.context import Context
from perijove_hub.store.migrate import upgrade
from tests.fixtures.api import Api
from tests.fixtures.hub import Hub

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    """A context on a fresh data directory and a migrated SQLite database."""
    context = Context.open(tmp_path / "data", None)
    upgrade(context.database)
    yield context
    context.database.close()


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A real JupyterHub with ada (research), grace (risk) and the administrator admin."""
    with Hub.running(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def api(hub: Hub, tmp_path: Path) -> Iterator[Api]:
    """The API, served for real, on a fresh data directory that trusts the session's Hub."""
    with Api.running(hub, tmp_path / "data") as api:
        yield api


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A fresh IPython shell after ``%load_ext perijove``."""
    # Not for every test that needs none.
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "perijove")
    yield shell
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()
