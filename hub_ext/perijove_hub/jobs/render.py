"""Show a run's output notebook as a page that cannot do anything."""

from __future__ import annotations

import logging
from typing import Any

import nbformat
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter
from traitlets.config import Config

from perijove_hub.exceptions import Conflict

log = logging.getLogger(__name__)

#: No origin, no scripts, nothing fetched: whatever the outputs hold, the page only shows it.
HTML_HEADERS = {
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

#: Most bytes that are rendered; a larger one is for download.
MAX_BYTES = 50_000_000

_REMOTE = (
    "require_js_url",
    "mathjax_url",
    "mermaid_js_url",
    "mermaid_layout_elk_js_url",
    "jquery_url",
    "jupyter_widgets_base_url",
    "widget_renderer_url",
)


def as_html(notebook: bytes) -> str:
    """Render nbformat JSON as one page without scripts or remote parts.

    ``#cell-id=cell-N`` leads to its cell N, from 0.

    Raises ``Conflict`` for one too large to render, and for what is no notebook.
    """
    if len(notebook) > MAX_BYTES:
        raise Conflict(
            f"The output notebook has {len(notebook) / 1e6:.0f} MB, too much for a page.",
            fix="Download it and open it in JupyterLab.",
        )
    try:
        node = nbformat.reads(notebook.decode(), as_version=4)
        # Widgets are scripts; without their state they show as the text they carry.
        node.metadata.pop("widgets", None)
        for number, cell in enumerate(node.cells):
            # Where a link to the page finds it, whatever its author or an old format calls it.
            cell["id"] = f"cell-{number}"
        page, _ = _exporter().from_notebook_node(node)
    except Exception as error:
        # The run's own code can write the file, and what it then is nobody can foresee.
        log.warning("an output notebook cannot be shown: %s", error)
        raise Conflict(
            "The output notebook is not as a runner writes it.", fix="Download it."
        ) from None
    return _without_scripts(page)


def _exporter() -> Any:
    config = Config()
    # What has a form without scripts is preferred to what has not.
    config.NbConvertBase.display_data_priority = [
        "text/html",
        "text/markdown",
        "image/svg+xml",
        "image/png",
        "image/jpeg",
        "text/latex",
        "text/plain",
    ]
    exporter = HTMLExporter(config=config)
    for name in _REMOTE:
        setattr(exporter, name, "")
    return exporter


def _without_scripts(page: str) -> str:
    """Drop every script: the browser would not run it, and need not read it."""
    soup = BeautifulSoup(page, features="html.parser")
    for element in soup.find_all("script"):
        element.decompose()
    return str(soup)
