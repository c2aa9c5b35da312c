"""Service days beyond the current status: timeline of a night, job forecasts, attainment, past forecasts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from console.domain.forecast import ForecastDay, JobForecastView, PublishedForecast
from console.domain.history import EstimateBasis
from console.domain.ids import instant, micros, optional_instant
from console.domain.plan import ENDED_BADLY
from console.domain.promise import (
    WINDOWS,
    AttainmentDay,
    AttainmentView,
    Promise,
    ServiceAgreement,
    ServiceObjective,
    attainment,
)
from console.domain.service import MAX_LEAD, ServiceView, Timeliness
from console.domain.stored import from_json
from console.domain.timeline import TimelineAttempt, TimelineJob, TimelineRun, TimelineView
from console.store.db.session import Row
from console.store.errors import NotFound
from console.store.queries.base import ContextQueries, ReadStore, run_visibility
from console.store.queries.dependencies import roots_awaited
from console.store.queries.jobs import JobQueries
from console.store.queries.services import ServiceQueries, current_business_date, days_after
from console.store.row_values import from_row
from console.text.suggestions import suggest_names

_SELECT_JOB_FORECASTS = (
    "SELECT s.name, s.title, s.zone, d.business_date, d.deadline_us, d.jobs, d.cause, d.act_by_us,"
    " d.green_by_us FROM service s JOIN service_day d ON d.service_id = s.id"
    " WHERE NOT s.removed AND d.jobs <> '[]' AND d.business_date >= ?"
)

_PATHS = (
    "SELECT d.service_id, d.path, d.sources, d.jobs FROM {keys}"
    " JOIN service_day d ON d.service_id = k.a WHERE d.business_date = ?"
)
_SELECT_PUBLISHED = (
    "SELECT d.service_id, f.at_us, f.p_late, f.p50_us, f.p95_us FROM service_day d"
    " JOIN forecast f ON f.service_day_id = d.id WHERE d.business_date = ? ORDER BY f.id"
)
_DATES = "SELECT DISTINCT business_date FROM service_day WHERE business_date <= ? ORDER BY business_date DESC LIMIT ?"
_Foreseen = dict[int, tuple[datetime, datetime]]
"""Job -> p50 and p95 of its finish."""
MAX_DATES = 60
"""Nights shown at most."""

_SERVICES = "SELECT id, name, title, tier, zone, cutoff, promise FROM service WHERE NOT removed ORDER BY tier, name"
_DAYS = (
    "SELECT d.service_id, d.business_date, d.deadline_us, d.promised_us, d.agreed_us, d.delivered_us, d.timeliness"
    " FROM service s JOIN service_day d ON d.service_id = s.id AND d.business_date > ? WHERE NOT s.removed"
    " AND d.timeliness <> 'no_promise' ORDER BY d.business_date"
)

FORECASTS_BACK = timedelta(days=90)
_OVER = (
    "SELECT d.id, s.name, d.deadline_us, d.delivered_us FROM service_day d JOIN service s ON s.id = d.service_id"
    " WHERE d.business_date >= ? AND NOT s.removed AND (d.deadline_us <= ? OR d.delivered_us IS NOT NULL)"
    " AND d.timeliness IN ('met', 'met_late', 'breached') ORDER BY d.business_date, d.id"
)
_SELECT_FORECASTS = (
    "SELECT f.service_day_id, f.at_us, f.p_late, f.p50_us, f.p95_us FROM forecast f"
    " JOIN service_day d ON d.id = f.service_day_id WHERE d.business_date >= ? ORDER BY f.id"
)
_PATH = (
    "SELECT d.path, d.sources, d.jobs FROM service s JOIN service_day d ON d.service_id = s.id AND d.business_date = ?"
    " WHERE s.name = ? AND NOT s.removed"
)
_ATTEMPTS = (
    "SELECT r.job_id, r.id, r.sort_us, {due} AS due_us, r.state AS run_state, a.started_us, a.ended_us, a.state,"
    " a.action_key IS NOT NULL AS requested, j.target_id, r.period_name FROM {{keys}} JOIN run r ON {where}"
    " JOIN job j ON j.id = r.job_id LEFT JOIN attempt a ON a.run_id = r.id"
    " ORDER BY r.sort_us, r.id, a.started_us, a.number"
)
_ON_DATE = "r.job_id = k.a AND r.sort_us >= ? AND r.business_date = ?"
_DEMANDED = "CASE WHEN r.expected THEN r.period_us END"
_SELECT_NIGHT_RUNS = _ATTEMPTS.format(due="r.period_us", where=_ON_DATE)
_SELECT_RUNS = _ATTEMPTS.format(due=_DEMANDED, where=_ON_DATE)

# ruff: noqa: S608  (only our own states)
_FAILED_STATES = ", ".join(f"'{state}'" for state in sorted(ENDED_BADLY))
_FAILED = (
    "SELECT l.job_id AS id, r.business_date FROM {keys} JOIN latest_run l ON l.job_id = k.a"
    f" JOIN run r ON r.id = l.run_id WHERE r.state IN ({_FAILED_STATES})"
)


class ServiceDayQueries(ContextQueries):
    def __init__(self, store: ReadStore, services: ServiceQueries, jobs: JobQueries) -> None:
        super().__init__(store)
        self.services, self.jobs = services, jobs

    def job_forecasts(self, service: str, business_date: str) -> list[JobForecastView]:
        """The most important running or waiting jobs of a service day, upstreams first; empty if not simulated."""
        query = f"{_SELECT_JOB_FORECASTS} AND d.business_date = ? AND s.name = ?"
        return self._ahead(self.link.rows(query, (business_date, business_date, service)))

    def forecasts_of_job(self, job_id: int) -> list[JobForecastView]:
        """One job in each service day that waits for it, the soonest due first."""
        since = (self.store.now() - MAX_LEAD).date().isoformat()
        rows = self.link.rows(f"{_SELECT_JOB_FORECASTS} AND d.jobs LIKE ?", (since, f'%"job": {int(job_id)},%'))
        return sorted(self._ahead(rows, job_id), key=lambda forecast: (forecast.deadline, forecast.title))

    def _ahead(self, rows: Iterable[Row], only: int | None = None) -> list[JobForecastView]:
        forecasts = [(row, job) for row in rows for job in json.loads(row.jobs) if only in (None, job["job"])]
        names = self.job_names(job["job"] for _, job in forecasts)
        failed = {(row.id, row.business_date) for row in self.link.by_keys(_FAILED, sorted(names))}
        views = []
        for row, job in forecasts:
            if job["job"] in names:
                name = names[job["job"]]
                has_failed = (job["job"], row.business_date) in failed
                if name == row.cause and job["act_by_us"] is None:  # to be restarted: the times of its service day
                    job |= {"act_by_us": row.act_by_us, "green_by_us": row.green_by_us}
                views.append(
                    from_row(
                        JobForecastView,
                        row,
                        title=row.title or row.name,
                        job=name,
                        p_late=job["late"],
                        decides=job["decides"],
                        p50=instant(job["p50_us"]),
                        p80=instant(job["p80_us"]),
                        p95=instant(job["p95_us"]),
                        slack_s=None if has_failed else job["slack_s"],
                        act_by=optional_instant(job["act_by_us"]),
                        green_by=optional_instant(job["green_by_us"]),
                        basis=from_json(EstimateBasis, job.get("basis")),
                        has_failed=has_failed,
                    )
                )
        return views

    def timeline(self, business_date: str | None = None) -> TimelineView:
        """That business date, else the current one of most services. A date without service days only has the services
        of the config."""
        now = self.store.now()
        services = self.services.list_services()
        current = [service.business_date for service in services]
        latest = max(current, key=current.count, default=now.date().isoformat())
        date_shown = business_date or latest
        if date_shown != latest or set(current) - {date_shown}:
            services = self.services.list_services(date_shown)
        published: dict[int, list[PublishedForecast]] = defaultdict(list)
        for row in self.link.rows(_SELECT_PUBLISHED, (date_shown,)):
            published[row.service_id].append(_published(row))
        night = self.timeline_of(services, date_shown, date_shown == latest)
        dates = [row.business_date for row in self.link.rows(_DATES, (max(date_shown, latest), MAX_DATES))]
        by_place = {place: tuple(published[service.id]) for place, service in enumerate(services)}
        return replace(night, dates=tuple(reversed(dates)), published=by_place)

    def timeline_of(self, services: Sequence[ServiceView], business_date: str, is_present: bool = True) -> TimelineView:
        """These services on that business date, without other dates and published forecasts."""
        paths: dict[int, list[int]] = {}
        estimates: dict[str, dict[str, Any]] = {}
        foreseen: dict[int, _Foreseen] = {}
        ids = [service.id for service in services]
        for row in self.link.by_keys(_PATHS, sorted(set(ids)), (business_date,)):
            paths[row.service_id] = json.loads(row.path)
            estimates |= {source["job"]: source for source in json.loads(row.sources)}
            ends = {job["job"]: (instant(job["p50_us"]), instant(job["p95_us"])) for job in json.loads(row.jobs)}
            foreseen[row.service_id] = ends
        job_ids = sorted({job_id for service_id in ids for job_id in paths.get(service_id, ())})
        jobs = self._jobs(job_ids, estimates, business_date, is_present)
        return TimelineView(
            business_date,
            self.store.now(),
            tuple(services),
            {place: tuple(job for job in paths.get(key, ()) if job in jobs) for place, key in enumerate(ids)},
            jobs,
            (business_date,),
            {place: foreseen.get(key, {}) for place, key in enumerate(ids)},
        )

    def _jobs(
        self, job_ids: list[int], estimates: dict[str, dict[str, Any]], business_date: str, is_present: bool
    ) -> dict[int, TimelineJob]:
        awaited = roots_awaited(self.link, job_ids) if is_present else {}
        next_starts = {row.id: row.next for row in self.jobs.jobs_by_ids(job_ids)} if is_present else {}
        rows = self.link.by_keys(_SELECT_NIGHT_RUNS, job_ids, (_first_us(business_date), business_date))
        runs = self._runs_by_job(rows)
        jobs = {
            job_id: _timeline_job(job_id, name, estimates.get(name, {}), runs[job_id])
            for job_id, name in self.job_names(job_ids).items()
        }
        return {
            job_id: replace(job, waits_for=awaited.get(job_id, ""), next_start=next_starts.get(job_id))
            for job_id, job in jobs.items()
        }

    def service_attainment(self, name: str | None = None) -> list[AttainmentView]:
        """Each service, or the one with that name, by tier and name. Raises NotFound with similar names."""
        now = self.store.now()
        days: dict[int, list[AttainmentDay]] = defaultdict(list)
        since = (now - timedelta(days=max(WINDOWS) + 1)).date().isoformat()
        for row in self.link.rows(_DAYS, (since,)):
            due = instant(row.deadline_us)
            days[row.service_id].append(
                AttainmentDay(
                    date.fromisoformat(row.business_date), due, optional_instant(row.promised_us) or due,
                    optional_instant(row.agreed_us), optional_instant(row.delivered_us), Timeliness(row.timeliness),
                )
            )  # fmt: skip
        views = []
        for row in self._known_services(name):
            if name in (None, row.name):
                today = current_business_date(now, row.zone, time.fromisoformat(row.cutoff))
                today -= timedelta(days=days_after(row.promise))
                windows = attainment(days[row.id], _promise(row.promise), today, now)
                views.append(AttainmentView(row.name, row.title or row.name, row.tier, windows, tuple(days[row.id])))
        return views

    def _known_services(self, name: str | None) -> list[Row]:
        """All services. Raises NotFound if none has that name."""
        rows = self.link.rows(_SERVICES)
        names = [row.name for row in rows]
        if name is not None and name not in names:
            raise NotFound(name, suggest_names(name, names), "headway service")
        return rows

    def past_forecasts(self, name: str | None = None) -> list[ForecastDay]:
        """The delivered or late days of each service, or the one with that name, with their forecasts; the latest
        quarter of a year, oldest first. Raises NotFound with similar names."""
        now = self.store.now()
        self._known_services(name)
        since = (now - FORECASTS_BACK).date().isoformat()
        published: dict[int, list[PublishedForecast]] = defaultdict(list)
        for row in self.link.rows(_SELECT_FORECASTS, (since,)):
            published[row.service_day_id].append(_published(row))
        return [
            ForecastDay(
                row.name, instant(row.deadline_us), optional_instant(row.delivered_us), tuple(published[row.id])
            )
            for row in self.link.rows(_OVER, (since, micros(now)))
            if row.id in published and name in (None, row.name)
        ]

    def critical_path(self, name: str, business_date: str) -> list[TimelineJob]:
        """The critical path of a service day, first job to last, with the runs of that date; empty before its first
        evaluation."""
        day = self.link.first(_PATH, (business_date, name))
        if day is None:
            return []
        estimates = {source["job"]: source for source in json.loads(day.sources)}
        expected = {job["job"]: instant(job["p50_us"]) for job in json.loads(day.jobs)}
        job_ids: list[int] = json.loads(day.path)
        names = self.job_names(job_ids)
        since = (_first_us(business_date), business_date)
        runs = self._runs_by_job(self.link.by_keys(_SELECT_RUNS, job_ids, since))
        return [
            replace(
                _timeline_job(job_id, names[job_id], estimates.get(names[job_id], {}), runs[job_id]),
                expected=expected.get(job_id),
            )
            for job_id in job_ids
            if job_id in names
        ]

    def _runs_by_job(self, rows: Iterable[Row]) -> dict[int, list[TimelineRun]]:
        """One run for the rows of its attempts, unknown while its target is not seen; due when its clock starts it,
        also by a changed schedule."""
        stale = self.store.stale_targets()

        def shown(state: str, row: Row) -> str:
            return run_visibility(state, "", row.target_id, stale).state

        by_run: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            by_run[row.id].append(row)
        changed = self.changed_schedules(attempts[0].job_id for attempts in by_run.values())
        runs: dict[int, list[TimelineRun]] = defaultdict(list)
        for run_id, attempts in by_run.items():
            run = attempts[0]
            begun = (row for row in attempts if row.started_us is not None)
            tries = tuple(from_row(TimelineAttempt, row, state=shown(row.state, row)) for row in begun)
            at, due = instant(run.sort_us), optional_instant(run.due_us)
            if due is not None and run.job_id in changed:
                at = due = changed[run.job_id].start(due)
            runs[run.job_id].append(TimelineRun(run_id, at, due, shown(run.run_state, run), tries, run.period_name))
        return runs


def _timeline_job(job_id: int, name: str, estimate: dict[str, Any], runs: Iterable[TimelineRun]) -> TimelineJob:
    p95_s = estimate.get("p95_s", estimate.get("p90_s"))
    source = estimate.get("source", "none")
    due = datetime.fromisoformat(estimate["due"]) if "due" in estimate else None
    return TimelineJob(job_id, name, estimate.get("p50_s"), p95_s, source, tuple(runs), due=due)


def _first_us(business_date: str) -> int:
    return micros(datetime.combine(date.fromisoformat(business_date), time(), UTC) - timedelta(days=2))


def _published(row: Row) -> PublishedForecast:
    return PublishedForecast(instant(row.at_us), row.p_late, optional_instant(row.p50_us), optional_instant(row.p95_us))


def _promise(text: str) -> Promise:
    document: dict[str, Any] = json.loads(text)
    slo, sla = document.get("slo"), document.get("sla")
    return Promise(
        slo=None if slo is None else ServiceObjective(slo["share"], slo.get("days", 30)),
        sla=None if sla is None else ServiceAgreement(sla.get("misses", 0), sla.get("days", 30)),
    )
