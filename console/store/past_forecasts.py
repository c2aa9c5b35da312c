"""What was forecast of the service days that are over, as later evaluations learn from it: read now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Generic, TypeVar

from console.model.forecasts import PastForecasts, Peak, Tally
from console.model.ids import instant

T = TypeVar("T")
Row = tuple[Any, ...]
Rows = Callable[[str, Sequence[Any]], Iterable[Row]]
"""One statement on either database, for an engine or for who only reads."""
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
OF_A_NIGHT = 10
"""Its service days that are learned from: all of them together count as two at most (`recalibrate.TOGETHER`), and ten
show nearly as much as all."""
OF_A_DAY = 24
"""Its forecasts that are."""
_FORECASTS = (
    "WITH drawn AS (SELECT id, bd, deadline_us, delivered_us,"
    " ROW_NUMBER() OVER (PARTITION BY bd ORDER BY (id * 2654435761) & 4294967295) AS place FROM service_day"
    " WHERE bd >= ? AND deadline_us < ? AND peak_late IS NOT NULL AND timeliness IN ('met', 'met_late', 'breached')),"
    " told AS (SELECT d.id, d.bd, d.deadline_us, d.delivered_us, f.id AS forecast_id,"
    " COALESCE(f.p_own, f.p_late) AS own,"
    " ROW_NUMBER() OVER (PARTITION BY d.id ORDER BY (f.id * 2654435761) & 4294967295) AS place"
    " FROM drawn d JOIN forecast f ON f.service_day_id = d.id AND f.at_us < d.deadline_us WHERE d.place <= ?)"
    " SELECT id, bd, deadline_us, delivered_us, own FROM told WHERE place <= ?"
    " ORDER BY deadline_us, id, forecast_id"
)
"""Of a night and of a day those whose number is drawn (multiplicative hashing, Knuth): the same at every look."""

_OVER = (
    "WITH over AS (SELECT d.id, s.name, CASE WHEN d.delivered_us IS NULL OR d.delivered_us > d.deadline_us THEN 1.0"
    " ELSE 0.0 END AS late, (SELECT COUNT(*) FROM forecast f WHERE f.service_day_id = d.id) AS told"
    " FROM service_day d JOIN service s ON s.id = d.service_id WHERE d.bd >= ? AND d.deadline_us < ? AND NOT s.removed"
    " AND d.timeliness IN ('met', 'met_late', 'breached'))"
)
_DAYS_OVER = f"{_OVER} SELECT name, COUNT(*), CAST(SUM(late) AS INTEGER) FROM over WHERE told > 0 GROUP BY name"  # noqa: S608
_TOLD = (
    f"{_OVER} SELECT o.name, f.p_late, SUM(1.0 / o.told), SUM(o.late / o.told) FROM over o"  # noqa: S608
    " JOIN forecast f ON f.service_day_id = o.id GROUP BY o.name, f.p_late ORDER BY o.name, f.p_late"
)


@dataclass(slots=True)
class Reread(Generic[T]):
    """What later evaluations learn from, read anew when `every_us` have passed."""

    read: Callable[[Rows, int], T]
    every_us: int = HOURLY_US
    read_us: int | None = None
    version: str = ""
    known: T = field(init=False)

    def follow(self, rows: Rows, since_us: int, version: str = "") -> T:
        """Of the service days whose deadline was over at `since_us`. `version`: of what is read at once when that is
        another."""
        is_old = self.read_us is None or abs(since_us - self.read_us) >= self.every_us
        if is_old or version != self.version:
            self.read_us, self.version, self.known = since_us, version, self.read(rows, since_us)
        return self.known


def past_forecasts(rows: Rows, since_us: int) -> tuple[PastForecasts, ...]:
    """The simulation's own of the service days of the latest nights, oldest first: at most OF_A_NIGHT of each."""
    looks: dict[int, list[Row]] = {}
    oldest = (instant(since_us) - LEARNED_BACK).date().isoformat()
    for day_id, *row in rows(_FORECASTS, (oldest, since_us, OF_A_NIGHT, OF_A_DAY)):
        looks.setdefault(day_id, []).append(tuple(row))
    return tuple(map(_past_forecasts, looks.values()))


def _past_forecasts(looks: Sequence[Row]) -> PastForecasts:
    bd, deadline_us, delivered_us = looks[0][:3]
    was_late = delivered_us is None or delivered_us > deadline_us
    return PastForecasts([own for *_, own in looks], was_late, date.fromisoformat(bd).toordinal())


def peaks(rows: Rows, since_us: int) -> Mapping[str, Sequence[Peak]]:
    """Service -> its latest days: what was told of each, and of a day of which nothing was, what a back-test found."""
    found: dict[str, list[Peak]] = {}
    told = set[tuple[str, str]]()
    oldest = (instant(since_us) - DAYS_BACK).date().isoformat()
    for name, bd, peak, delivered_us, deadline_us in rows(_PEAKS, (oldest, since_us)):
        told.add((name, bd))
        found.setdefault(name, []).append(Peak(peak, delivered_us is None or delivered_us > deadline_us))
    for name, bd, peak, was_late in rows(_BACK_TESTED, (oldest,)):
        if (name, bd) not in told:
            found.setdefault(name, []).append(Peak(peak, bool(was_late), is_told=False))
    return found


def tallies(rows: Rows, since_us: int) -> Mapping[str, Tally]:
    """Service -> how good the forecasts of its days of the latest quarter of a year were, added up. It reads all of
    them."""
    told: dict[str, list[tuple[float, float, float]]] = {}
    days: dict[str, tuple[int, int]] = {}
    oldest = (instant(since_us) - DAYS_BACK).date().isoformat()
    for name, count, late in rows(_DAYS_OVER, (oldest, since_us)):
        days[name] = (count, late)
    for name, p_late, of, late in rows(_TOLD, (oldest, since_us)):
        told.setdefault(name, []).append((p_late, float(of), float(late)))  # PostgreSQL adds up decimals
    return {name: Tally(*days[name], tuple(each)) for name, each in told.items() if name in days}
