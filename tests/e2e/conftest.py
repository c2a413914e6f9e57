"""One running product for the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.product import Product


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """``perijove up --demo`` with a fresh data directory."""
    with Product.running(tmp_path_factory.mktemp("product")) as product:
        yield product
