"""Past forecasts as later evaluations learn from them, and back tests of nights without published forecasts.

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
from console.store.db.session import Row, Session
from console.store.meta import count_up

if TYPE_CHECKING:
    from console.store.db.database import Database


T = TypeVar("T")

HOURLY_US = 3_600_000_000
DAILY_US = 24 * HOURLY_US
DAYS_BACK = timedelta(days=90)
_PEAKS = (
    "SELECT s.name, d.business_date, d.peak_late, d.delivered_us, d.deadline_us FROM service_day d JOIN service s ON"
    " s.id = d.service_id WHERE d.business_date >= ? AND d.deadline_us < ? AND d.peak_late IS NOT NULL AND NOT"
    " s.removed AND d.timeliness IN ('met', 'met_late', 'breached') ORDER BY d.business_date"
)
_BACK_TESTED = (
    "SELECT s.name, b.business_date, b.peak_late, b.was_late FROM back_test b JOIN service s ON s.id = b.service_id"
    " WHERE b.business_date >= ? AND b.peak_late IS NOT NULL AND NOT s.removed ORDER BY b.business_date"
)
LEARNED_BACK = timedelta(days=240)
"""Business dates; older ones hardly count."""
MAX_PER_NIGHT = 10
"""Service days of a night that are read: together they count as two at most (`forecast.calibration.CORRELATION`), and
ten show nearly as much as all."""
MAX_PER_DAY = 24
"""Forecasts of a day that are read."""
_FORECASTS = (
    "WITH drawn AS (SELECT id, business_date, deadline_us, delivered_us, ROW_NUMBER() OVER (PARTITION BY business_date"
    " ORDER BY (id * 2654435761) & 4294967295) AS place FROM service_day WHERE business_date >= ? AND deadline_us < ?"
    " AND peak_late IS NOT NULL AND timeliness IN ('met', 'met_late', 'breached')), sampled AS (SELECT d.id,"
    " d.business_date, d.deadline_us, d.delivered_us, f.id AS forecast_id, COALESCE(f.p_own, f.p_late) AS own,"
    " ROW_NUMBER() OVER (PARTITION BY d.id ORDER BY (f.id * 2654435761) & 4294967295) AS place FROM drawn d JOIN"
    " forecast f ON f.service_day_id = d.id AND f.at_us < d.deadline_us WHERE d.place <= ?) SELECT id, business_date,"
    " deadline_us, delivered_us, own FROM sampled WHERE place <= ? ORDER BY deadline_us, id, forecast_id"
)
"""Days and forecasts are sampled by number (multiplicative hashing, Knuth): the same sample each time."""

_OVER = (
    "WITH over AS (SELECT d.id, s.name, CASE WHEN d.delivered_us IS NULL OR d.delivered_us > d.deadline_us THEN 1.0"
    " ELSE 0.0 END AS late, (SELECT COUNT(*) FROM forecast f WHERE f.service_day_id = d.id) AS forecasts FROM"
    " service_day d JOIN service s ON s.id = d.service_id WHERE d.business_date >= ? AND d.deadline_us < ? AND NOT"
    " s.removed AND d.timeliness IN ('met', 'met_late', 'breached'))"
)
_DAYS_OVER = (
    f"{_OVER} SELECT name, COUNT(*) AS days, CAST(SUM(late) AS INTEGER) AS late FROM over"  # noqa: S608
    " WHERE forecasts > 0 GROUP BY name"
)
_PUBLISHED = (
    f"{_OVER} SELECT o.name, f.p_late, SUM(1.0 / o.forecasts) AS days, SUM(o.late / o.forecasts) AS late FROM over o"  # noqa: S608
    " JOIN forecast f ON f.service_day_id = o.id GROUP BY o.name, f.p_late ORDER BY o.name, f.p_late"
)


@dataclass(slots=True)
class PeriodicRead(Generic[T]):
    """A cached query, read again after `every_us`."""

    read: Callable[[Session, int], T]
    every_us: int = HOURLY_US
    read_us: int | None = None
    version: str = ""
    known: T = field(init=False)

    def refresh(self, session: Session, since_us: int, version: str = "") -> T:
        """Of service days with a deadline before `since_us`; another `version` is read at once."""
        is_old = self.read_us is None or abs(since_us - self.read_us) >= self.every_us
        if is_old or version != self.version:
            self.read_us, self.version, self.known = since_us, version, self.read(session, since_us)
        return self.known


def past_forecasts(session: Session, since_us: int) -> tuple[PastForecasts, ...]:
    """The simulation's own forecasts of service days, oldest first: at most MAX_PER_NIGHT per night."""
    days: dict[int, list[Row]] = defaultdict(list)
    oldest = (instant(since_us) - LEARNED_BACK).date().isoformat()
    for row in session.rows(_FORECASTS, (oldest, since_us, MAX_PER_NIGHT, MAX_PER_DAY)):
        days[row.id].append(row)
    forecasts = []
    for rows in days.values():
        day = rows[0]
        was_late = day.delivered_us is None or day.delivered_us > day.deadline_us
        forecasts.append(
            PastForecasts([row.own for row in rows], was_late, date.fromisoformat(day.business_date).toordinal())
        )
    return tuple(forecasts)


