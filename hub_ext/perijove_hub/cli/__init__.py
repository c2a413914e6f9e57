"""The command line: ``perijove``."""

from __future__ import annotations

from perijove_hub.cli.main import main

__all__ = ["main"]
