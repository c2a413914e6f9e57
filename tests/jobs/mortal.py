"""A run's real runner that dies, or loses its kernel, at a named transition of the run.

``python -m tests.jobs.mortal POINT WHOM SIGNAL RUNNER'S-ARGUMENTS``: the process signals itself
(``runner``) or its kernel (``kernel``) when it has come to the point, and goes on if it lives.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from perijove.runner import __main__ as runner
from perijove.runner import recorder
from perijove.runner.journal import Journal
from perijove.runner.kernel import Kernel, Message
from perijove.runner.outputs import Outputs
from perijove.runner.recorder import Recorder

#: The transitions of a run as its runner sees them, in their order.
POINTS = (
    "hears no signal yet",
    "inputs laid out",
    "kernel starting",
    "kernel answers",
    "first cell",
    "between cells",
    "middle of a cell",
    "saving",
    "saved, journal there",
    "result not recorded",
    "result recorded",
    "kernel gone",
)
#: Those at which there is a kernel that the run needs.
WITH_KERNEL = POINTS[2:7]
#: What a cell says in its middle.
NOW = "half way"

_kernels: list[Kernel] = []


def arm(point: str, strike: Callable[[], None]) -> None:
    """Have this process call ``strike`` at ``point``, once."""
    match point:
        case "inputs laid out":
            _before(runner, "_run", strike)
        case "kernel starting":
            _after(Kernel, "__init__", strike)
        case "kernel answers":
            _after(Kernel, "wait_until_ready", strike)
        case "first cell":
            _after(Recorder, "cell", strike)
        case "between cells":
            _after(Recorder, "cell_done", strike)
        case "middle of a cell":
            _after(Outputs, "take", strike, only=_says_now)
        case "saving":
            _half_way(recorder, "dump", strike)
        case "saved, journal there":
            _before(Journal, "end", strike)
        case "result not recorded":
            _before(Recorder, "_event", strike, only=lambda _, name: name == "ended")
        case "result recorded":
            _after(Recorder, "ended", strike)
        case "kernel gone":
            _after(Kernel, "close", strike)


def _says_now(_: Outputs, said: Message) -> bool:
    return said.type == "stream" and NOW in said.content["text"]


def _before(where: Any, name: str, strike: Callable[[], None], only: Any = None) -> None:
    real = getattr(where, name)

    @functools.wraps(real)
    def deadly(*given: Any, **more: Any) -> Any:
        if only is None or only(*given):
            strike()
        return real(*given, **more)

    setattr(where, name, deadly)


def _after(where: Any, name: str, strike: Callable[[], None], only: Any = None) -> None:
    real = getattr(where, name)

    @functools.wraps(real)
    def deadly(*given: Any, **more: Any) -> Any:
        found = real(*given, **more)
        if only is None or only(*given):
            strike()
        return found

    setattr(where, name, deadly)


def _half_way(where: Any, name: str, strike: Callable[[], None]) -> None:
    real = getattr(where, name)

    def deadly(*given: Any) -> Iterator[str]:
        for piece in real(*given):
            yield piece
            strike()

    setattr(where, name, deadly)


def main() -> int:
    """Be the runner, until the point is reached."""
    point, whom, number = sys.argv[1:4]
    struck = False

    def strike() -> None:
        nonlocal struck
        if struck:
            return
        struck = True
        victim = os.getpid()
        if whom == "kernel":
            victim = _kernels[0]._manager.provisioner.process.pid  # type: ignore[union-attr]
        os.kill(victim, int(number))

    if point == POINTS[0]:
        strike()
    real = Kernel.__init__

    def known(self: Kernel, *given: Any) -> None:
        _kernels.append(self)
        real(self, *given)

    Kernel.__init__ = known  # type: ignore[method-assign]
    arm(point, strike)
    return runner.main(sys.argv[4:])


if __name__ == "__main__":
    sys.exit(main())
