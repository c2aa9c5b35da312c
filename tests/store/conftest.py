from __future__ import annotations

from tests.store.fixtures import estate, store, store_url

__all__ = ["estate", "store", "store_url"]
