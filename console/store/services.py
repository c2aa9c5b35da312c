"""Services as rows: service days as judged, forecasts recorded for scoring, extended deadlines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from datetime import date
from itertools import zip_longest
from typing import Any

from connectors.sdk.records import instant_key
from console.domain.decision import ServiceDayVerdict
from console.domain.estate import LastVerdict
from console.domain.forecast import JobForecast
from console.domain.history import DurationEstimate
from console.domain.ids import MAX_AHEAD, instant, micros, optional_micros, utc_minute
from console.domain.reason import reasons_text
from console.domain.request import RequestKind
from console.domain.service import MAX_LEAD, UNMET_PROMISE, Timeliness
from console.domain.stored import as_json, stored_text
from console.store.audit import ChangeOrigin
from console.store.db.database import Database
from console.store.db.session import Row, Session, Values, WriteSession
from console.store.events import record_event
from console.store.meta import next_changed_seq
from console.store.row_values import parse_reasons

_FORECAST = ("service_day_id", "at_us", "p_late", "p_own", "p50_us", "p80_us", "p90_us", "p95_us")
RECORD_EVERY_US = 30 * 60 * 1_000_000
"""How often a forecast without much change is recorded."""
MAX_FORECASTS = 1_000_000
"""Forecasts of all services; the oldest are deleted."""
MIN_CHANGE = 0.05
"""A P(late) that differs by this much is recorded at once."""
_LATEST_FORECASTS = (
    "SELECT d.service_id, d.business_date, d.id, f.at_us, f.p_late FROM {keys} JOIN service_day d"
    " ON d.service_id = k.a AND d.business_date = k.b LEFT JOIN forecast f ON f.id"
    " = (SELECT MAX(x.id) FROM forecast x WHERE x.service_day_id = d.id)"
)


def write_days(
    session: WriteSession,
    days: Sequence[ServiceDayVerdict],
    written: Mapping[str, int],
    seq: Callable[[], int],
    now_us: int,
) -> None:
    """`written`: key -> id of the incidents that this evaluation wrote. `seq`: the number of this change."""
    if not days:
        return
    services = service_ids(session, (day.service for day in days))
    keys = {day.incident_key for day in days} - written.keys() - {None}
    query = "SELECT i.key, i.id FROM {keys} JOIN incident i ON i.key = k.a WHERE i.closed_us IS NULL"
    incidents: dict[str, int] = {**dict(session.by_keys(query, sorted(filter(None, keys)))), **written}
    names = _names(session, days)
    rows: dict[DayKey, dict[str, Any]] = {}
    own: dict[DayKey, float | None] = {}
    for day in days:
        service_id = services.get(day.service)
        if service_id is not None:
            key = (service_id, day.business_date.isoformat())
            rows[key] = _day(service_id, incidents.get(day.incident_key or ""), day, names)
            own[key] = day.p_own
    if not rows:
        return
    columns = tuple(next(iter(rows.values())))
    query = (
        f"SELECT d.id, {', '.join(f'd.{name}' for name in columns)} FROM {{keys}} JOIN service_day d"  # noqa: S608
        " ON d.service_id = k.a AND d.business_date = k.b"
    )
    stored = {(row.service_id, row.business_date): row for row in session.by_keys(query, list(rows))}
    new: list[Values] = []
    changed: list[Values] = []
    for key, row in rows.items():
        known, values = stored.get(key), tuple(row.values())
        if known is None:
            new.append((*values, seq()))
        elif any(getattr(known, name) != value for name, value in row.items()) and not (
            row["timeliness"] == _NO_PROMISE and known.delivered_us is not None
        ):
            changed.append((known.id, *values, seq()))  # a date that a calendar leaves out once delivered stays
    session.insert("service_day", (*columns, "changed_seq"), new)
    session.update("service_day", ("id", *columns, "changed_seq"), changed)
    _record_forecasts(session, rows, own, now_us)


def service_ids(session: Session, names: Iterable[str]) -> dict[str, int]:
    return dict(session.by_keys("SELECT s.name, s.id FROM {keys} JOIN service s ON s.name = k.a", sorted(set(names))))


_NO_PROMISE = Timeliness.NO_PROMISE.value
DayKey = tuple[int, str]
"""Service and business date."""


def _record_forecasts(
    session: WriteSession, days: Mapping[DayKey, Mapping[str, Any]], own: Mapping[DayKey, float | None], now_us: int
) -> None:
    open_days = [key for key, day in days.items() if day["p_late"] is not None and now_us < day["deadline_us"]]
    forecasts: list[Values] = []
    for row in session.by_keys(_LATEST_FORECASTS, open_days):
        key = (row.service_id, row.business_date)
        day, late = days[key], days[key]["p_late"]
        if row.p_late is None or abs(late - row.p_late) >= MIN_CHANGE or now_us - row.at_us >= RECORD_EVERY_US:
            finish = (day[name] for name in ("expected_us", "p80_us", "late_us", "p95_us"))
            forecasts.append((row.id, now_us, late, own[key], *finish))
    session.insert("forecast", _FORECAST, forecasts)
    if forecasts:
        session.rows("DELETE FROM forecast WHERE id <= (SELECT MAX(id) FROM forecast) - ?", (MAX_FORECASTS,))


_ENDANGERED = (Timeliness.AT_RISK.value, Timeliness.WILL_MISS.value)
_DAY = (
    "SELECT d.id, s.name, d.business_date, d.timeliness, d.deadline_us, d.incident_id, i.id AS cause_id,"
    " s.removed FROM {source} JOIN service s ON s.id = d.service_id"
    " LEFT JOIN incident i ON i.id = d.incident_id AND i.cause <> ?"
)
_ALL_DAYS = (
    f"{_DAY.format(source='service_day d')} WHERE d.business_date >= ? AND d.deadline_us >= ?"
    " AND d.timeliness IN ('at_risk', 'will_miss')"
)
_THESE_DAYS = _DAY.format(source="{keys} JOIN service_day d ON d.id = k.a")


class LastVerdicts:
    """Cached last verdict on each service day in danger with a deadline in the lookback. Only
    changed days are read, and days with a changed incident."""

    def __init__(self) -> None:
        self._seq = -1
        self._config: object = None
        self._since_us = 0
        self._days: dict[int, Row] = {}
        self.by_day: Mapping[tuple[str, date], LastVerdict] = {}
        """By service and business date. Replaced, never changed."""

    def refresh(self, session: Session, seq: int, config: object, since_us: int, incidents: Set[int]) -> None:
        """`seq`: `changed_seq` of the store; `config`: the services are the same while it is; `incidents`: those that
        changed since the last refresh."""
        before = self._days
        if self._seq < 0 or config != self._config or since_us < self._since_us:
            oldest = (instant(since_us) - MAX_LEAD).date().isoformat()
            rows, self._days = session.rows(_ALL_DAYS, (UNMET_PROMISE, oldest, since_us)), {}
        else:
            query = "SELECT id FROM service_day WHERE changed_seq > ?"
            read = [row.id for row in session.rows(query, (self._seq,))] if seq != self._seq else []
            read += [number for number, row in before.items() if row.incident_id in incidents] if incidents else []
            rows = session.by_keys(_THESE_DAYS, read, (UNMET_PROMISE,))
            expired = since_us != self._since_us and any(row.deadline_us < since_us for row in before.values())
            self._days = dict(before) if rows or expired else before
        for row in rows:
            self._days[row.id] = row
        self._seq, self._config, self._since_us = seq, config, since_us
        if self._days is not before:
            self._days = {number: row for number, row in self._days.items() if _is_endangered(row, since_us)}
            self.by_day = dict(map(_last_verdict, self._days.values()))


def _is_endangered(row: Row, since_us: int) -> bool:
    return row.timeliness in _ENDANGERED and row.deadline_us >= since_us and not row.removed


def _last_verdict(row: Row) -> tuple[tuple[str, date], LastVerdict]:
    verdict = LastVerdict(Timeliness(row.timeliness), row.cause_id is not None)
    return (row.name, date.fromisoformat(row.business_date)), verdict


def _names(session: WriteSession, days: Sequence[ServiceDayVerdict]) -> dict[int, str]:
    ids = {estimate.job_id for day in days for estimate in day.sources}
    return dict(session.by_keys("SELECT j.id, j.name FROM {keys} JOIN job j ON j.id = k.a", sorted(ids)))


def _day(service_id: int, incident_id: int | None, day: ServiceDayVerdict, names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "service_id": service_id, "business_date": day.business_date.isoformat(), "deadline_us": micros(day.deadline),
        "timeliness": day.timeliness.value, "data_state": day.data_state,
        "delivered_us": optional_micros(day.delivered_at), "expected_us": optional_micros(day.expected_at),
        "late_us": optional_micros(day.late_at), "p95_us": optional_micros(day.p95_at),
        "p80_us": optional_micros(day.p80_at), "p_late": day.p_late, "critical": json.dumps(day.critical),
        "nights": day.nights, "act_by_us": optional_micros(day.act_by), "green_by_us": optional_micros(day.green_by),
        "incident_id": incident_id, "cause": day.cause, "sources": json.dumps(list(_sources(day, names))),
        "path": json.dumps(list(day.path)), "reasons": stored_text(day.reasons),
        "promised_us": micros(day.promised or day.deadline),
        "agreed_us": optional_micros(day.agreed), "extension": day.extension,
        "awaits": json.dumps(day.awaits),
        "jobs": json.dumps([_job_forecast(forecast) for forecast in day.jobs]), "distrust": day.distrust,
    }  # fmt: skip


def _job_forecast(job: JobForecast) -> dict[str, object]:
    times = {f"{name}_us": optional_micros(getattr(job, name)) for name in ("p50", "p80", "p95", "act_by", "green_by")}
    risk = {"late": job.late, "decides": job.decides, "slack_s": job.slack_s, "basis": as_json(job.basis)}
    return {"job": job.job_id, **risk, **times}


def _sources(day: ServiceDayVerdict, names: Mapping[int, str]) -> Iterator[dict[str, object]]:
    for estimate, start in zip_longest(day.sources, day.starts[: len(day.sources)]):
        yield {**_estimate(estimate, names), **({"due": instant_key(start)} if start is not None else {})}


def _estimate(estimate: DurationEstimate, names: Mapping[int, str]) -> dict[str, object]:
    return {
        "job": names.get(estimate.job_id, str(estimate.job_id)),
        "source": estimate.source,
        "runs": estimate.runs,
        "p50_s": None if estimate.p50 is None else estimate.p50.total_seconds(),
        "p90_s": None if estimate.p90 is None else estimate.p90.total_seconds(),
        "p95_s": None if estimate.takes is None else estimate.takes.p95.total_seconds(),
    }


_SELECT_DAY = (
    "SELECT s.id AS service_id, d.id, d.promised_us, d.deadline_us, d.incident_id, d.timeliness, d.reasons FROM"
    " service s LEFT JOIN service_day d ON d.service_id = s.id AND d.business_date = ?"
    " WHERE s.name = ? AND NOT s.removed"
)


def extend_deadline(
    store: Database, fence: int, day: tuple[str, str], until_us: int | None, change: ChangeOrigin
) -> str:
    """Extends the deadline of that service and business date until then; None revokes the extension. Returns the reason
    for refusal; empty on success. Audited, and recorded in the timeline of the incident that affects it."""
    service, business_date = day
    with store.write(fence, durable=True) as session:
        rows = session.rows(_SELECT_DAY, (business_date, service))
        if not rows:
            return f'there is no service "{service}"; headway service lists them'
        [row] = rows
        if row.id is None:
            return (
                f"{service} has no promise on {business_date}: nothing of it is due that date, or it was not judged yet"
            )
        if row.timeliness == Timeliness.NO_PROMISE.value:
            return f"{service} has {reasons_text(parse_reasons(row.reasons), utc_minute)}"
        promised_us = row.promised_us or row.deadline_us
        if until_us is not None and until_us > micros(instant(change.now_us) + MAX_AHEAD):
            return (
                f"that is more than {MAX_AHEAD.days} days ahead: check the year, or change the deadline in the config"
            )
        if until_us is not None and until_us <= promised_us:
            return f"that is no more time: {service} is due later already on {business_date}"
        session.rows(
            "INSERT INTO extension (service_id, business_date, until_us, by, why, at_us) VALUES (?, ?, ?, ?, ?, ?)",
            (row.service_id, business_date, until_us or 0, change.by, change.why, change.now_us),
        )
        next_changed_seq(session)
        verb = RequestKind.EXTEND if until_us is not None else "revoke extension of"
        detail = {"business_date": business_date, "promised_us": promised_us, "until_us": until_us}
        change.audit(session, verb, service, detail)
        if row.incident_id is not None:
            text = f"{verb} {service} for {business_date}{change.why and f': {change.why}'}"
            record_event(session, change.now_us, "extended", text, incident_id=row.incident_id, actor=change.by)
    return ""
