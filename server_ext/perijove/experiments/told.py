"""Tell the run of a job what its notebook measures: a line of JSON for each metric."""

from __future__ import annotations

import json
import os
import time

from perijove.runner.scrub import Scrubber

#: Names the file; only a job's run sets it.
FILE = "PERIJOVE_METRICS"


def expected() -> bool:
    """Say whether this process belongs to a job's run."""
    return bool(os.environ.get(FILE))


def tell(name: str, value: float, step: int | None = None) -> None:
    """Append a metric; does nothing outside a job's run, or when it cannot be written.

    Values that are no finite number are written as they are: whoever reads leaves them out.
    """
    path = os.environ.get(FILE)
    if not path:
        return
    name = Scrubber.of_environment().clean(name)
    line = json.dumps({"name": name, "value": value, "step": step, "at": time.time()}) + "\n"
    try:
        # One write to a file opened for appending: lines of several processes do not mix.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
    except OSError:
        # The computation is worth more than its chart.
        return
