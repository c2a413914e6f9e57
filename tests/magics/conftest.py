"""A shell with the magics, and a control plane for them to talk to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell

from perijove_hub.catalog.duty import CrawlDuty
from perijove_hub.context import demo_source
from perijove_hub.demo.data import build
from tests.fixtures.api import Api


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A fresh IPython shell after ``%load_ext perijove``."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "perijove")
    yield shell
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


@pytest.fixture
def ada(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """Be ada, in a workspace with the demo source."""
    build(api.context.data.demo_database)
    source = demo_source(api.context.data.demo_database)
    api.context.settings.catalog.sources["demo"] = source
    CrawlDuty(api.context).tick()
    monkeypatch.setenv("PERIJOVE_URL", api.url.removesuffix("/api/v1"))
    monkeypatch.setenv("PERIJOVE_TOKEN", api.hub.token("ada"))
    return api
