"""`[pools.NAME]`: jobs that share a host, a licence or a queue, and how many of them run at once."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from console.config.shapes import Strict
from console.model.pools import DeclaredPool


class PoolSettings(Strict):
    jobs: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of jobs, * for any text: each of their runs takes a slot. A job is in the first pool that names it."""
    slots: Annotated[int, Field(ge=1)]
    """How many of them run at once; the others wait, first come, first served."""

    def declared(self, name: str) -> DeclaredPool:
        return DeclaredPool(name, self.jobs, self.slots)
