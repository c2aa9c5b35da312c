"""Nights of services that were forecast after they were over, and for which promise and jobs that holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from console.model.ids import instant
from console.model.past_shape import PastShape
from console.store.open import Store
from console.store.past_forecasts import DAYS_BACK
from console.store.wire import Row, Wire, wire

_OF = "SELECT s.name, o.promise, o.jobs FROM back_test_of o JOIN service s ON s.id = o.service_id WHERE NOT s.removed"
_KNOWN = (
    "SELECT s.name, b.bd FROM back_test b JOIN service s ON s.id = b.service_id WHERE b.bd >= ? AND NOT s.removed"
    " UNION SELECT s.name, d.bd FROM service_day d JOIN service s ON s.id = d.service_id"
    " WHERE d.bd >= ? AND d.peak_late IS NOT NULL AND NOT s.removed AND d.timeliness IN ('met', 'met_late', 'breached')"
)
_SERVICE = "SELECT id FROM service WHERE name = ? AND NOT removed"
_COUNT = (
    "INSERT INTO meta (name, value) VALUES ('back_tests', '1') ON CONFLICT (name)"
    " DO UPDATE SET value = CAST(CAST(meta.value AS INTEGER) + 1 AS TEXT)"
)


@dataclass(frozen=True, slots=True)
class Known:
    """Of one service."""

    shape: PastShape | None
    """For which its back-tests hold; None: there are none."""
    nights: frozenset[date] = field(default_factory=frozenset)
    """Those that were back-tested, and those of which something was told."""


@dataclass(frozen=True, slots=True)
class Night:
    """One that was back-tested."""

    service: str
    bd: date
    peak: float | None
    was_late: bool


def oldest(now_us: int) -> date:
    """From which business date on nights count."""
    return (instant(now_us) - DAYS_BACK).date()


def known(store: Store, now_us: int) -> Mapping[str, Known]:
    """By service; without those of which nothing is."""
    since = oldest(now_us).isoformat()
    with store.read() as connection:
        lines = wire(connection)
        shapes = {name: _shape(promise, jobs) for name, promise, jobs in lines.rows(_OF)}
        nights: dict[str, set[date]] = {}
        for name, bd in lines.rows(_KNOWN, (since, since)):
            nights.setdefault(name, set()).add(date.fromisoformat(bd))
    names = shapes.keys() | nights.keys()
    return {name: Known(shapes.get(name), frozenset(nights.get(name, ()))) for name in names}


def begin_anew(store: Store, fence: int | None, service: str, shape: PastShape) -> None:
    """From now on its back-tests are of that shape: those of before count no more."""
    with store.write(fence) as connection:
        lines = wire(connection)
        for (service_id,) in lines.rows(_SERVICE, (service,)):
            lines.rows("DELETE FROM back_test WHERE service_id = ?", (service_id,))
            lines.rows("DELETE FROM back_test_of WHERE service_id = ?", (service_id,))
            row = (service_id, shape.promise, json.dumps({str(job): words for job, words in shape.jobs.items()}))
            lines.insert("back_test_of", ("service_id", "promise", "jobs"), [row])
            lines.rows(_COUNT)


def keep(store: Store, fence: int | None, nights: Iterable[Night], now_us: int) -> None:
    """These, each once; what is too old to count goes."""
    with store.write(fence) as connection:
        lines = wire(connection)
        services: dict[str, int] = dict(lines.rows("SELECT name, id FROM service WHERE NOT removed"))
        rows = {
            (services[one.service], one.bd.isoformat()): (one.peak, one.was_late)
            for one in nights
            if one.service in services
        }
        new = [(*key, *rows[key]) for key in rows.keys() - _there(lines, rows)]
        lines.insert("back_test", ("service_id", "bd", "peak_late", "was_late"), new)
        lines.rows("DELETE FROM back_test WHERE bd < ?", ((oldest(now_us) - timedelta(days=1)).isoformat(),))
        lines.rows(_COUNT)


def _there(lines: Wire, rows: Iterable[Row]) -> set[Row]:
    query = "SELECT b.service_id, b.bd FROM {keys} JOIN back_test b ON b.service_id = k.a AND b.bd = k.b"
    return set(lines.by_keys(query, "it", list(rows)))


def _shape(promise: str, jobs: str) -> PastShape:
    return PastShape(promise, {int(job): words for job, words in json.loads(jobs).items()})
