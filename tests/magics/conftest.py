"""A shell with the magics, and a control plane for them to talk to."""

from __future__ import annotations

import pytest

from perijove_hub.catalog.duty import CrawlDuty
from perijove_hub.context import demo_source
from perijove_hub.demo.data import build
from tests.fixtures.api import Api


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
