"""A remote kernel as the control plane knows it."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import httpx
from pydantic import BaseModel, ValidationError

from perijove.client import problem_from
from perijove.exceptions import ApiError, PerijoveError, Unreachable
from perijove.types.kernels import OVER, Kernel, KernelCreate, KernelRestart, KernelState

#: Seconds a question may take; nobody should wait longer to learn that nothing answers.
TIMEOUT = httpx.Timeout(10.0, connect=3.0)
#: Seconds between two looks at a kernel that starts.
LOOK_EVERY = 0.25
#: Seconds for which what was last heard counts.
FRESH = 1.0
#: Seconds for which stopping a kernel is tried again while nothing answers.
INSIST = 600.0


class CouldNotStart(PerijoveError):
    """The kernel did not come to run; ``str()`` says why and what to do."""


class Remote:
    """One kernel. Every method runs on the background loop."""

    def __init__(self, url: str, token: str, log: Any) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"{url.rstrip('/')}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT,
            trust_env=False,
        )
        self._log = log
        self._heard = float("-inf")
        self._asking: asyncio.Task[None] | None = None
        self.kernel: Kernel | None = None
        """What was last heard."""
        self.forgotten = False
        """Whether the control plane knows nothing of it."""

    @property
    def id(self) -> str:
        """Its id; only once it is created."""
        assert self.kernel is not None  # noqa: S101 - the provisioner creates it first
        return self.kernel.id

    async def create(self, wanted: KernelCreate) -> None:
        """Ask for it; raises ``ApiError`` or ``Unreachable``."""
        await self._post("/kernels", wanted, {"Idempotency-Key": uuid.uuid4().hex})

    async def adopt(self, kernel_id: str) -> None:
        """Take up one that was created before."""
        response = await self._send("GET", f"/kernels/{kernel_id}")
        self.kernel = Kernel.model_validate_json(response.content)

    async def restart(self, attempt: int) -> None:
        """Replace ``attempt`` by the next one; a repeat is harmless."""
        await self._post(f"/kernels/{self.id}/restart", KernelRestart(attempt=attempt))

    async def interrupt(self) -> None:
        """Interrupt the cell that runs."""
        await self._send("POST", f"/kernels/{self.id}/interrupt")

    async def look(self) -> None:
        """Hear how it stands, unless that was heard a moment ago.

        What nobody answers changes nothing: a control plane that is away says nothing of the
        kernel.
        """
        if time.monotonic() - self._heard < FRESH:
            return
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        await asyncio.shield(self._asking)

    async def running(self, attempt: int, *, within: float) -> None:
        """Wait until ``attempt`` or a later one runs, and log what it waits for.

        Raises ``CouldNotStart`` when it ends first or ``within`` seconds are over; in the
        latter case it is stopped.
        """
        deadline = time.monotonic() + within
        told = ""
        while True:
            kernel = self.kernel
            assert kernel is not None  # noqa: S101 - create() or adopt() came before
            if kernel.state is KernelState.running and kernel.attempt >= attempt:
                return
            if self.forgotten or (kernel.state in OVER and kernel.attempt >= attempt):
                raise CouldNotStart(
                    f"The remote kernel did not start: {kernel.reason or 'it was stopped.'}"
                )
            stands = f"{kernel.state}: {kernel.reason}" if kernel.reason else f"{kernel.state}"
            if stands != told:
                told = stands
                self._log.info("remote kernel %s (%s) is %s", kernel.id, kernel.size, stands)
            if time.monotonic() > deadline:
                await self.stop()
                raise CouldNotStart(
                    f"The remote kernel did not start within {within / 60:g} minutes "
                    f"({kernel.reason or kernel.state}). It waits no longer; try again later."
                )
            await asyncio.sleep(LOOK_EVERY)
            self._heard = float("-inf")
            await self.look()

    async def stop(self) -> None:
        """Have it stopped, and insist while the control plane is away."""
        deadline = time.monotonic() + INSIST
        pause = 0.2
        while self.kernel is not None:
            try:
                await self._send("DELETE", f"/kernels/{self.id}")
                return
            except Unreachable:
                if time.monotonic() > deadline:
                    self._log.warning("remote kernel %s could not be stopped", self.id)
                    return
            except ApiError as error:
                if error.problem.status < 500:
                    return
            await asyncio.sleep(pause)
            pause = min(2 * pause, 5.0)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _ask(self) -> None:
        try:
            response = await self._send("GET", f"/kernels/{self.id}")
            self.kernel = Kernel.model_validate_json(response.content)
        except ApiError as error:
            self.forgotten = error.problem.status == httpx.codes.NOT_FOUND
        except (Unreachable, ValidationError):
            pass
        self._heard = time.monotonic()

    async def _post(
        self, path: str, body: BaseModel, headers: dict[str, str] | None = None
    ) -> None:
        response = await self._send("POST", path, body, headers)
        self.kernel = Kernel.model_validate_json(response.content)

    async def _send(
        self,
        method: str,
        path: str,
        body: BaseModel | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        content = body.model_dump_json().encode() if body is not None else None
        sent = {"Content-Type": "application/json"} if content else {}
        try:
            response = await self._http.request(
                method, path, content=content, headers={**sent, **(headers or {})}
            )
        except httpx.TransportError as error:
            raise Unreachable(
                "Perijove's control plane does not answer, so no remote kernel can be started "
                f"({type(error).__name__}). Local kernels work; try again in a minute."
            ) from None
        if not response.is_success:
            raise ApiError(problem_from(response))
        return response
