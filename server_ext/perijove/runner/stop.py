"""SIGTERM as a wish that is looked at, so that what a run has is saved."""

from __future__ import annotations

import signal
import threading
from typing import Any


class Stop:
    """Whether somebody has asked this process to end."""

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Take SIGTERM from now on, where that is possible: in the main thread."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: Any) -> None:
        self.asked = True
