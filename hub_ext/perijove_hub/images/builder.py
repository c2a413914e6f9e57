"""Carry out one build: every step a container, every result kept under the hash of its making.

Nothing is remembered but in the database and on the engine. Whoever carries a build on finds
what is there: a step's kept result, its running container, or neither, and goes on from it.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from docker.errors import APIError

from perijove.types.images import BuildState, ImageSpec
from perijove_hub.context import Context
from perijove_hub.engine import Names, firewall, network
from perijove_hub.exceptions import Invalid
from perijove_hub.images import ledger, probe, steps
from perijove_hub.images.log import MAX_LOG, BuildLog, folder_of, secrets_in
from perijove_hub.images.workshop import Look, Picture, Workshop
from perijove_hub.store.models import BuildRow, ImageVersionRow, utcnow
from perijove_hub.up.exceptions import StartError

log = logging.getLogger(__name__)

#: Seconds between two looks at a container.
PERIOD = 0.5
#: Seconds between two looks at what a container has written, which cost the disk something.
DISK_PERIOD = 1.0
#: How a container ends that the engine, or an operator, ended.
KILLED = (137, 143, 255)
#: Times a build is tried when something outside ends it.
ATTEMPTS = 3
#: Limits of what is asked of a finished image.
PROBE_MB, PROBE_S = 2048, 300
#: Most characters of a reason.
MAX_REASON = 1500


class Failed(Exception):
    """The build cannot be; ``str()`` is the reason."""


class Untested(Failed):
    """The image was made and does not work."""


class Cancelled(Exception):
    """Somebody cancelled it."""


class Superseded(Exception):
    """The build is another worker's by now."""


class Interrupted(Exception):
    """Something outside ended a container; what was kept so far is still there."""


def apart(context: Context) -> Names:
    """Name the network of builds: not the workspaces', and no part of ours is reached from it."""
    return Names.of(context.data.root / "builds")


def container_name(context: Context, build_id: str, step: int) -> str:
    """Name the container of a build's step."""
    return Names.of(context.data.root).container("b", build_id, str(step))


