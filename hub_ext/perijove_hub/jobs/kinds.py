"""Kinds of runs that several parts of jobs tell apart."""

from __future__ import annotations

from perijove.types.jobs import RunState

#: Triggers of the many runs that are made for one person's question: no other job follows them,
#: and nobody is told of each.
MANY = ("backfill", "sweep")
#: States of runs that ended otherwise than by success or a person's word.
FAILED = (RunState.failed.value, RunState.lost.value)
