from __future__ import annotations

from tests.store.fixtures import bare_url, later_folder, night, reads, served, store, store_url

__all__ = ["bare_url", "later_folder", "night", "reads", "served", "store", "store_url"]
