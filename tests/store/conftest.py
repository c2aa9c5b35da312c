from __future__ import annotations

from tests.store.fixtures import night, store, store_url

__all__ = ["night", "store", "store_url"]
