"""Why a workspace ended, in a sentence for its user with what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perijove_hub.engine.memory import Memory
from perijove_hub.kernels.sizes import next_up
from perijove_hub.settings import Settings

ENGINE_LOST = (
    "The Docker engine or the machine was restarted, and your workspace ended with it. Files in "
    "your home are safe; press Start again."
)
ENDED = (
    "Your workspace was ended from outside: the Docker engine or the machine was restarted, or "
    "somebody removed it. Files in your home are safe; press Start again."
)
SHUT_DOWN = (
    "Your workspace was shut down, from within or because the Docker engine stopped. Files in "
    "your home are safe."
)
MOVED = (
    "The Hub has another address since its restart, which your workspace did not know, so it was "
    "stopped. Files in your home are safe; press Start again."
)


def of_exit(state: Mapping[str, Any], *, killed: str | None, memory: str, engine_away: bool) -> str:
    """Say why a container ended that the Hub did not stop.

    ``state`` is what the engine says of it, ``killed`` the process that the kernel killed,
    ``memory`` what to do about it, ``engine_away`` whether the engine was away meanwhile.
    """
    status = int(state.get("ExitCode") or 0)
    if state.get("OOMKilled") and status == 137:
        who = killed or "its main process"
        return f"Your workspace ran out of memory: {who} was killed, and it ended. {memory}"
    if engine_away:
        return ENGINE_LOST
    # SIGINT, SIGKILL, SIGTERM, or nobody was there to see.
    if status in (130, 137, 143, 255):
        return ENDED
    if status == 0:
        return SHUT_DOWN
    return (
        f"Your workspace ended by itself with status {status}. Files in your home are safe; "
        "press Start again."
    )


def of_kill(memory: Memory, *, killed: str | None, advice: str) -> str:
    """Say that a process in a running workspace was killed for memory."""
    what = killed or "a process, most likely a notebook's kernel,"
    return (
        f"Memory ran out: {what} was killed at {_mib(memory.peak)}; the workspace itself was not. "
        f"{advice}"
    )


def advice(settings: Settings, *, size: str, groups: list[str], peak: int | None) -> str:
    """Name the peak against the limit, and the next size up."""
    limits = settings.workspaces.sizes.get(size)
    limit = f"the size '{size}' has {limits.memory_mb} MiB" if limits else "its size is gone"
    reached = f"Its peak was {_mib(peak)}; {limit}. " if peak else f"{limit.capitalize()}. "
    larger = next_up(settings, groups, size)
    if larger is None:
        return f"{reached}There is no larger size for you: work on less data at a time."
    memory = settings.workspaces.sizes[larger].memory_mb
    return f"{reached}The next size up is '{larger}' with {memory} MiB."


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
