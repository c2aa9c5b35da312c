"""The store's tables. Every instant is BIGINT microseconds since 1970 UTC (`*_us`); names from outside are kept raw.

Purpose of each table: docs/store.md. Only migrations, tests and documentation use these declarations.
"""

from console.domain.schema import actions, estate, incidents, services

__all__ = ["actions", "estate", "incidents", "services"]
