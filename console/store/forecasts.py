"""Past forecasts as later evaluations learn from them, and back tests of nights nobody was notified of.

Read now and then, not at each evaluation.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from console.domain.forecast import ForecastTally, PastForecasts, PeakForecast, ServiceShape
from console.domain.ids import instant
from console.store.db.session import Row, Session, Values, WriteSession
from console.store.meta import count_up

if TYPE_CHECKING:
    from console.store.db.database import Database


T = TypeVar("T")

HOURLY_US = 3_600_000_000
DAILY_US = 24 * HOURLY_US
DAYS_BACK = timedelta(days=90)
_PEAKS = (
    "SELECT s.name, d.bd, d.peak_late, d.delivered_us, d.deadline_us FROM service_day d"
    " JOIN service s ON s.id = d.service_id WHERE d.bd >= ? AND d.deadline_us < ? AND d.peak_late IS NOT NULL"
    " AND NOT s.removed AND d.timeliness IN ('met', 'met_late', 'breached') ORDER BY d.bd"
)
_BACK_TESTED = (
    "SELECT s.name, b.bd, b.peak_late, b.was_late FROM back_test b JOIN service s ON s.id = b.service_id"
    " WHERE b.bd >= ? AND b.peak_late IS NOT NULL AND NOT s.removed ORDER BY b.bd"
)
LEARNED_BACK = timedelta(days=240)
"""Of business dates; older ones hardly count."""
MAX_PER_NIGHT = 10
"""Its service days that are learned from: all of them together count as two at most (`recalibrate.TOGETHER`), and ten
show nearly as much as all."""
MAX_PER_DAY = 24
"""Its forecasts that are."""
_FORECASTS = (
    "WITH drawn AS (SELECT id, bd, deadline_us, delivered_us, ROW_NUMBER() OVER (PARTITION BY bd ORDER BY (id *"
    " 2654435761) & 4294967295) AS place FROM service_day WHERE bd >= ? AND deadline_us < ? AND peak_late IS NOT NULL"
    " AND timeliness IN ('met', 'met_late', 'breached')), told AS (SELECT d.id, d.bd, d.deadline_us, d.delivered_us,"
    " f.id AS forecast_id, COALESCE(f.p_own, f.p_late) AS own, ROW_NUMBER() OVER (PARTITION BY d.id ORDER BY (f.id *"
    " 2654435761) & 4294967295) AS place FROM drawn d JOIN forecast f ON f.service_day_id = d.id AND f.at_us <"
    " d.deadline_us WHERE d.place <= ?) SELECT id, bd, deadline_us, delivered_us, own FROM told WHERE place <= ? ORDER"
    " BY deadline_us, id, forecast_id"
)
"""Of a night and of a day those whose number is drawn (multiplicative hashing, Knuth): the same at every look."""

_OVER = (
    "WITH over AS (SELECT d.id, s.name, CASE WHEN d.delivered_us IS NULL OR d.delivered_us > d.deadline_us THEN 1.0"
    " ELSE 0.0 END AS late, (SELECT COUNT(*) FROM forecast f WHERE f.service_day_id = d.id) AS told"
    " FROM service_day d JOIN service s ON s.id = d.service_id WHERE d.bd >= ? AND d.deadline_us < ? AND NOT s.removed"
    " AND d.timeliness IN ('met', 'met_late', 'breached'))"
)
_DAYS_OVER = f"{_OVER} SELECT name, COUNT(*), CAST(SUM(late) AS INTEGER) FROM over WHERE told > 0 GROUP BY name"  # noqa: S608
_PUBLISHED = (
    f"{_OVER} SELECT o.name, f.p_late, SUM(1.0 / o.told), SUM(o.late / o.told) FROM over o"  # noqa: S608
    " JOIN forecast f ON f.service_day_id = o.id GROUP BY o.name, f.p_late ORDER BY o.name, f.p_late"
)


@dataclass(slots=True)
class PeriodicRead(Generic[T]):
    """What later evaluations learn from, read anew when `every_us` have passed."""

    read: Callable[[Session, int], T]
    every_us: int = HOURLY_US
    read_us: int | None = None
    version: str = ""
    known: T = field(init=False)

    def follow(self, session: Session, since_us: int, version: str = "") -> T:
        """Of the service days whose deadline was over at `since_us`. `version`: of what is read at once when that is
        another."""
        is_old = self.read_us is None or abs(since_us - self.read_us) >= self.every_us
        if is_old or version != self.version:
            self.read_us, self.version, self.known = since_us, version, self.read(session, since_us)
        return self.known


def past_forecasts(session: Session, since_us: int) -> tuple[PastForecasts, ...]:
    """The simulation's own of the service days of the latest nights, oldest first: at most MAX_PER_NIGHT of each."""
    looks: dict[int, list[Row]] = defaultdict(list)
    oldest = (instant(since_us) - LEARNED_BACK).date().isoformat()
    for row in session.rows(_FORECASTS, (oldest, since_us, MAX_PER_NIGHT, MAX_PER_DAY)):
        looks[row.id].append(row)
    return tuple(map(_past_forecasts, looks.values()))


def _past_forecasts(looks: Sequence[Row]) -> PastForecasts:
    day = looks[0]
    was_late = day.delivered_us is None or day.delivered_us > day.deadline_us
    return PastForecasts([row.own for row in looks], was_late, date.fromisoformat(day.bd).toordinal())


