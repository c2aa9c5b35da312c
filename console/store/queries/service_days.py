"""Service days beyond now: one night as a timeline, job forecasts, attainment and past forecasts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from console.domain.estate import EvaluationSettings
from console.domain.forecast import ForecastDay, JobForecastView, PeakForecast, PublishedForecast
from console.domain.ids import instant, micros, optional_instant
from console.domain.promise import (
    WINDOWS,
    AttainmentDay,
    AttainmentView,
    Promise,
    ServiceAgreement,
    ServiceObjective,
    attainment,
)
from console.domain.service import MAX_LEAD, Timeliness, instance_name
from console.domain.timeline import (
    TimelineAttempt,
    TimelineJob,
    TimelineRun,
    TimelineView,
)
from console.store.db.session import Row
from console.store.errors import NotFound
from console.store.forecasts import peak_forecasts
from console.store.queries.base import ReadStore, to_view
from console.store.queries.dependencies import roots_awaited
from console.store.queries.services import ServiceQueries, current_business_date, days_after, is_end_to_end
from console.text.suggestions import suggest_names

_SELECT_JOB_FORECASTS = (
    "SELECT s.name, s.title, s.zone, d.bd, d.deadline_us, d.instance, d.jobs FROM service s"
    " JOIN service_day d ON d.service_id = s.id WHERE NOT s.removed AND d.jobs <> '[]' AND d.bd >= ?"
)

_PATHS = "SELECT service_id, submission, path, sources, jobs FROM service_day WHERE bd = ?"
_SELECT_PUBLISHED = (
    "SELECT d.service_id, d.submission, f.at_us, f.p_late, f.p50_us, f.p95_us FROM service_day d"
    " JOIN forecast f ON f.service_day_id = d.id WHERE d.bd = ? ORDER BY f.id"
)
_DATES = "SELECT DISTINCT bd FROM service_day WHERE bd <= ? ORDER BY bd DESC LIMIT ?"
_SELECT_JOB_NAMES = "SELECT j.id, j.name FROM {keys} JOIN job j ON j.id = k.a"
_Day = tuple[int, str]
"""Service and submission, on one business date."""
_Foreseen = dict[int, tuple[datetime, datetime]]
"""Of each job its finish: in half of all cases, in nineteen of twenty."""
MAX_DATES = 60
"""Nights that one can go back to."""

_SERVICES = "SELECT id, name, title, tier, zone, cutoff, promise FROM service WHERE NOT removed ORDER BY tier, name"
_DAYS = (
    "SELECT d.service_id, d.bd, d.deadline_us, d.promised_us, d.agreed_us, d.delivered_us, d.timeliness"
    " FROM service s JOIN service_day d ON d.service_id = s.id AND d.bd > ? WHERE NOT s.removed"
    " AND d.timeliness <> 'no_promise' ORDER BY d.bd"
)

FORECASTS_BACK = timedelta(days=90)
_OVER = (
    "SELECT d.id, s.name, d.deadline_us, d.delivered_us FROM service_day d JOIN service s ON s.id = d.service_id"
    " WHERE d.bd >= ? AND NOT s.removed AND (d.deadline_us <= ? OR d.delivered_us IS NOT NULL)"
    " AND d.timeliness IN ('met', 'met_late', 'breached') ORDER BY d.bd, d.id"
)
_SELECT_FORECASTS = (
    "SELECT f.service_day_id, f.at_us, f.p_late, f.p50_us, f.p95_us FROM forecast f"
    " JOIN service_day d ON d.id = f.service_day_id WHERE d.bd >= ? ORDER BY f.id"
)
_PATH = (
    "SELECT d.path, d.sources, d.jobs FROM service s JOIN service_day d ON d.service_id = s.id AND d.bd = ?"
    " AND d.submission = ? WHERE s.name = ? AND NOT s.removed"
)
_ATTEMPTS = (
    "SELECT r.job_id, r.id, r.sort_us, {due} AS due_us, r.state AS run_state, a.started_us, a.ended_us, a.state,"
    " a.action_key IS NOT NULL AS requested FROM {{keys}} JOIN run r ON {where} LEFT JOIN attempt a ON a.run_id = r.id"
    " ORDER BY r.sort_us, r.id, a.started_us, a.number"
)
_ON_DATE = "r.job_id = k.a AND r.sort_us >= ? AND r.bd = ?"
_DEMANDED = "CASE WHEN r.expected THEN r.period_us END"
_SELECT_NIGHT_RUNS = _ATTEMPTS.format(due="r.period_us", where=_ON_DATE)
_SELECT_RUNS = _ATTEMPTS.format(due=_DEMANDED, where=_ON_DATE)
_OWN = _ATTEMPTS.format(due=_DEMANDED, where="r.id = k.a")


class ServiceDayQueries:
    """Service days with their timeline, forecasts and attainment."""

    def __init__(self, store: ReadStore, services: ServiceQueries) -> None:
        self.store = store
        self.link = store.link
        self.services = services

    def job_forecasts(self, service: str, business_date: str, submission: str = "") -> list[JobForecastView]:
        """The jobs of a service day that run or wait and matter most, upstreams first; empty where it is not
        simulated."""
        query = f"{_SELECT_JOB_FORECASTS} AND d.bd = ? AND s.name = ? AND d.submission = ?"
        return self._ahead(self.link.rows(query, (business_date, business_date, service, submission)))

    def forecasts_of_job(self, job_id: int) -> list[JobForecastView]:
        """One job, in each service day that waits for it, the soonest due first."""
        since = (self.store.now() - MAX_LEAD).date().isoformat()
        rows = self.link.rows(f"{_SELECT_JOB_FORECASTS} AND d.jobs LIKE ?", (since, f'%"job": {int(job_id)},%'))
        return sorted(self._ahead(rows, job_id), key=lambda one: (one.deadline, one.service))

    def _ahead(self, rows: Iterable[Row], only: int | None = None) -> list[JobForecastView]:
        found = [(row, told) for row in rows for told in json.loads(row[-1]) if only in (None, told["job"])]
        ids = sorted({told["job"] for _, told in found})
        names: dict[int, str] = dict(self.link.by_keys("SELECT j.id, j.name FROM {keys} JOIN job j ON j.id = k.a", ids))
        return list(_job_forecasts(found, names))

    def timeline(self, business_date: str | None = None) -> TimelineView:
        """That business date, else the one that most services are in now. A date without any service day is empty but
        for what config promises."""
        now = self.store.now()
        current = self.services.list_services()
        latest = max(
            (one.business_date for one in current),
            key=[one.business_date for one in current].count,
            default=now.date().isoformat(),
        )
        on = business_date or latest
        services = (
            current
            if on == latest and all(one.business_date == on for one in current)
            else self.services.list_services(on)
        )
        paths, usual, ahead = self._paths(on)
        known = {place: paths.get((one.id, one.submission), ()) for place, one in enumerate(services)}
        job_ids = sorted({job_id for path in known.values() for job_id in path})
        dates = [row[0] for row in self.link.rows(_DATES, (max(on, latest), MAX_DATES))]
        jobs = self._jobs(job_ids, usual, on, on == latest)
        paths_kept = {place: tuple(each for each in path if each in jobs) for place, path in known.items()}
        foreseen = {place: ahead.get((one.id, one.submission), {}) for place, one in enumerate(services)}
        said = self._told_of(on)
        told = {place: tuple(said[one.id, one.submission]) for place, one in enumerate(services)}
        return TimelineView(on, now, tuple(services), paths_kept, jobs, tuple(reversed(dates)), foreseen, told)

    def _told_of(self, business_date: str) -> dict[_Day, list[PublishedForecast]]:
        found: dict[_Day, list[PublishedForecast]] = defaultdict(list)
        for service_id, submission, at, late, p50, p95 in self.link.rows(_SELECT_PUBLISHED, (business_date,)):
            one = PublishedForecast(instant(at), late, optional_instant(p50), optional_instant(p95))
            found[service_id, submission].append(one)
        return found

    def _paths(
        self, business_date: str
    ) -> tuple[dict[_Day, tuple[int, ...]], dict[str, dict[str, Any]], dict[_Day, _Foreseen]]:
        """Service day -> its path; name of a job -> what is known of how long it takes; service day -> what its
        forecast says of its jobs."""
        paths: dict[_Day, tuple[int, ...]] = {}
        usual: dict[str, dict[str, Any]] = {}
        ahead: dict[_Day, _Foreseen] = {}
        for service_id, submission, path, sources, jobs in self.link.rows(_PATHS, (business_date,)):
            paths[service_id, submission] = tuple(json.loads(path))
            usual |= {one["job"]: one for one in json.loads(sources)}
            told = json.loads(jobs)
            ahead[service_id, submission] = {
                one["job"]: (instant(one["p50_us"]), instant(one["p95_us"])) for one in told
            }
        return paths, usual, ahead

    def _jobs(
        self, job_ids: list[int], usual: dict[str, dict[str, Any]], business_date: str, is_present: bool
    ) -> dict[int, TimelineJob]:
        names: dict[int, str] = dict(
            self.link.by_keys("SELECT j.id, j.name FROM {keys} JOIN job j ON j.id = k.a", job_ids)
        )
        awaited = roots_awaited(self.link, job_ids) if is_present else {}
        rows = self.link.by_keys(_SELECT_NIGHT_RUNS, job_ids, (_earliest_start(business_date), business_date))
        runs = _runs_by_job(rows)
        return {
            job_id: _timeline_job(job_id, name, usual.get(name, {}), runs[job_id], awaited.get(job_id, ""))
            for job_id, name in names.items()
        }

    def service_attainment(self, name: str | None = None) -> list[AttainmentView]:
        """Each service, or the one of that name, by tier and name. Raises NotFound with near misses."""
        now = self.store.now()
        days: dict[int, list[AttainmentDay]] = defaultdict(list)
        since = (now - timedelta(days=max(WINDOWS) + 1)).date().isoformat()
        for service_id, *row in self.link.rows(_DAYS, (since,)):
            days[service_id].append(_day(*row))
        rows = self.link.rows(_SERVICES)
        if name is not None and name not in {row[1] for row in rows}:
            raise NotFound(name, suggest_names(name, [row[1] for row in rows]), "headway service")
        found = []
        for service_id, service, title, tier, zone, cutoff, promise in rows:
            if name is None or service == name:
                today = current_business_date(now, zone, time.fromisoformat(cutoff)) - timedelta(
                    days=days_after(promise)
                )
                kept = attainment(days[service_id], _promise(promise), today, now)
                counted = "submissions" if is_end_to_end(promise) else "days"
                found.append(AttainmentView(service, title or service, tier, kept, counted))
        return found

    def past_forecasts(self, name: str | None = None) -> list[ForecastDay]:
        """The days of each service, or of the one of that name, that were delivered or proved late, with what was
        forecast of them in time; the latest quarter of a year, oldest first. Raises NotFound with near misses."""
        now = self.store.now()
        known = [row[1] for row in self.link.rows(_SERVICES)]
        if name is not None and name not in known:
            raise NotFound(name, suggest_names(name, known), "headway service")
        since = (now - FORECASTS_BACK).date().isoformat()
        told: dict[int, list[PublishedForecast]] = defaultdict(list)
        for day_id, at, late, p50, p95 in self.link.rows(_SELECT_FORECASTS, (since,)):
            told[day_id].append(PublishedForecast(instant(at), late, optional_instant(p50), optional_instant(p95)))
        return [
            ForecastDay(service, instant(deadline), optional_instant(delivered), tuple(told[day_id]))
            for day_id, service, deadline, delivered in self.link.rows(_OVER, (since, micros(now)))
            if day_id in told and name in (None, service)
        ]

    def alarm_facts(self, name: str) -> tuple[float, int, Sequence[PeakForecast]]:
        """What `control.risk.alarm_of` goes by: the service's risk and false-alarm budget by its config, and its days
        that are over. Raises NotFound with near misses."""
        found = self.link.rows("SELECT risk, promise FROM service WHERE name = ? AND NOT removed", (name,))
        if not found:
            raise NotFound(name, suggest_names(name, [row[1] for row in self.link.rows(_SERVICES)]), "headway service")
        over = micros(self.store.now() - EvaluationSettings().lookback)
        [(risk, promise)] = found
        return float(risk), _promise(promise).false_alarm_days, peak_forecasts(self.link, over).get(name, [])

    def critical_path(self, name: str, business_date: str, submission: str = "") -> list[TimelineJob]:
        """The critical path of a service day, first job to last, with the runs of that date and their attempts; empty
        where it was not judged."""
        days = self.link.rows(_PATH, (business_date, submission, name))
        if not days:
            return []
        [(path, sources, jobs)] = days
        known = {one["job"]: one for one in json.loads(sources)}
        expected = {one["job"]: instant(one["p50_us"]) for one in json.loads(jobs)}
        job_ids: list[int] = json.loads(path)
        names: dict[int, str] = dict(
            self.link.by_keys("SELECT j.id, j.name FROM {keys} JOIN job j ON j.id = k.a", job_ids)
        )
        own = [one["run"] for one in known.values() if one.get("run")] if submission else []
        since = (_earliest_start(business_date), business_date)
        rows = self.link.by_keys(_OWN, own) if own else self.link.by_keys(_SELECT_RUNS, job_ids, since)
        runs = _runs_by_job(rows)
        return [
            _timeline_job(
                job_id, names[job_id], known.get(names[job_id], {}), runs[job_id], expected=expected.get(job_id)
            )
            for job_id in job_ids
            if job_id in names
        ]


def _job_forecasts(found: Iterable[tuple[Row, dict[str, Any]]], names: dict[int, str]) -> Iterator[JobForecastView]:
    for (name, title, zone, business_date, deadline_us, instance, _), told in found:
        if told["job"] not in names:
            continue
        own = title or name
        yield JobForecastView(
            service=instance_name(own, instance) if instance else own,
            name=name,
            business_date=business_date,
            zone=zone,
            deadline=instant(deadline_us),
            job=names[told["job"]],
            p_late=told["late"],
            decides=told["decides"],
            p50=instant(told["p50_us"]),
            p80=instant(told["p80_us"]),
            p95=instant(told["p95_us"]),
            slack_s=told["slack_s"],
            act_by=optional_instant(told["act_by_us"]),
            green_by=optional_instant(told["green_by_us"]),
            source=told["source"],
        )


def _earliest_start(business_date: str) -> int:
    return micros(datetime.combine(date.fromisoformat(business_date), time(), UTC) - timedelta(days=2))


def _runs_by_job(rows: Iterable[Row]) -> dict[int, list[TimelineRun]]:
    """One run for the rows of its attempts."""
    by_run: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_run[row.id].append(row)
    runs: dict[int, list[TimelineRun]] = defaultdict(list)
    for run_id, attempts in by_run.items():
        run = attempts[0]
        tries = tuple(to_view(TimelineAttempt, row) for row in attempts if row.started_us is not None)
        due = optional_instant(run.due_us)
        runs[run.job_id].append(TimelineRun(run_id, instant(run.sort_us), due, run.run_state, tries))
    return runs


def _timeline_job(
    job_id: int,
    name: str,
    usual: dict[str, Any],
    runs: Iterable[TimelineRun],
    waits_for: str = "",
    expected: datetime | None = None,
) -> TimelineJob:
    late = usual.get("p95_s", usual.get("p90_s"))
    source = usual.get("source", "none")
    return TimelineJob(job_id, name, usual.get("p50_s"), late, source, tuple(runs), waits_for, expected)


def _day(
    business_date: str, deadline: int, promised: int | None, agreed: int | None, delivered: int | None, word: str
) -> AttainmentDay:
    due = instant(deadline)
    return AttainmentDay(
        date.fromisoformat(business_date),
        due,
        optional_instant(promised) or due,
        optional_instant(agreed),
        optional_instant(delivered),
        Timeliness(word),
    )


def _promise(text: str) -> Promise:
    """What of the document attainment goes by."""
    said: dict[str, Any] = json.loads(text)
    slo, sla = said.get("slo"), said.get("sla")
    return Promise(
        slo=None if slo is None else ServiceObjective(slo["share"], slo.get("days", 30)),
        sla=None if sla is None else ServiceAgreement(sla.get("misses", 0), sla.get("days", 30)),
    )
