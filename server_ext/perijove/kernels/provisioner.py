"""Starts a Jupyter server's kernels in containers of their own.

A kernel spec asks for it::

    "metadata": {"kernel_provisioner": {"provisioner_name": "perijove",
                                        "config": {"size": "gpu", "image": "gpu"}}}
"""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Float, Unicode

from perijove.client import own_token
from perijove.exceptions import NotConfigured
from perijove.kernels import background
from perijove.kernels.remote import Remote
from perijove.kernels.tunnel import CHANNELS, LOOPBACK, Tunnel
from perijove.kernels.waiting import waiting
from perijove.types.kernels import OVER, Kernel, KernelCreate, KernelState

#: What of the server's environment a kernel is given, besides what its spec sets.
PASSED_ON = ("JPY_SESSION_NAME", "TZ")
#: Seconds that the end of a kernel here waits for the control plane to hear of it.
PARTING = 5.0


class PerijoveProvisioner(KernelProvisionerBase):
    """One remote kernel of one kernel manager."""

    size = Unicode(help="Which size, as the spawn page names it").tag(config=True)
    image = Unicode(None, allow_none=True, help="NAME or NAME@VERSION; empty for the default").tag(
        config=True
    )
    start_timeout = Float(600.0, help="Seconds to wait for a GPU and the start").tag(config=True)

    _remote: Remote | None = None
    _tunnel: Tunnel | None = None
    _attempt = 0
    _cut = 0
    _alive = False
    _ended_here: int | None = None
    _restarting = False
    _leaving = False
    _note: str | None = None
    _said: str | None = None

    @property
    def has_process(self) -> bool:
        """Whether there is a kernel to manage."""
        return self._alive

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Prepare the environment; there is no command, the container knows its own."""
        kwargs.pop("extra_arguments", None)
        kwargs.pop("transport_encryption", None)
        prepared: dict[str, Any] = await super().pre_launch(cmd=[], **kwargs)
        return prepared

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start it, or its next attempt, and return where its sockets are on this machine.

        Raises ``PerijoveError`` with a sentence for the user when it cannot be.
        """
        begun = self._remote is not None
        if not begun:
            await self._connect()
        assert self._remote is not None and self._tunnel is not None  # noqa: S101
        try:
            # A path, of a file that need not be here any more.
            notebook = os.path.basename((kwargs.get("env") or {}).get("JPY_SESSION_NAME", ""))  # noqa: PTH119
            with waiting(self._remote, notebook):
                await self._begin(self._remote, again=begun)
            setup = {
                "key": self._key().decode(),
                "cwd": os.fspath(kwargs["cwd"]) if kwargs.get("cwd") else None,
                "environment": self._environment(kwargs.get("env") or {}),
                "note": self._note,
            }
            await background.run(self._tunnel.set_up(setup))
        except BaseException:
            # Also when the user gives up waiting: nobody else would end what waits for a GPU.
            if not begun:
                await self._let_go()
            raise
        self._alive, self._ended_here, self._restarting = True, None, False
        self._note = self._said = None
        self.connection_info = self._connection_info()
        return self.connection_info

    async def poll(self) -> int | None:
        """Return ``None`` while it runs, or while nobody can say; else its exit status."""
        code = await self._ended()
        if code is not None and self._tunnel is not None and self._cut < self._attempt:
            # Before anybody is told, and sends something to the next one.
            self._cut = self._attempt
            await background.run(self._tunnel.cut())
        return code

    async def _ended(self) -> int | None:
        if self._remote is None:
            return 0
        if self._ended_here is not None:
            return self._ended_here
        await background.run(self._remote.look())
        kernel = self._remote.kernel
        if self._remote.forgotten or kernel is None:
            return 1
        if kernel.attempt > self._attempt:
            return 0
        if kernel.state not in OVER:
            return None
        self._explain(kernel)
        if kernel.stopped and self._leave():
            return None
        return kernel.exit_code or int(kernel.state is KernelState.failed)

    async def wait(self) -> int | None:
        """Wait until it has ended."""
        while (code := await self.poll()) is None:  # noqa: ASYNC110 - nobody tells, we ask
            await asyncio.sleep(0.1)
        self._alive = False
        return code

    async def send_signal(self, signum: int) -> None:
        """Interrupt or end it; 0 does nothing, others do not reach it."""
        if self._remote is None:
            return
        if signum == signal.SIGINT:
            await background.run(self._remote.interrupt())
        elif signum in (signal.SIGTERM, signal.SIGKILL):
            await background.run(self._remote.stop())

    async def kill(self, restart: bool = False) -> None:
        """Count it as ended: ``cleanup`` or the next launch, which always follow, end it."""
        self._ended_here = -signal.SIGKILL

    async def terminate(self, restart: bool = False) -> None:
        """Count it as ended, as ``kill`` does."""
        self._ended_here = -signal.SIGTERM

    async def shutdown_requested(self, restart: bool = False) -> None:
        """Begin the next attempt of one that restarts, so that it keeps its GPU."""
        if restart and self._remote is not None:
            await self._next_attempt(self._remote)

    async def cleanup(self, restart: bool = False) -> None:
        """Stop it and close its sockets; before a restart, leave both."""
        if not restart:
            self._alive = False
            await self._let_go()

    async def get_provisioner_info(self) -> dict[str, Any]:
        """Return what another process of the same user needs to take it over."""
        info: dict[str, Any] = await super().get_provisioner_info()
        return {
            **info,
            "perijove": {
                "kernel": self._remote.kernel.id if self._remote and self._remote.kernel else None,
                "attempt": self._attempt,
            },
        }

    async def load_provisioner_info(self, provisioner_info: dict[str, Any]) -> None:
        """Take over a kernel: listen where its clients expect it, and lead to it."""
        await super().load_provisioner_info(provisioner_info)
        known = provisioner_info["perijove"]
        ports: dict[str, Any] = {**self.connection_info}
        await self._connect([int(ports[f"{channel}_port"]) for channel in CHANNELS])
        assert self._remote is not None and self._tunnel is not None  # noqa: S101
        await background.run(self._remote.adopt(known["kernel"]))
        self._tunnel.lead_to(known["kernel"])
        self._attempt, self._alive = known["attempt"], True

    async def _connect(self, ports: list[int] | None = None) -> None:
        url = os.environ.get("PERIJOVE_URL", "").strip()
        if not url:
            raise NotConfigured("PERIJOVE_URL is not set, so there is no Perijove to ask.")
        if not self.size:
            raise NotConfigured("The kernel spec names no 'size': add it to the spec's config.")
        token = own_token()

        async def make() -> tuple[Remote, Tunnel]:
            tunnel = Tunnel(url, token, self.log)
            await tunnel.open(ports or (0,) * len(CHANNELS))
            return Remote(url, token, self.log), tunnel

        self._remote, self._tunnel = await background.run(make())

    async def _begin(self, remote: Remote, *, again: bool) -> None:
        if not again:
            server = os.environ.get("JUPYTERHUB_SERVER_NAME", "")
            wanted = KernelCreate(size=self.size, image=self.image, server=server)
            await background.run(remote.create(wanted))
            expected = 1
        else:
            await self._next_attempt(remote)
            expected = self._attempt + 1
        await background.run(remote.running(expected, within=self.start_timeout))
        assert remote.kernel is not None and self._tunnel is not None  # noqa: S101
        self._attempt = remote.kernel.attempt
        self._tunnel.lead_to(remote.kernel.id)

    async def _next_attempt(self, remote: Remote) -> None:
        if not self._restarting:
            await background.run(remote.restart(self._attempt))
            self._restarting = True

    async def _let_go(self) -> None:
        """Stop the kernel and close the tunnel, in the background if it takes long."""
        remote, tunnel = self._remote, self._tunnel
        self._remote = self._tunnel = None
        if remote is None or tunnel is None:
            return

        async def part() -> None:
            await tunnel.close()
            await remote.stop()
            await remote.close()

        parting = asyncio.wrap_future(background.submit(part()))
        await asyncio.wait({asyncio.ensure_future(parting)}, timeout=PARTING)

    def _explain(self, kernel: Kernel) -> None:
        """Say why it ended: in the log now, and to the user in the next attempt."""
        if kernel.reason and kernel.reason != self._said:
            self._said = kernel.reason
            self.log.warning("remote kernel %s ended: %s", kernel.id, kernel.reason)
            self._note = f"The kernel was restarted. {kernel.reason}"

    def _leave(self) -> bool:
        """Have the server give up a kernel that was stopped on purpose; false if it cannot.

        Told that it died, the server would start it again, and take a GPU again.
        """
        server = getattr(self.parent, "parent", None)
        known = getattr(server, "__contains__", lambda _: False)
        if server is None or not hasattr(server, "shutdown_kernel") or not known(self.kernel_id):
            return False
        if not self._leaving:
            self._leaving = True
            self._ending = asyncio.ensure_future(self._shut_down(server))
        return True

    async def _shut_down(self, server: Any) -> None:
        ended = server.shutdown_kernel(self.kernel_id, now=True)
        if inspect.isawaitable(ended):
            await ended

    def _key(self) -> bytes:
        if self.parent is not None:
            return bytes(self.parent.session.key)
        key = self.connection_info.get("key") or os.urandom(32).hex().encode()
        return key if isinstance(key, bytes) else str(key).encode()

    def _connection_info(self) -> KernelConnectionInfo:
        assert self._tunnel is not None  # noqa: S101 - the caller has made it
        shell, iopub, stdin, control, hb = self._tunnel.ports
        return {
            "transport": "tcp",
            "ip": LOOPBACK,
            # Bytes, whatever its type says: the kernel manager compares it with its own.
            "key": self._key(),  # type: ignore[typeddict-item]
            "signature_scheme": "hmac-sha256",
            "shell_port": shell,
            "iopub_port": iopub,
            "stdin_port": stdin,
            "control_port": control,
            "hb_port": hb,
        }

    def _environment(self, env: dict[str, str]) -> dict[str, str]:
        """What the kernel gets of the server's environment: the spec's own, and who it is."""
        token = own_token()
        named = [*PASSED_ON, *(self.kernel_spec.env if self.kernel_spec else ())]
        return {
            **{name: env[name] for name in named if name in env},
            "PERIJOVE_TOKEN": token,
            "MLFLOW_TRACKING_TOKEN": token,
        }
