"""A PostgreSQL connection whose patience ends: libpq waits for ever for a server that accepts and goes silent."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg

CONNECT_SECONDS = 10
ANSWER_SECONDS = 30.0
"""For one answer; as long as a writer waits for SQLite's lock."""
LOOK_SECONDS = 0.1


class Patient(psycopg.Connection[Any]):
    """Closes itself and raises OperationalError where one answer takes longer than `ANSWER_SECONDS`."""

    unhurried = False
    """A migration's statement may take as long as it wants."""

    def wait(self, gen: Any, interval: float = LOOK_SECONDS, *more: Any, **others: Any) -> Any:
        """psycopg's own wait, which looks up every `interval` and would go on."""
        return super().wait(gen if self.unhurried else self._limited(gen), interval, *more, **others)

    def _limited(self, gen: Any) -> Generator[Any, Any, Any]:
        until = time.monotonic() + ANSWER_SECONDS
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > until:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer within {ANSWER_SECONDS:g} s; connection given up")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value
