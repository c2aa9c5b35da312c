"""What laying out a year of cron lines costs: a part of `tests.bench.control`."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim

from connectors.sdk.records import Schedule
from console.timing.schedule import instants
from tests.bench.figures import Figure


def calendar_year(jobs: int) -> Figure:
    """All instants of 2026, of cron lines as a company has them: many share theirs."""
    rng = random.Random(5)
    hours = [0, 1, 2, 3, 4, 5, 6, 22, 23]
    days = ("* * *",) * 6 + ("* * 1-5",) * 3 + ("1 * *",)
    lines = [f"{rng.randrange(12) * 5} {rng.choice(hours)} {rng.choice(days)}" for _ in range(jobs)]
    begin, end = datetime(2025, 12, 31, 23, 59, tzinfo=UTC), datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    begun = time.process_time()
    ours = sum(len(instants(Schedule("debian-cron", line, "Europe/Berlin"), begin, end)) for line in lines)
    took = time.process_time() - begun
    begun = time.process_time()
    bare = sum(len(_bare(line, begin, end)) for line in lines)
    beside = time.process_time() - begun
    if abs(ours - bare) > jobs:
        raise SystemExit(f"{ours} instants, and {bare} by bare cronsim")
    return Figure("calendar_year", took, f"cpu-s for {jobs:,} jobs", "bare cronsim", beside)


def _bare(line: str, begin: datetime, end: datetime) -> list[datetime]:
    zone = ZoneInfo("Europe/Berlin")
    results, last = [], end.astimezone(zone)
    for instant in CronSim(line, begin.astimezone(zone)):
        if instant > last:
            break
        results.append(instant)
    return results