def peak_forecasts(session: Session, since_us: int) -> Mapping[str, Sequence[PeakForecast]]:
    """Service -> peak forecasts of its latest days, published or, without one, back-tested."""
    peaks: dict[str, list[PeakForecast]] = defaultdict(list)
    published = set[tuple[str, str]]()
    oldest = (instant(since_us) - DAYS_BACK).date().isoformat()
    for row in session.rows(_PEAKS, (oldest, since_us)):
        published.add((row.name, row.business_date))
        was_late = row.delivered_us is None or row.delivered_us > row.deadline_us
        peaks[row.name].append(PeakForecast(row.peak_late, was_late))
    for row in session.rows(_BACK_TESTED, (oldest,)):
        if (row.name, row.business_date) not in published:
            peaks[row.name].append(PeakForecast(row.peak_late, bool(row.was_late), is_published=False))
    return dict(peaks)


def forecast_tallies(session: Session, since_us: int) -> Mapping[str, ForecastTally]:
    """Service -> totals of its forecasts in the latest quarter of a year. It reads all of them."""
    published: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    oldest = (instant(since_us) - DAYS_BACK).date().isoformat()
    days = {row.name: (row.days, row.late) for row in session.rows(_DAYS_OVER, (oldest, since_us))}
    for row in session.rows(_PUBLISHED, (oldest, since_us)):  # PostgreSQL adds up decimals
        published[row.name].append((row.p_late, float(row.days), float(row.late)))
    return {name: ForecastTally(*days[name], tuple(rows)) for name, rows in published.items() if name in days}


_SELECT_SHAPES = (
    "SELECT s.name, o.promise, o.jobs FROM back_test_of o JOIN service s ON s.id = o.service_id WHERE NOT s.removed"
)
_SELECT_NIGHTS = (
    "SELECT s.name, b.business_date FROM back_test b JOIN service s ON s.id = b.service_id WHERE b.business_date >= ?"
    " AND NOT s.removed UNION SELECT s.name, d.business_date FROM service_day d JOIN service s ON s.id = d.service_id"
    " WHERE d.business_date >= ? AND d.peak_late IS NOT NULL AND NOT s.removed AND d.timeliness IN ('met', 'met_late',"
    " 'breached')"
)
_SERVICE = "SELECT id FROM service WHERE name = ? AND NOT removed"


@dataclass(frozen=True, slots=True)
class BackTestedService:
    shape: ServiceShape | None
    """The shape that its back tests are valid for; None without any."""
    nights: frozenset[date] = field(default_factory=frozenset)
    """Nights with a back test or a published forecast."""


@dataclass(frozen=True, slots=True)
class StoredBackTest:
    service: str
    business_date: date
    peak: float | None
    was_late: bool


def oldest_night(now_us: int) -> date:
    """The first business date that counts."""
    return (instant(now_us) - DAYS_BACK).date()


def load_back_tests(store: Database, now_us: int) -> Mapping[str, BackTestedService]:
    """By service, without services that have none."""
    since = oldest_night(now_us).isoformat()
    nights: dict[str, set[date]] = defaultdict(set)
    with store.read() as session:
        shapes = {
            row.name: ServiceShape(row.promise, {int(job): text for job, text in json.loads(row.jobs).items()})
            for row in session.rows(_SELECT_SHAPES)
        }
        for row in session.rows(_SELECT_NIGHTS, (since, since)):
            nights[row.name].add(date.fromisoformat(row.business_date))
    names = shapes.keys() | nights.keys()
    return {name: BackTestedService(shapes.get(name), frozenset(nights.get(name, ()))) for name in names}


def reset_back_tests(store: Database, fence: int | None, service: str, shape: ServiceShape) -> None:
    """Deletes the service's back tests and sets the shape of future ones."""
    with store.write(fence) as session:
        for target in session.rows(_SERVICE, (service,)):
            session.rows("DELETE FROM back_test WHERE service_id = ?", (target.id,))
            session.rows("DELETE FROM back_test_of WHERE service_id = ?", (target.id,))
            row = (target.id, shape.promise, json.dumps({str(job): text for job, text in shape.jobs.items()}))
            session.insert("back_test_of", ("service_id", "promise", "jobs"), [row])
            count_up(session, "back_tests")


def record_back_tests(store: Database, fence: int | None, nights: Iterable[StoredBackTest], now_us: int) -> None:
    """Stores each once, and deletes those too old to count."""
    query = (
        "SELECT b.service_id, b.business_date FROM {keys} JOIN back_test b"
        " ON b.service_id = k.a AND b.business_date = k.b"
    )
    with store.write(fence) as session:
        services: dict[str, int] = dict(session.rows("SELECT name, id FROM service WHERE NOT removed"))
        outcomes = {
            (services[night.service], night.business_date.isoformat()): (night.peak, night.was_late)
            for night in nights
            if night.service in services
        }
        new = [(*key, *outcomes[key]) for key in outcomes.keys() - set(session.by_keys(query, list(outcomes)))]
        session.insert("back_test", ("service_id", "business_date", "peak_late", "was_late"), new)
        session.rows(
            "DELETE FROM back_test WHERE business_date < ?", ((oldest_night(now_us) - timedelta(days=1)).isoformat(),)
        )
        count_up(session, "back_tests")
