"""Browser sessions by the Hub's OAuth."""

from __future__ import annotations

from fastapi import FastAPI, Request

from perijove_hub.context import Context


def install(app: FastAPI, context: Context, *, service: str, prefix: str) -> None:
    """Add login routes to ``app`` and a way to read the session's token."""

    def session_token(request: Request) -> str | None:
        return None

    app.state.session_token = session_token
