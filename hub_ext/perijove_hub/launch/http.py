"""How workloads are asked over HTTP."""

from __future__ import annotations

import ssl

#: For clients of workloads, which speak no TLS: httpx's own reads the machine's certificates for
#: each client, 20 ms of work. It trusts nobody.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
