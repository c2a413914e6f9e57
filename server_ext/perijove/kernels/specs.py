"""Lists remote kernels beside the local ones, in the launcher and everywhere kernels are chosen."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import httpx
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from pydantic import TypeAdapter, ValidationError

from perijove.client import own_token
from perijove.exceptions import PerijoveError
from perijove.types.kernels import KernelOffer

#: Seconds for which a list of offers counts.
FRESH = 30.0
#: Seconds that whoever asks first waits for it; nobody waits after that.
PATIENCE = 1.0

_OFFERS = TypeAdapter(list[KernelOffer])


class PerijoveKernelSpecs(KernelSpecManager):
    """The local kernel specs, and one for each offer of the control plane.

    Offers are fetched in a thread, so that a control plane that is away delays no local kernel;
    until it is back, what it last offered stays. A local spec of the same name wins.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._offers: dict[str, KernelOffer] = {}
        self._fetched = float("-inf")
        self._lock = threading.Lock()
        self._fetching: threading.Thread | None = None

    def find_kernel_specs(self) -> dict[str, str]:
        """Return names and the folders of their logos."""
        local: dict[str, str] = super().find_kernel_specs()
        names = [name for name in self._current() if self._allowed(name)]
        return {name: _logos() for name in names} | local

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return a spec; raises ``NoSuchKernel``."""
        offer = self._current().get(kernel_name)
        if (
            offer is None
            or not self._allowed(kernel_name)
            or self._find_spec_directory(kernel_name.lower()) is not None
        ):
            return super().get_kernel_spec(kernel_name)
        return KernelSpec(
            # Never run here; some list it.
            argv=["python", "-m", "perijove.kernels.inside"],
            display_name=offer.display_name,
            language="python",
            interrupt_mode="message",
            resource_dir=_logos(),
            metadata={
                "debugger": True,
                "kernel_provisioner": {
                    "provisioner_name": "perijove",
                    "config": {"size": offer.size, "image": offer.image},
                },
                "perijove": offer.model_dump(mode="json"),
            },
        )

    def _allowed(self, name: str) -> bool:
        return not self.allowed_kernelspecs or name in self.allowed_kernelspecs

    def _current(self) -> dict[str, KernelOffer]:
        """Return the offers as last heard, and have them fetched again when that is long ago."""
        with self._lock:
            stale = time.monotonic() - self._fetched > FRESH
            first = self._fetched == float("-inf")
            if stale and (self._fetching is None or not self._fetching.is_alive()):
                self._fetched = time.monotonic()
                self._fetching = threading.Thread(target=self._fetch, daemon=True)
                self._fetching.start()
            fetching = self._fetching
        if first and fetching is not None:
            fetching.join(PATIENCE)
        return self._offers

    def _fetch(self) -> None:
        url = os.environ.get("PERIJOVE_URL", "").strip()
        if not url:
            return
        try:
            response = httpx.get(
                f"{url.rstrip('/')}/api/v1/kernels/offers",
                headers={"Authorization": f"Bearer {own_token()}"},
                timeout=5,
                trust_env=False,
            )
            response.raise_for_status()
            self._offers = {offer.name: offer for offer in _OFFERS.validate_json(response.content)}
        except (PerijoveError, httpx.HTTPError, ValidationError) as error:
            # The class alone: messages may quote the address.
            self.log.warning("remote kernels cannot be listed: %s", type(error).__name__)


def _logos() -> str:
    """Return the folder of the local Python kernel's logos, or one without any."""
    try:
        from ipykernel.kernelspec import RESOURCES
    except ImportError:
        return os.path.dirname(__file__)  # noqa: PTH120
    return str(RESOURCES)