def peak_forecasts(session: Session, since_us: int) -> Mapping[str, Sequence[PeakForecast]]:
    """Service -> its latest days: what was told of each, and of a day of which nothing was, what a back-test found."""
    found: dict[str, list[PeakForecast]] = {}
    told = set[tuple[str, str]]()
    oldest = (instant(since_us) - DAYS_BACK).date().isoformat()
    for name, business_date, peak, delivered_us, deadline_us in session.rows(_PEAKS, (oldest, since_us)):
        told.add((name, business_date))
        found.setdefault(name, []).append(PeakForecast(peak, delivered_us is None or delivered_us > deadline_us))
    for name, business_date, peak, was_late in session.rows(_BACK_TESTED, (oldest,)):
        if (name, business_date) not in told:
            found.setdefault(name, []).append(PeakForecast(peak, bool(was_late), is_told=False))
    return found


def forecast_tallies(session: Session, since_us: int) -> Mapping[str, ForecastTally]:
    """Service -> how good the forecasts of its days of the latest quarter of a year were, added up. It reads all of
    them."""
    told: dict[str, list[tuple[float, float, float]]] = {}
    days: dict[str, tuple[int, int]] = {}
    oldest = (instant(since_us) - DAYS_BACK).date().isoformat()
    for name, count, late in session.rows(_DAYS_OVER, (oldest, since_us)):
        days[name] = (count, late)
    for name, p_late, of, late in session.rows(_PUBLISHED, (oldest, since_us)):
        told.setdefault(name, []).append((p_late, float(of), float(late)))  # PostgreSQL adds up decimals
    return {name: ForecastTally(*days[name], tuple(each)) for name, each in told.items() if name in days}


_SELECT_SHAPES = (
    "SELECT s.name, o.promise, o.jobs FROM back_test_of o JOIN service s ON s.id = o.service_id WHERE NOT s.removed"
)
_SELECT_NIGHTS = (
    "SELECT s.name, b.bd FROM back_test b JOIN service s ON s.id = b.service_id WHERE b.bd >= ? AND NOT s.removed"
    " UNION SELECT s.name, d.bd FROM service_day d JOIN service s ON s.id = d.service_id"
    " WHERE d.bd >= ? AND d.peak_late IS NOT NULL AND NOT s.removed AND d.timeliness IN ('met', 'met_late', 'breached')"
)
_SERVICE = "SELECT id FROM service WHERE name = ? AND NOT removed"


@dataclass(frozen=True, slots=True)
class BackTestedService:
    """Of one service."""

    shape: ServiceShape | None
    """For which its back-tests hold; None: there are none."""
    nights: frozenset[date] = field(default_factory=frozenset)
    """Those that were back-tested, and those of which something was told."""


@dataclass(frozen=True, slots=True)
class StoredBackTest:
    """One that was back-tested."""

    service: str
    business_date: date
    peak: float | None
    was_late: bool


def oldest_night(now_us: int) -> date:
    """From which business date on nights count."""
    return (instant(now_us) - DAYS_BACK).date()


def load_back_tests(store: Database, now_us: int) -> Mapping[str, BackTestedService]:
    """By service; without those of which nothing is."""
    since = oldest_night(now_us).isoformat()
    with store.read() as session:
        shapes = {name: _shape(promise, jobs) for name, promise, jobs in session.rows(_SELECT_SHAPES)}
        nights: dict[str, set[date]] = {}
        for name, business_date in session.rows(_SELECT_NIGHTS, (since, since)):
            nights.setdefault(name, set()).add(date.fromisoformat(business_date))
    names = shapes.keys() | nights.keys()
    return {name: BackTestedService(shapes.get(name), frozenset(nights.get(name, ()))) for name in names}


def reset_back_tests(store: Database, fence: int | None, service: str, shape: ServiceShape) -> None:
    """From now on its back-tests are of that shape: those of before count no more."""
    with store.write(fence) as session:
        for (service_id,) in session.rows(_SERVICE, (service,)):
            session.rows("DELETE FROM back_test WHERE service_id = ?", (service_id,))
            session.rows("DELETE FROM back_test_of WHERE service_id = ?", (service_id,))
            row = (service_id, shape.promise, json.dumps({str(job): words for job, words in shape.jobs.items()}))
            session.insert("back_test_of", ("service_id", "promise", "jobs"), [row])
            count_up(session, "back_tests")


def record_back_tests(store: Database, fence: int | None, nights: Iterable[StoredBackTest], now_us: int) -> None:
    """These, each once; what is too old to count goes."""
    with store.write(fence) as session:
        services: dict[str, int] = dict(session.rows("SELECT name, id FROM service WHERE NOT removed"))
        rows = {
            (services[one.service], one.business_date.isoformat()): (one.peak, one.was_late)
            for one in nights
            if one.service in services
        }
        new = [(*key, *rows[key]) for key in rows.keys() - _existing_rows(session, rows)]
        session.insert("back_test", ("service_id", "bd", "peak_late", "was_late"), new)
        session.rows("DELETE FROM back_test WHERE bd < ?", ((oldest_night(now_us) - timedelta(days=1)).isoformat(),))
        count_up(session, "back_tests")


def _existing_rows(session: WriteSession, rows: Iterable[Values]) -> set[Values]:
    query = "SELECT b.service_id, b.bd FROM {keys} JOIN back_test b ON b.service_id = k.a AND b.bd = k.b"
    return set(session.by_keys(query, list(rows)))


def _shape(promise: str, jobs: str) -> ServiceShape:
    return ServiceShape(promise, {int(job): words for job, words in json.loads(jobs).items()})
