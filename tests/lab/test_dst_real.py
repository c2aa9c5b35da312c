"""Two nights in which the clock changes, run by Debian's own cron: the expected instants are those of its log.

Both nights run side by side, a cron hour in a minute: cron drops what it missed in more than five of its minutes, and a
machine may be stalled for seconds. A stalled machine makes cron log a minute late, which `* * * * *`
shows: a due minute is searched where that job's line of the same minute is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

import pytest

from connectors.sdk.records import Schedule
from console.timing.schedule import instants
from console.timing.zones import local_readings, zone_of
from tests.lab.cronhost import CronHost
from tests.lab.estate import Estate
from tests.lab.process import wait_until

BERLIN = "Europe/Berlin"
MINUTE = timedelta(minutes=1)
LATEST = 3 * MINUTE
GAP_END = datetime(2026, 3, 29, 1, tzinfo=UTC)
BEGIN = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\S+ \S+ CRON\[\d+\]: \(root\) CMD \(\[\d+\] true (\w+)\)$", re.M)

JOBS = {
    "tick": "* * * * *",
    "quarter": "*/15 * * * *",
    "five_past": "5 * * * *",
    "hourly": "@hourly",
    "stepped_minutes": "0-59/30 * * * *",
    "starred_list": "*/30,7 * * * *",
    "half_past_two": "30 2 * * *",
    "two": "0 2 * * *",
    "both_halves": "0,30 2 * * *",
    "starred_two": "*/30 2 * * *",
    "thirds_of_two": "0-59/20 2 * * *",
    "range_in_two": "10-14/2 2 * * *",
    "three_hours": "15 1,2,3 * * *",
    "early_range": "45 1-4 * * *",
    "even_hours": "10 */2 * * *",
    "even_list": "10 0-23/2 * * *",
    "every_hour_named": "37 0-23 * * *",
    "three": "0 3 * * *",
    "quarter_past_three": "15 3 * * *",
    "one_fifty_nine": "59 1 * * *",
    "daily": "@daily",
    "midnight": "@midnight",
    "weekly": "@weekly",
    "monthly": "@monthly",
    "sunday": "30 2 * * 0",
    "sunday_as_seven": "30 2 * * 7",
    "sunday_by_name": "20 2 * * sun",
    "monday": "30 2 * * 1",
    "saturday": "59 23 * * sat",
    "day_of_month": "30 2 25,29 * *",
    "day_or_weekday": "30 2 1 * sun",
    "star_and_weekday": "30 2 */2 * sun",
    "months": "30 2 * mar,oct *",
    "other_month": "30 2 * 4 *",
    "at_boot": "@reboot",
}


@dataclass(frozen=True)
class Night:
    """Where cron's clock starts (local), and the last minute that is compared (UTC)."""

    name: str
    start: str
    last: datetime

    @property
    def first(self) -> datetime:
        """The first full minute of cron, UTC."""
        local = datetime.fromisoformat(self.start)
        return local_readings(local, zone_of(BERLIN))[0] + MINUTE


NIGHTS = {
    "spring": Night("spring", "2026-03-28 23:57:00", datetime(2026, 3, 29, 2, 47, tzinfo=UTC)),
    "autumn": Night("autumn", "2026-10-25 00:57:00", datetime(2026, 10, 25, 2, 47, tzinfo=UTC)),
}


@dataclass(frozen=True)
class Lived:
    """Cron's log of one night: job -> the minutes of its lines, UTC, in order, with repeats."""

    night: Night
    minutes: Mapping[str, list[datetime]]

    def shown_at(self) -> dict[datetime, datetime]:
        """Minute -> the minute of cron's line for it: another one only where the machine stalled."""
        real = expected("tick", self.night)
        ticks = self.minutes["tick"]
        assert len(real) == len(ticks), "cron was stalled for more than five of its minutes: it drops what it missed"
        return dict(zip(real, ticks, strict=True))


def expected(job: str, night: Night) -> list[datetime]:
    return instants(Schedule("debian-cron", JOBS[job], BERLIN), night.first - MINUTE, night.last)


def starts(log: str) -> Iterator[tuple[str, datetime]]:
    """Job and minute of each line. Of two readings of a local time that which is nearer to the line before it."""
    before: datetime | None = None
    for stamp, job in BEGIN.findall(log):
        both = local_readings(datetime.fromisoformat(stamp).replace(second=0), zone_of(BERLIN))
        before = nearest(both, before or both[0])
        yield job, before


def nearest(minutes: Iterable[datetime], to: datetime) -> datetime:
    return min(minutes, key=lambda instant: abs(instant - to))


def lived(night: Night, host: CronHost) -> Lived:
    minutes: dict[str, list[datetime]] = {job: [] for job in JOBS}
    for job, minute in starts(host.log_text()):
        if night.first <= minute <= night.last:
            minutes[job].append(minute)
    return Lived(night, {job: sorted(instants) for job, instants in minutes.items()})


def as_due(logged: Iterable[datetime], due: list[datetime], shown_at: Mapping[datetime, datetime]) -> list[datetime]:
    """The due minutes of the lines, in order; a line without a due minute is given as its own minute. Cron
    catches up minutes in which a busy machine did not let it wake, and logs them late; all that it jumped over has the
    minute at the end of the gap, also where these lines take longer than that minute."""
    results: set[datetime] = set()
    for line in sorted(logged):
        fitting = [instant for instant in due if shown_at[instant] <= line <= shown_at[instant] + LATEST]
        free = [instant for instant in fitting if instant not in results]
        results.add(next(iter([*free, *(instant for instant in fitting if instant == GAP_END), line])))
    return sorted(results)


def is_over(night: Night, host: CronHost) -> bool:
    """True when cron has begun the second minute after the last that is compared."""
    return max((minute for _, minute in starts(host.log_text())), default=night.first) >= night.last + 2 * MINUTE


@pytest.fixture(scope="module")
def nights(lab: Estate) -> Iterator[dict[str, Lived]]:
    cron_d = "".join(f"{schedule} root true {job}\n" for job, schedule in JOBS.items())
    hosts = {name: lab.time_host(f"dst-{name}", night.start, cron_d, BERLIN, rate=60) for name, night in NIGHTS.items()}
    for name, night in NIGHTS.items():
        wait_until(partial(is_over, night, hosts[name]), f"the end of the {name} night", pause=2.0)
    yield {name: lived(NIGHTS[name], host) for name, host in hosts.items()}
    for name in NIGHTS:
        lab.drop(f"dst-{name}")


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("name", NIGHTS)
def test_expected_instants_are_the_minutes_in_which_cron_ran_the_job(
    nights: dict[str, Lived], name: str, job: str
) -> None:
    due = expected(job, NIGHTS[name])
    assert due == as_due(nights[name].minutes[job], due, nights[name].shown_at())


def test_the_hour_that_is_twice_is_in_the_log_twice(nights: dict[str, Lived]) -> None:
    """Else the autumn night would compare nothing of interest."""
    ticks = nights["autumn"].minutes["tick"]
    assert all(timedelta(0) <= after - before <= 5 * MINUTE for before, after in pairwise(ticks))
    assert len(set(ticks)) > 3 * 60


def test_a_job_due_three_times_in_the_gap_is_started_three_times_at_its_end(nights: dict[str, Lived]) -> None:
    """One instant for us, three lines in the log: cron makes up for every minute that it jumped over."""
    due = expected("range_in_two", NIGHTS["spring"])
    assert [GAP_END] == due
    assert 3 == len(nights["spring"].minutes["range_in_two"])
