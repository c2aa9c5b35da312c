"""Values that a hundred thousand rows have in common, made once and shared: it saves most of time and memory."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes import CDLL
from datetime import date, time, timedelta
from functools import lru_cache
from sys import intern

from connectors.contract import Evidence, Proof, Schedule, State, Verb
from console.model.ids import instant, maybe_instant
from console.model.words import EngineDown, Mode, Origin, Safety, Timeliness

STATES = {one.value: one for one in State}
EVIDENCES = {one.value: one for one in Evidence}
TIMELINESSES = {one.value: one for one in Timeliness}
PROOFS = {one.value: one for one in Proof}
ORIGINS = {one.value: one for one in Origin}
SAFETIES = {one.value: one for one in Safety}

date_of = lru_cache(maxsize=4096)(date.fromisoformat)
time_of = lru_cache(maxsize=4096)(time.fromisoformat)
seconds = lru_cache(maxsize=4096)(lambda number: timedelta(seconds=number))
names_of = lru_cache(maxsize=4096)(lambda text: tuple(json.loads(text)))
"""A JSON list of names."""
moment = lru_cache(maxsize=16384)(instant)
"""An instant that many rows have: of a period, of a poll."""
number = lru_cache(maxsize=65536)(int)
"""An id that many rows have."""


@lru_cache(maxsize=65536)
def schedule(dialect: str, expression: str, zone: str, words: str, next_us: int | None) -> Schedule:
    return Schedule(intern(dialect), expression, intern(zone), words, maybe_instant(next_us))


@lru_cache(maxsize=4096)
def cannot_rerun(capabilities: str, missing: str) -> str:
    """As of `JobFacts`, of the two columns of its system."""
    if Verb.RERUN.needs in capabilities.split(","):
        return ""
    return str(json.loads(missing).get(Verb.RERUN.needs) or "nothing of it is run again from here")


@lru_cache(maxsize=4096)
def edge_words(
    origin: str, mode: str, engine_down: str, lead_s: float, for_s: float
) -> tuple[Origin, Mode, EngineDown, timedelta, timedelta]:
    return Origin(origin), Mode(mode), EngineDown(engine_down), timedelta(seconds=lead_s), timedelta(seconds=for_s)


@contextmanager
def uncollected() -> Iterator[None]:
    """While so much is made that stays, nobody looks for garbage in it, nor ever after: facts know no cycles. What was
    needed only to make it goes back to the machine."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()
        _give_back()


def _give_back() -> None:
    with suppress(OSError, AttributeError):  # what another C library than glibc keeps, it keeps
        CDLL(None).malloc_trim(0)
