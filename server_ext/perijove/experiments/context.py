"""What a job's run adds to every run of MLflow that is made in it.

MLflow asks ``JobContext`` itself when ``mlflow.start_run()`` or autologging makes a run, by the
entry point ``mlflow.run_context_provider``; what the user's code sets has precedence there.
"""

from __future__ import annotations

import os

#: Tags by name, and the variable of a job's run that has the value.
_TAGS = {
    # A sweep's runs have one of the sweep's above them.
    "mlflow.parentRunId": "PERIJOVE_PARENT_RUN",
    "perijove.job": "PERIJOVE_JOB",
    "perijove.run": "PERIJOVE_RUN_ID",
}


def tags() -> dict[str, str]:
    """Return the tags of what this process tracks; none outside a job's run."""
    known = {tag: os.environ.get(variable, "") for tag, variable in _TAGS.items()}
    return {tag: value for tag, value in known.items() if value}


class JobContext:
    """What MLflow's ``RunContextProvider`` has to be, without MLflow's import."""

    def in_context(self) -> bool:
        """Tell whether this process belongs to a job's run."""
        return bool(tags())

    def tags(self) -> dict[str, str]:
        """Return the tags of a new run of MLflow."""
        return tags()
