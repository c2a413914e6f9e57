"""Containers in which images are made: started, watched, kept as an image, removed.

They are hardened like every other (``engine.Sandbox``) but for what package managers cannot do
without: root inside, a root file system that can be written, and six capabilities. They are no
``launch.Workload``: a launcher's containers lose what they write, and these are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from docker.errors import APIError, ImageNotFound, NotFound

from perijove_hub.engine import Mount, Names, Sandbox
from perijove_hub.engine.client import connect, reaching

#: What apt and pip need as root: to give files away and to run as their own users.
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID")
#: Seconds that keeping a large step as an image may take.
TIMEOUT = 1800.0
#: Cores of a build.
CPU = 2.0

#: What an image keeps of its base whatever the step's container was started with.
_KEPT = ("User", "Env", "Entrypoint", "Cmd", "WorkingDir", "ExposedPorts", "Volumes", "Labels")
_STEP_LABEL = "perijove.step"


@dataclass(frozen=True)
class Look:
    """How a container stands."""

    running: bool
    exit_code: int
    out_of_memory: bool
    started: bool
    """Whether its command ever ran."""
    error: str
    """What the engine says of a command that it could not start."""


@dataclass(frozen=True)
class Picture:
    """An image on the engine."""

    digest: str
    size: int
    """Bytes, with everything it stands on."""
    labels: dict[str, str]


class Workshop:
    """The engine as builds use it. Every method may raise ``EngineDown``."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._client: Any = None

    def image(self, reference: str) -> Picture | None:
        """Look an image up by digest or tag."""
        try:
            with self._api() as api:
                found = api.inspect_image(reference)
        except ImageNotFound:
            return None
        labels = found["Config"].get("Labels") or {}
        return Picture(digest=found["Id"], size=found["Size"], labels=labels)

    def step_tag(self, key: str) -> str:
        """Name the kept result of a step."""
        return f"{self._names.prefix}/step:{key}"

    def start_step(
        self,
        name: str,
        image: str,
        command: Sequence[str],
        *,
        network: str,
        memory_mb: int,
        secrets: Mapping[str, Path],
        folder: str,
    ) -> None:
        """Run a step's command as root inside; ``secrets`` are seen as files in ``folder``."""
        sandbox = Sandbox(
            network=network,
            memory_mb=memory_mb,
            cpu=CPU,
            user="0:0",
            mounts=[
                Mount(str(path), f"{folder}/{seen}", read_only=True)
                for seen, path in secrets.items()
            ],
            capabilities=CAPABILITIES,
            read_only=False,
        )
        config = sandbox.host_config()
        # Above it lie the secrets' mount points, which are then not kept either.
        config["tmpfs"]["/run"] = "rw,nosuid,nodev,noexec,mode=755,size=64m"
        self._start(name, image, command, user=sandbox.user, config=config)

    def start_probe(self, name: str, image: str, command: Sequence[str], *, memory_mb: int) -> None:
        """Run a command in an image as its users run: no root, nothing to write, no network."""
        sandbox = Sandbox(network="none", memory_mb=memory_mb, cpu=CPU)
        self._start(name, image, command, user=sandbox.user, config=sandbox.host_config())

    def look(self, name: str) -> Look | None:
        """Say how a container stands; ``None`` when there is none of this name."""
        try:
            with self._api() as api:
                state = api.inspect_container(name)["State"]
        except NotFound:
            return None
        return Look(
            running=state["Running"],
            exit_code=state["ExitCode"],
            out_of_memory=state["OOMKilled"],
            started=not state["StartedAt"].startswith("0001-"),
            error=state["Error"],
        )

    def written(self, name: str) -> int:
        """Return how many bytes a container has written outside of mounts."""
        with self._api() as api:
            for found in api.containers(all=True, size=True, filters={"name": f"^/?{name}$"}):
                return int(found.get("SizeRw") or 0)
        return 0

    def output(
        self, name: str, since: str | None = None, *, stderr: bool = True
    ) -> Iterator[tuple[str, bytes]]:
        """Yield what a container has printed after the instant ``since``: ``(instant, bytes)``.

        Instants are RFC 3339 with nine decimals and compare as texts.
        """
        after: float | None = None
        if since is not None:
            # The engine's own filter is inclusive and its float inexact: one second earlier.
            after = max(0.001, datetime.fromisoformat(since[:19] + "+00:00").timestamp() - 1)
        try:
            with self._api() as api:
                frames = api.logs(
                    name,
                    stdout=True,
                    stderr=stderr,
                    stream=True,
                    follow=False,
                    timestamps=True,
                    since=after,
                )
                for frame in frames:
                    instant, _, text = frame.partition(b" ")
                    told = instant.decode("ascii", errors="replace")
                    if since is None or told > since:
                        yield told, text
        except NotFound:
            return

    def keep(
        self, name: str, *, key: str, base: str, labels: Mapping[str, str] | None = None
    ) -> Picture:
        """Make an image of what a step wrote, which starts as ``base`` does."""
        with self._api() as api:
            config = api.inspect_image(base)["Config"]
            kept = {one: config.get(one) for one in _KEPT}
            kept["Labels"] = {
                **(kept["Labels"] or {}),
                **self._names.labels,
                "perijove.kind": "image",
                _STEP_LABEL: key,
                **(labels or {}),
            }
            repository, _, tag = self.step_tag(key).rpartition(":")
            api.commit(name, repository=repository, tag=tag, pause=False, conf=kept)
        found = self.image(self.step_tag(key))
        if found is None:
            raise APIError(f"the engine did not keep {name}")
        return found

    def name_version(self, digest: str, image_id: str, version: int) -> None:
        """Give a finished image a tag, without which a clean-up would take it for refuse."""
        with self._api() as api:
            api.tag(digest, f"{self._names.prefix}/{image_id}", str(version))

    def remove(self, name: str) -> None:
        """End and remove a container, with volumes of its own."""
        try:
            with self._api() as api:
                api.remove_container(name, force=True, v=True)
        except NotFound:
            return
        except APIError as error:
            # Somebody else is at it.
            if error.status_code != 409:
                raise

    def containers(self) -> list[str]:
        """Name every build container of this instance."""
        labels = [f"{key}={value}" for key, value in self._labels().items()]
        with self._api() as api:
            found = api.containers(all=True, filters={"label": labels})
        return [one["Names"][0].lstrip("/") for one in found if one["Names"]]

    def forget_steps(self, before: datetime) -> int:
        """Drop kept steps made before an instant; images that stand on them stay whole."""
        dropped = 0
        with self._api() as api:
            for found in api.images(name=f"{self._names.prefix}/step"):
                if found["Created"] < before.timestamp():
                    for tag in found["RepoTags"] or ():
                        if tag.startswith(f"{self._names.prefix}/step:"):
                            api.remove_image(tag, noprune=False)
                            dropped += 1
        return dropped

    def discard(self, digest: str) -> int | None:
        """Remove a finished image, with all that only it stood on; return the bytes freed.

        ``None`` when a container or a name that is not ours uses it: then it stays. A container
        that is made at the same moment either has it or is told that it is gone.
        """
        with self._api() as api:
            try:
                lineage = self._lineage(api, digest)
            except ImageNotFound:
                return 0
            tags = api.inspect_image(digest)["RepoTags"] or []
            ours = [tag for tag in tags if tag.startswith(f"{self._names.prefix}/")]
            used = api.containers(all=True, filters={"ancestor": digest})
            if len(ours) < len(tags) or any(one["ImageID"] == digest for one in used):
                return None
            # The version's own name last: while there is one, nothing below it is removed.
            for name in sorted(ours, key=lambda tag: "/step:" not in tag) or [digest]:
                try:
                    api.remove_image(name)
                except ImageNotFound:
                    continue
                except APIError as error:
                    if error.status_code != 409:
                        raise
                    return None
            if self._is_here(api, digest):
                # A container was made just now: only the names are gone, and the rest goes later.
                return None
            left = next((size for one, size in lineage if self._is_here(api, one)), 0)
            return lineage[0][1] - left

    def _lineage(self, api: Any, digest: str) -> list[tuple[str, int]]:
        """Return an image and what it was made from, one on the other, each with its size."""
        lineage = []
        while digest:
            found = api.inspect_image(digest)
            lineage.append((digest, int(found["Size"])))
            digest = found["Parent"]
        return lineage

    def _is_here(self, api: Any, digest: str) -> bool:
        try:
            api.inspect_image(digest)
        except ImageNotFound:
            return False
        return True

    def _labels(self) -> dict[str, str]:
        # No more than these: what a container carries, the image made of it inherits.
        return {**self._names.labels, "perijove.kind": "build"}

    def _start(
        self,
        name: str,
        image: str,
        command: Sequence[str],
        *,
        user: str,
        config: dict[str, Any],
    ) -> None:
        with self._api() as api:
            try:
                api.create_container(
                    image,
                    name=name,
                    # No environment: the image made of it would inherit that too.
                    entrypoint=[command[0]],
                    command=list(command[1:]),
                    user=user,
                    labels=self._labels(),
                    host_config=api.create_host_config(**config),
                )
            except APIError as error:
                # Made by a worker that died before it could start it.
                if error.status_code != 409:
                    raise
            try:
                api.start(name)
            except APIError as error:
                # A command that is not in the image; its container says so to whoever looks.
                if not re.search(r"exec|OCI runtime", str(error.explanation)):
                    raise

    @contextmanager
    def _api(self) -> Iterator[Any]:
        with reaching():
            if self._client is None:
                self._client = connect(timeout=TIMEOUT)
            yield self._client.api

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None
