"""Past forecasts as later evaluations learn from them.

Read now and then, not at each evaluation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Generic, TypeVar

from console.domain.forecast import ForecastTally, PastForecasts
from console.domain.ids import instant
from console.store.db.session import Row, Session

T = TypeVar("T")

HOURLY_US = 3_600_000_000
DAILY_US = 24 * HOURLY_US
DAYS_BACK = timedelta(days=90)
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
    " AND EXISTS (SELECT 1 FROM forecast f WHERE f.service_day_id = service_day.id)"
    " AND timeliness IN ('met', 'met_late', 'breached')), sampled AS (SELECT d.id,"
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
    known: T = field(init=False)

    def refresh(self, session: Session, since_us: int) -> T:
        """Of service days with a deadline before `since_us`."""
        if self.read_us is None or abs(since_us - self.read_us) >= self.every_us:
            self.read_us, self.known = since_us, self.read(session, since_us)
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


def forecast_tallies(session: Session, since_us: int) -> Mapping[str, ForecastTally]:
    """Service -> totals of its forecasts in the latest quarter of a year. It reads all of them."""
    published: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    oldest = (instant(since_us) - DAYS_BACK).date().isoformat()
    days = {row.name: (row.days, row.late) for row in session.rows(_DAYS_OVER, (oldest, since_us))}
    for row in session.rows(_PUBLISHED, (oldest, since_us)):  # PostgreSQL adds up decimals
        published[row.name].append((row.p_late, float(row.days), float(row.late)))
    return {name: ForecastTally(*days[name], tuple(rows)) for name, rows in published.items() if name in days}