class Builder:
    """One build in the hands of one worker."""

    def __init__(self, context: Context, build: BuildRow, version: ImageVersionRow) -> None:
        self._context = context
        self._settings = context.settings.images
        self._build = build
        self._version = version
        self._shop = Workshop(Names.of(context.data.root))
        self._folder = folder_of(context, build.id)
        self._log = BuildLog(self._folder, self._hidden())
        self._steps = 0
        self._base_size = 0
        self._written = 0
        self._disk_seen = 0.0

    def carry_out(self) -> None:
        """Do what is left of the build and record how it ended.

        Raises ``EngineDown`` or whatever else stands in the way: then it is still to be done.
        """
        try:
            self._finish(self._ending())
        except Superseded:
            return
        finally:
            self._shop.close()

    def _ending(self) -> ledger.Ending:
        while True:
            try:
                made = self._make()
                return ledger.Ending(BuildState.succeeded, made=made)
            except Interrupted:
                if not self._again():
                    why = f"Something outside ended it {ATTEMPTS} times. Try again later."
                    return ledger.Ending(BuildState.failed, why)
            except Cancelled:
                return ledger.Ending(BuildState.cancelled, self._cancelled_by())
            except Untested as error:
                return ledger.Ending(BuildState.failed, _cut(error), untested=_cut(error))
            except (Failed, Invalid, StartError) as error:
                return ledger.Ending(BuildState.failed, _cut(error))
            except APIError as error:
                why = f"The Docker engine refuses: {error.explanation or error}"
                return ledger.Ending(BuildState.failed, _cut(Failed(why)))

    def _make(self) -> ledger.Made:
        spec = ImageSpec.model_validate(self._version.spec)
        base = self._shop.image(self._version.base_digest or "")
        if base is None:
            raise Failed(f"The base '{spec.base}' is no longer on the engine. Choose another.")
        self._base_size = base.size
        plan = steps.plan(spec, base.labels)
        self._steps = len(plan) + 2
        parent = base
        for number, step in enumerate(plan, 1):
            parent = self._step(number, step, parent=parent, base=base)
        listing = self._probe(len(plan) + 1, "packages", probe.LIST_PACKAGES, image=parent)
        self._probe(len(plan) + 2, "test", probe.SMOKE_TEST, image=parent)
        self._shop.name_version(parent.digest, self._build.image_id, self._build.version)
        return ledger.Made(parent.digest, parent.size, probe.packages(listing))

    def _step(self, number: int, step: steps.Step, *, parent: Picture, base: Picture) -> Picture:
        """Return the result of a step: the one that is kept, or a new one."""
        self._progress(number, step.name)
        heading = f"step {number} of {self._steps}, {step.name}: {' '.join(step.arguments)}"
        key = step.key(parent.digest)
        kept = self._shop.image(self._shop.step_tag(key))
        name = container_name(self._context, self._build.id, number)
        if kept is not None:
            self._log.begin(number, f"{heading} (kept from before)")
            self._shop.remove(name)
            return kept

        def start() -> None:
            self._shop.start_step(
                name,
                parent.digest,
                step.command,
                network=self._closed_network(),
                memory_mb=self._settings.memory_mb,
                secrets=self._secrets(step),
                folder=steps.SECRETS,
            )

        look = self._watch(number, name, heading, start=start, below=parent.size)
        if look.exit_code != 0:
            raise Failed(self._why(number, step.name, look))
        made = self._shop.keep(name, key=key, base=base.digest)
        self._shop.remove(name)
        return made

    def _probe(self, number: int, what: str, code: str, *, image: Picture) -> bytes:
        """Ask an image something and return what it printed; raises ``Untested``."""
        self._progress(number, what)
        name = container_name(self._context, self._build.id, number)
        # What another worker asked is asked again: the image may only just have been made.
        self._shop.remove(name)

        def start() -> None:
            self._shop.start_probe(name, image.digest, ["python", "-c", code], memory_mb=PROBE_MB)

        heading = f"step {number} of {self._steps}, {what}"
        quiet = what == "packages"
        look = self._watch(number, name, heading, start=start, seconds=PROBE_S, quiet=quiet)
        printed = b"".join(text for _, text in self._shop.output(name, stderr=False))
        self._shop.remove(name)
        if not look.started or look.exit_code == 127:
            raise Untested("Image without a kernel: there is no 'python' in it.")
        if look.out_of_memory:
            raise Untested(f"Its test took more than {PROBE_MB} MiB of memory.")
        if look.exit_code != 0:
            said = self._log.last_lines(number, 1) or f"status {look.exit_code}"
            raise Untested(f"The image does not pass its {what}: {said}")
        return printed

    def _watch(
        self,
        number: int,
        name: str,
        heading: str,
        *,
        start: Callable[[], None],
        below: int | None = None,
        seconds: float | None = None,
        quiet: bool = False,
    ) -> Look:
        """Start a container, or find it started, and return how it ended.

        ``below`` is the size of its image, for the limit of what a build writes; ``seconds`` is
        a limit of its own.
        """
        look = self._shop.look(name)
        if look is None or not look.started:
            if look is not None:
                self._shop.remove(name)
            start()
        self._log.begin(number, heading)
        since: str | None = None
        began = time.monotonic()
        while True:
            look = self._shop.look(name)
            if look is None:
                raise Interrupted
            if not quiet:
                since = self._ingest(number, name, since)
            if not look.running:
                break
            if seconds is not None and time.monotonic() - began > seconds:
                self._shop.remove(name)
                raise Untested(f"Its {heading.rpartition(', ')[2]} took more than {seconds:g} s.")
            self._check_limits(name, number, below)
            time.sleep(PERIOD)
        if quiet and look.exit_code != 0:
            self._ingest(number, name, None)
        if look.exit_code in KILLED and not look.out_of_memory:
            # Nothing of ours kills without saying why: the engine ended it, or an operator.
            self._shop.remove(name)
            raise Interrupted
        return look

    def _ingest(self, number: int, name: str, since: str | None) -> str | None:
        for instant, text in self._shop.output(name, since):
            self._log.add(number, text)
            since = instant
        return since

    def _check_limits(self, name: str, number: int, below: int | None) -> None:
        """End a container that may not go on. Raises what says why."""
        why: Exception | None = None
        limits = self._settings
        with self._context.database.reading() as session:
            build = session.get_one(BuildRow, self._build.id)
        if build.epoch != self._build.epoch:
            raise Superseded
        since = build.started_at or utcnow()
        if build.cancel_requested:
            why = Cancelled()
        elif utcnow() - since > timedelta(seconds=limits.timeout_s):
            why = Failed(
                f"It took more than {limits.timeout_s} s (images.timeout_s) and was ended at "
                f"step {number}, {build.step_name}."
            )
        elif self._log.size() > MAX_LOG:
            why = Failed(
                f"It printed more than {MAX_LOG // 2**20} MiB and was ended at step {number}, "
                f"{build.step_name}."
            )
        elif below is not None and self._disk(name, below) > limits.disk_mb * 2**20:
            why = Failed(
                f"It wrote more than {limits.disk_mb} MiB to disk (images.disk_mb) and was ended "
                f"at step {number}, {build.step_name}."
            )
        if why is not None:
            self._shop.remove(name)
            raise why

    def _disk(self, name: str, below: int) -> int:
        """Return the bytes that this build's steps have added to their base, as last seen."""
        now = time.monotonic()
        if now - self._disk_seen > DISK_PERIOD:
            self._disk_seen = now
            self._written = self._shop.written(name)
        return below - self._base_size + self._written

    def _why(self, number: int, name: str, look: Look) -> str:
        what = f"Step {number} of {self._steps}, {name}, "
        if look.out_of_memory:
            limit = self._settings.memory_mb
            return f"{what}used more than {limit} MiB of memory (images.memory_mb)."
        if not look.started:
            return f"{what}does not start in this base: {look.error[:300]}"
        return f"{what}failed with status {look.exit_code}:\n{self._log.last_lines(number)}"

    def _closed_network(self) -> str:
        """Return the network of builds, with its firewall in force. Raises ``StartError``."""
        names = apart(self._context)
        network.ensure(names)
        # Each time, because the settings may have changed since it was put in force.
        firewall.enforce(names, None, self._context.settings.network.allow)
        return names.network

    def _secrets(self, step: steps.Step) -> dict[str, Path]:
        configured = {
            steps.CA: ("images.ca", self._settings.ca),
            steps.PIP_CONFIG: ("images.pip_config", self._settings.pip_config),
            steps.APT_SOURCES: ("images.apt_sources", self._settings.apt_sources),
        }
        found = {}
        for seen in step.secrets:
            key, path = configured[seen]
            if path is not None:
                if not Path(path).is_file():
                    raise Failed(f"The file that the setting {key} names is not there.")
                found[seen] = Path(path).absolute()
        return found

    def _hidden(self) -> set[str]:
        found: set[str] = set()
        for path in (self._settings.pip_config, self._settings.apt_sources):
            if path is not None:
                with contextlib.suppress(OSError):
                    found |= secrets_in(Path(path).read_text(encoding="utf-8", errors="replace"))
        return found

    def _progress(self, number: int, name: str) -> None:
        with self._context.database.session() as session:
            ours = ledger.progressed(
                session,
                self._build.id,
                self._build.epoch,
                step=number,
                steps=self._steps,
                name=name,
            )
            if not ours:
                raise Superseded
            if session.get_one(BuildRow, self._build.id).cancel_requested:
                raise Cancelled

    def _again(self) -> bool:
        """Count another attempt; false when there were enough."""
        with self._context.database.session() as session:
            if not ledger.again(session, self._build.id, self._build.epoch):
                raise Superseded
            attempt = session.get_one(BuildRow, self._build.id).attempt
        log.warning("build %s was ended from outside: attempt %d", self._build.id, attempt)
        return attempt <= ATTEMPTS

    def _cancelled_by(self) -> str:
        with self._context.database.reading() as session:
            return session.get_one(BuildRow, self._build.id).reason or "Cancelled."

    def _finish(self, ending: ledger.Ending) -> None:
        """Store the log, then the end, then clear up: in this order nothing is lost by dying."""
        if ending.reason:
            self._log.begin(999, f"{ending.state.value}: {ending.reason}")
        content = b"".join(file.read_bytes() for file in sorted(self._folder.glob("*.log")))
        kept = ledger.Ending(
            ending.state,
            ending.reason,
            untested=ending.untested,
            made=ending.made,
            log_sha256=self._context.blobs.put(content),
        )
        with self._context.database.session() as session:
            ledger.finish(
                session,
                self._build.id,
                self._build.epoch,
                kept,
                approval=self._settings.approval,
            )
        for number in range(1, self._steps + 1):
            self._shop.remove(container_name(self._context, self._build.id, number))
        log.info("build %s %s: %s", self._build.id, ending.state, ending.reason or "image made")
        shutil.rmtree(self._folder, ignore_errors=True)


def _cut(error: Exception) -> str:
    fix = getattr(error, "fix", None)
    text = f"{error} {fix}" if fix else str(error)
    return text if len(text) <= MAX_REASON else f"…{text[-MAX_REASON:]}"
