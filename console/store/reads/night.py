"""One night, whole: what the timeline shows, and what a past night is replayed from."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from console.model.forecasts import ToldForecast
from console.model.ids import instant, maybe_instant, micros
from console.model.views.night import NightJob, NightRun, NightTry, NightView
from console.store.reads.link import Row
from console.store.reads.services import ServiceReads
from console.store.reads.waiting import roots_awaited

_PATHS = "SELECT service_id, submission, path, sources, jobs FROM service_day WHERE bd = ?"
_TOLD = (
    "SELECT d.service_id, d.submission, f.at_us, f.p_late, f.p50_us, f.p95_us FROM service_day d"
    " JOIN forecast f ON f.service_day_id = d.id WHERE d.bd = ? ORDER BY f.id"
)
_DATES = "SELECT DISTINCT bd FROM service_day WHERE bd <= ? ORDER BY bd DESC LIMIT ?"
_NAMES = "SELECT j.id, j.name FROM {ids} JOIN job j ON j.id = k.a"
_RUNS = (
    "SELECT r.job_id, r.id, r.sort_us, r.period_us, r.state, a.started_us, a.ended_us, a.state"
    " FROM {ids} JOIN run r ON r.job_id = k.a AND r.sort_us >= ? AND r.bd = ? LEFT JOIN attempt a ON a.run_id = r.id"
    " ORDER BY r.sort_us, r.id, a.started_us, a.number"
)
_Day = tuple[int, str]
"""Service and submission, on one business date."""
_Foreseen = dict[int, tuple[datetime, datetime]]
"""Of each job its finish: in half of all cases, in nineteen of twenty."""
DATES = 60
"""Nights that one can go back to."""


class NightReads(ServiceReads):
    def night(self, bd: str | None = None) -> NightView:
        """That business date, else the one that most services are in now. A date without any service day is empty but
        for what config promises."""
        now = self.now()
        current = self.services()
        latest = max((one.bd for one in current), key=[one.bd for one in current].count, default=now.date().isoformat())
        on = bd or latest
        services = current if on == latest and all(one.bd == on for one in current) else self.services(on)
        paths, usual, ahead = self._paths(on)
        known = {place: paths.get((one.id, one.submission), ()) for place, one in enumerate(services)}
        job_ids = sorted({job_id for path in known.values() for job_id in path})
        dates = [row[0] for row in self.link.rows(_DATES, (max(on, latest), DATES))]
        jobs = self._jobs(job_ids, usual, on, on == latest)
        paths_kept = {place: tuple(each for each in path if each in jobs) for place, path in known.items()}
        foreseen = {place: ahead.get((one.id, one.submission), {}) for place, one in enumerate(services)}
        said = self._told_of(on)
        told = {place: tuple(said[one.id, one.submission]) for place, one in enumerate(services)}
        return NightView(on, now, tuple(services), paths_kept, jobs, tuple(reversed(dates)), foreseen, told)

    def _told_of(self, bd: str) -> dict[_Day, list[ToldForecast]]:
        found: dict[_Day, list[ToldForecast]] = defaultdict(list)
        for service_id, submission, at, late, p50, p95 in self.link.rows(_TOLD, (bd,)):
            one = ToldForecast(instant(at), late, maybe_instant(p50), maybe_instant(p95))
            found[service_id, submission].append(one)
        return found

    def _paths(self, bd: str) -> tuple[dict[_Day, tuple[int, ...]], dict[str, dict[str, Any]], dict[_Day, _Foreseen]]:
        """Service day -> its path; name of a job -> what is known of how long it takes; service day -> what its
        forecast says of its jobs."""
        paths: dict[_Day, tuple[int, ...]] = {}
        usual: dict[str, dict[str, Any]] = {}
        ahead: dict[_Day, _Foreseen] = {}
        for service_id, submission, path, sources, jobs in self.link.rows(_PATHS, (bd,)):
            paths[service_id, submission] = tuple(json.loads(path))
            usual |= {one["job"]: one for one in json.loads(sources)}
            told = json.loads(jobs)
            ahead[service_id, submission] = {
                one["job"]: (instant(one["p50_us"]), instant(one["p95_us"])) for one in told
            }
        return paths, usual, ahead

    def _jobs(
        self, job_ids: list[int], usual: dict[str, dict[str, Any]], bd: str, is_present: bool
    ) -> dict[int, NightJob]:
        names: dict[int, str] = dict(
            self.link.by_ids("SELECT j.id, j.name FROM {ids} JOIN job j ON j.id = k.a", job_ids)
        )
        first = micros(datetime.combine(date.fromisoformat(bd), time(), UTC) - timedelta(days=2))
        awaited = roots_awaited(self.link, job_ids) if is_present else {}
        rows: dict[int, list[Row]] = defaultdict(list)
        for job_id, *row in self.link.by_ids(_RUNS, job_ids, (first, bd)):
            rows[job_id].append(tuple(row))
        found = {}
        for job_id, name in names.items():
            said = usual.get(name, {})
            runs = tuple(_runs(rows[job_id]))
            found[job_id] = NightJob(
                job_id,
                name,
                said.get("p50_s"),
                said.get("p95_s", said.get("p90_s")),
                said.get("source", "none"),
                runs,
                awaited.get(job_id, ""),
            )
        return found


def _runs(rows: Iterable[Row]) -> list[NightRun]:
    """One run for the rows of its attempts."""
    by_run: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_run[row[0]].append(row)
    found = []
    for run_id, those in by_run.items():
        _, sort_us, period_us, state = those[0][:4]
        tries = [
            NightTry(instant(began), maybe_instant(ended), said)
            for *_, began, ended, said in those
            if began is not None
        ]
        found.append(NightRun(run_id, instant(sort_us), maybe_instant(period_us), state, tuple(tries)))
    return found
