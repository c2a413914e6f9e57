"""The warm pool: started containers without an owner, claimed once and never returned."""

from __future__ import annotations

from perijove_hub.pool.claiming import Claimed, claim

__all__ = ["Claimed", "claim"]
