"""Ends of the logs of what turned red lately, fetched with the poll that tells it: nobody is alerted without them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

import structlog

from connectors.contract import Connector, ConnectorError, RunRecord, RunRef
from connectors.secrets import SecretStore
from console.clock import Clock
from console.engine.arriving import shown
from console.store.batch import Tail
from console.store.logs import attempts_without_tail
from console.store.open import Store

log = structlog.get_logger("headway.poll")

TAIL_BYTES = 8 * 1024
TAIL_SECONDS = 5.0
"""For all tails of one poll: nobody is told of its failures before."""
TAILS_A_POLL = 10
TAIL_AGE = timedelta(hours=24)
"""Older failures are history: their logs are fetched when somebody asks."""


class Tails:
    """Of one target."""

    def __init__(self, store: Store, clock: Clock, secrets: SecretStore, target_id: int) -> None:
        self._store = store
        self._clock = clock
        self._secrets = secrets
        self._target_id = target_id

    def fetch(self, connector: Connector, records: Sequence[RunRecord]) -> dict[tuple[str, str], Tail]:
        """(job, attempt key) -> the end of its log, for what is red and has none yet; the newest first."""
        since = self._clock.now() - TAIL_AGE
        red = [one for one in records if one.state.is_red and (one.ended_at or one.started_at or since) >= since]
        if not red:
            return {}
        wanted = attempts_without_tail(self._store, self._target_id, [(one.job, one.attempt_key) for one in red])
        due = [one for one in red if (one.job, one.attempt_key) in wanted][-TAILS_A_POLL:]
        found: dict[tuple[str, str], Tail] = {}
        until = time.monotonic() + TAIL_SECONDS
        for one in reversed(due):
            left = until - time.monotonic()
            if left > 0:
                found[one.job, one.attempt_key] = self._tail(connector, one, left)
        return found

    def _tail(self, connector: Connector, one: RunRecord, seconds: float) -> Tail:
        ref = RunRef(one.job, one.period_key or "", one.attempt_key, one.native_ref, one.started_at)
        try:
            chunk = connector.log(ref, None, TAIL_BYTES, seconds)
        except ConnectorError as error:
            return Tail("", error=shown(str(error), self._secrets.mask))
        except Exception as error:  # a log that breaks its reader must not keep the failure itself from being told
            log.exception("log broke", job=one.job)
            return Tail(
                "", error=f"its log could not be read ({type(error).__name__}); the engine's log has the details"
            )
        return Tail(shown(chunk.text, self._secrets.mask), chunk.cut)
