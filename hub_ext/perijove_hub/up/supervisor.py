"""Keep every part running until told to stop, then stop exactly those."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

import httpx

from perijove_hub.context import Context
from perijove_hub.engine.exceptions import EngineDown
from perijove_hub.up.exceptions import StartError
from perijove_hub.up.part import EX_CONFIG, Part
from perijove_hub.worker import stop_all

#: Seconds all parts together may take to answer.
READY_WITHIN = 180.0
#: Seconds the Hub gets to stop the users' servers.
HUB_GRACE = 30.0
#: Seconds the other parts get after SIGTERM.
GRACE = 10.0


class Supervisor:
    """Starts ``parts``, restarts those that die, and stops them in order.

    ``say`` prints one line of progress.
    """

    def __init__(self, context: Context, parts: Sequence[Part], say: Callable[[str], None]) -> None:
        self._context = context
        self._parts = list(parts)
        self._say = say
        self._stopping = threading.Event()
        self._all_answered = False

    def start(self) -> None:
        """Start every part and wait until each answers. Raises ``StartError``."""
        for part in self._parts:
            part.start()
        waiting = list(self._parts)
        deadline = time.monotonic() + READY_WITHIN
        while waiting and not self._stopping.is_set():
            self._restart_dead()
            for part in list(waiting):
                if part.answers():
                    waiting.remove(part)
                    self._say(f"  {part.name:<8} ready after {part.ready_after:4.1f} s")
            if time.monotonic() > deadline:
                late = waiting[0]
                raise StartError(
                    f"{late.name} did not answer within {READY_WITHIN:.0f} s. Its log, "
                    f"{late.log}, ends with:\n{late.last_words()}"
                )
            self._stopping.wait(0.1)
        self._all_answered = not waiting

    def watch(self) -> None:
        """Restart whatever dies until a signal says to stop."""
        while not self._stopping.wait(0.25):
            self._restart_dead()

    def handle_signals(self) -> None:
        """Stop on SIGINT and SIGTERM; a second one kills what is left at once."""

        def stop(number: int, frame: FrameType | None) -> None:
            if self._stopping.is_set():
                for part in self._parts:
                    part.stop(signal.SIGKILL)
            self._stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)

    def stop(self) -> None:
        """Stop the users' servers, the parts, then runs and replicas."""
        by_name = {part.name: part for part in self._parts}
        hub, proxy = by_name.get("hub"), by_name.get("proxy")
        if hub is not None and hub.exited() is None and self._ask_hub_to_stop_servers():
            hub.wait(HUB_GRACE)
        others = [part for part in self._parts if part is not proxy]
        for group in (others, [proxy] if proxy else []):
            self._end(group)
        try:
            stop_all(self._context)
        except EngineDown as error:
            self._say(f"  containers could not be stopped: {error}")

    def _end(self, parts: Sequence[Part]) -> None:
        for part in parts:
            part.stop()
        deadline = time.monotonic() + GRACE
        for part in parts:
            if not part.wait(deadline - time.monotonic()):
                part.stop(signal.SIGKILL)
                part.wait(5)

    def _ask_hub_to_stop_servers(self) -> bool:
        """Give the Hub the order; false where nobody listens, so that nobody waits for it."""
        try:
            httpx.post(
                f"{self._context.topology.hub_api_url}/shutdown",
                json={"servers": True, "proxy": False},
                headers={"Authorization": f"token {self._context.data.secret('service-cli')}"},
                timeout=10,
                trust_env=False,
            ).raise_for_status()
        except httpx.HTTPError as error:
            # A start that failed has said why, and a Hub that never answered started no servers.
            if self._all_answered:
                self._say(f"  the Hub did not take the order to stop users' servers ({error})")
            return not isinstance(error, httpx.ConnectError)
        return True

    def _restart_dead(self) -> None:
        for part in self._parts:
            status = part.exited()
            if status == EX_CONFIG:
                raise StartError(f"{part.name} cannot start:\n{part.last_words()}")
            if status is not None:
                delay = part.schedule_restart()
                how = f"signal {-status}" if status < 0 else f"status {status}"
                self._say(f"  {part.name} ended with {how}; starting it again in {delay:g} s")
            if part.process is None and time.monotonic() >= part.restart_at:
                part.start()
