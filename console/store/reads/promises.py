"""How often each service kept its promise, from the days that were judged."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from console.model.attainment import WINDOWS, KeptDay, attainment
from console.model.forecasts import Peak, ToldDay, ToldForecast
from console.model.ids import instant, maybe_instant, micros
from console.model.promises import Agreement, Objective, Promise
from console.model.values import Settings
from console.model.views.services import AttainmentView, PathJobView, PathRunView, TryView
from console.model.words import Timeliness
from console.store.errors import NotFound
from console.store.past_forecasts import peaks
from console.store.reads.base import Base
from console.store.reads.link import Row
from console.store.reads.near import near
from console.store.reads.services import current_bd, days_after, is_end_to_end

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
_TOLD = (
    "SELECT f.service_day_id, f.at_us, f.p_late, f.p50_us, f.p95_us FROM forecast f"
    " JOIN service_day d ON d.id = f.service_day_id WHERE d.bd >= ? ORDER BY f.id"
)
_PATH = (
    "SELECT d.path, d.sources, d.jobs FROM service s JOIN service_day d ON d.service_id = s.id AND d.bd = ?"
    " AND d.submission = ? WHERE s.name = ? AND NOT s.removed"
)
_ATTEMPTS = (
    "SELECT r.job_id, r.id, r.sort_us, r.period_us, r.expected, a.state, a.started_us, a.ended_us, a.action_key"
    " FROM {ids} JOIN run r ON %s LEFT JOIN attempt a ON a.run_id = r.id ORDER BY r.sort_us, a.started_us, a.number"
)
_RUNS = _ATTEMPTS.replace("%s", "r.job_id = k.a AND r.sort_us >= ? AND r.bd = ?")
_OWN = _ATTEMPTS.replace("%s", "r.id = k.a")


class PromiseReads(Base):
    def attainment(self, name: str | None = None) -> list[AttainmentView]:
        """Each service, or the one of that name, by tier and name. Raises NotFound with near misses."""
        now = self.now()
        days: dict[int, list[KeptDay]] = defaultdict(list)
        since = (now - timedelta(days=max(WINDOWS) + 1)).date().isoformat()
        for service_id, *row in self.link.rows(_DAYS, (since,)):
            days[service_id].append(_day(*row))
        rows = self.link.rows(_SERVICES)
        if name is not None and name not in {row[1] for row in rows}:
            raise NotFound(name, near(name, [row[1] for row in rows]), "headway services")
        found = []
        for service_id, service, title, tier, zone, cutoff, promise in rows:
            if name is None or service == name:
                today = current_bd(now, zone, time.fromisoformat(cutoff)) - timedelta(days=days_after(promise))
                kept = attainment(days[service_id], _promise(promise), today, now)
                counted = "submissions" if is_end_to_end(promise) else "days"
                found.append(AttainmentView(service, title or service, tier, kept, counted))
        return found

    def told_days(self, name: str | None = None) -> list[ToldDay]:
        """The days of each service, or of the one of that name, that were delivered or proved late, with what was
        forecast of them in time; the latest quarter of a year, oldest first. Raises NotFound with near misses."""
        now = self.now()
        known = [row[1] for row in self.link.rows(_SERVICES)]
        if name is not None and name not in known:
            raise NotFound(name, near(name, known), "headway services")
        since = (now - FORECASTS_BACK).date().isoformat()
        told: dict[int, list[ToldForecast]] = defaultdict(list)
        for day_id, at, late, p50, p95 in self.link.rows(_TOLD, (since,)):
            told[day_id].append(ToldForecast(instant(at), late, maybe_instant(p50), maybe_instant(p95)))
        return [
            ToldDay(service, instant(deadline), maybe_instant(delivered), tuple(told[day_id]))
            for day_id, service, deadline, delivered in self.link.rows(_OVER, (since, micros(now)))
            if day_id in told and name in (None, service)
        ]

    def told_in_time(self, name: str) -> tuple[float, int, Sequence[Peak]]:
        """What `control.risk.alarm_of` goes by: the service's risk and false-alarm budget by its config, and its days
        that are over. Raises NotFound with near misses."""
        found = self.link.rows("SELECT risk, promise FROM service WHERE name = ? AND NOT removed", (name,))
        if not found:
            raise NotFound(name, near(name, [row[1] for row in self.link.rows(_SERVICES)]), "headway services")
        over = micros(self.now() - Settings().lookback)
        [(risk, promise)] = found
        return float(risk), _promise(promise).false_alarm_days, peaks(self.link.rows, over).get(name, [])

    def path_of(self, name: str, bd: str, submission: str = "") -> list[PathJobView]:
        """The critical path of a service day, first job to last, with the runs of that date and their attempts; empty
        where it was not judged."""
        days = self.link.rows(_PATH, (bd, submission, name))
        if not days:
            return []
        [(path, sources, jobs)] = days
        known = {one["job"]: one for one in json.loads(sources)}
        expected = {one["job"]: instant(one["p50_us"]) for one in json.loads(jobs)}
        job_ids: list[int] = json.loads(path)
        names: dict[int, str] = dict(
            self.link.by_ids("SELECT j.id, j.name FROM {ids} JOIN job j ON j.id = k.a", job_ids)
        )
        own = [one["run"] for one in known.values() if one.get("run")] if submission else []
        runs = self._runs_of(job_ids, bd, own)
        return [
            replace(
                _path_job(names[job_id], known.get(names[job_id], {}), runs.get(job_id, {})),
                job_id=job_id,
                expected=expected.get(job_id),
            )
            for job_id in job_ids
            if job_id in names
        ]

    def _runs_of(self, job_ids: list[int], bd: str, own: list[int]) -> dict[int, dict[int, list[Row]]]:
        """Job -> run -> its rows, one an attempt. `own`: no other runs, of whichever date; empty: all of that date."""
        found: dict[int, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
        first = micros(datetime.combine(date.fromisoformat(bd), time(), UTC) - timedelta(days=2))
        rows = self.link.by_ids(_OWN, own) if own else self.link.by_ids(_RUNS, job_ids, (first, bd))
        for job_id, run_id, *row in rows:
            found[job_id][run_id].append(tuple(row))
        return found


def _path_job(job: str, known: dict[str, Any], runs: dict[int, list[Row]]) -> PathJobView:
    told = [_path_run(rows) for rows in runs.values()]
    return PathJobView(job, known.get("p50_s"), str(known.get("source", "none")), tuple(told))


def _path_run(rows: list[Row]) -> PathRunView:
    sort_us, period_us, expected = rows[0][:3]
    tries = tuple(
        TryView(instant(started), maybe_instant(ended), state, asked is not None)
        for _, _, _, state, started, ended, asked in rows
        if started is not None
    )
    due = maybe_instant(period_us) if expected else None
    return PathRunView(instant(sort_us), due, tries)


def _day(bd: str, deadline: int, promised: int | None, agreed: int | None, delivered: int | None, word: str) -> KeptDay:
    due = instant(deadline)
    return KeptDay(
        date.fromisoformat(bd),
        due,
        maybe_instant(promised) or due,
        maybe_instant(agreed),
        maybe_instant(delivered),
        Timeliness(word),
    )


def _promise(text: str) -> Promise:
    """What of the document attainment goes by."""
    said: dict[str, Any] = json.loads(text)
    slo, sla = said.get("slo"), said.get("sla")
    return Promise(
        slo=None if slo is None else Objective(slo["share"], slo.get("days", 30)),
        sla=None if sla is None else Agreement(sla.get("misses", 0), sla.get("days", 30)),
    )
