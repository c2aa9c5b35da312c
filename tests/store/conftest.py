from __future__ import annotations

from tests.store.fixtures import later_folder, night, reads, served, store, store_url

__all__ = ["later_folder", "night", "reads", "served", "store", "store_url"]
