"""Service days as they are judged, into rows; and now and then what was forecast of them, to be scored later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import zip_longest
from typing import Any

from console.model.decisions import Estimate, ServiceDayVerdict
from console.model.forecasts import JobAhead
from console.model.ids import instant, maybe_micros, micros
from console.model.promises import BEFORE_DEADLINE, instance_name, service_of
from console.model.values import Stood
from console.model.words import UNDELIVERED, Timeliness
from console.store.wire import Row, Wire

_DAY = (
    "service_id", "bd", "deadline_us", "timeliness", "data_state", "delivered_us", "expected_us", "late_us",
    "p95_us", "p80_us", "p_late", "critical", "nights", "act_by_us", "green_by_us", "incident_id", "cause", "sources",
    "path", "reason", "promised_us", "agreed_us", "extension", "instance", "submission", "awaits", "jobs", "distrust",
)  # fmt: skip
_FORECAST = ("service_day_id", "at_us", "p_late", "p_own", "p50_us", "p80_us", "p90_us", "p95_us")
KEPT_EVERY_US = 30 * 60 * 1_000_000
"""A forecast that did not change much is kept so often."""
MOST_KEPT = 1_000_000
"""Forecasts, of all services: the oldest go."""
MUCH = 0.05
"""A P(late) that is another by so much is kept at once."""
_LATEST = (
    "SELECT d.service_id, d.bd, d.submission, d.id, d.peak_late, f.at_us, f.p_late FROM {keys} JOIN service_day d"
    " ON d.service_id = k.a AND d.bd = k.b AND d.submission = k.c"
    " LEFT JOIN forecast f ON f.id = (SELECT MAX(x.id) FROM forecast x WHERE x.service_day_id = d.id)"
)


def write_days(
    lines: Wire, days: Sequence[ServiceDayVerdict], written: Mapping[str, int], seq: Callable[[], int], now_us: int
) -> None:
    """`written`: key -> id of the incidents that this evaluation decided on. `seq`: the number of this change."""
    if not days:
        return
    services: dict[str, int] = dict(lines.rows("SELECT name, id FROM service"))
    incidents: dict[str, int] = dict(lines.rows("SELECT key, id FROM incident WHERE closed_us IS NULL"))
    incidents |= written
    names = _names(lines, days)
    judged = ((services.get(service_of(one.service) if one.instance else one.service), one) for one in days)
    named = [(service_id, one) for service_id, one in judged if service_id is not None]
    rows = [_day(service_id, incidents.get(one.incident_key or ""), one, names) for service_id, one in named]
    query = f"SELECT d.id, {', '.join(f'd.{name}' for name in _DAY)} FROM {{keys}}"  # noqa: S608  (our own names)
    query += " JOIN service_day d ON d.service_id = k.a AND d.bd = k.b AND d.submission = k.c"
    stored = {_day_key(row[1:]): row for row in lines.by_keys(query, "itt", [_day_key(row) for row in rows])}
    new = [(*row, seq()) for row in rows if _day_key(row) not in stored]
    changed = [
        (known[0], *row, seq())
        for row in rows
        if (known := stored.get(_day_key(row))) is not None and tuple(known[1:]) != row and not _unsays(known[1:], row)
    ]
    lines.insert("service_day", (*_DAY, "changed_seq"), new)
    lines.update("service_day", ("id", *_DAY, "changed_seq"), changed)
    _keep(lines, rows, {_day_key(row): one.p_own for row, (_, one) in zip(rows, named, strict=True)}, now_us)


def _keep(lines: Wire, rows: Iterable[Sequence[Any]], own: Mapping[tuple[Any, ...], float | None], now_us: int) -> None:
    """What is forecast of these days before their deadlines: what is new, and the rest every half hour. `own`: the
    simulation's own P(late), by day."""
    named = (dict(zip(_DAY, row, strict=True)) for row in rows)
    told = {
        (one["service_id"], one["bd"], one["submission"]): one
        for one in named
        if one["p_late"] is not None and now_us < one["deadline_us"]
    }
    kept: list[Row] = []
    peaks: list[Row] = []
    for *key, day_id, peak, at_us, known in lines.by_keys(_LATEST, "itt", list(told)):
        one = told[tuple(key)]
        late = one["p_late"]
        if peak is None or late > peak:
            peaks.append((day_id, late))
        if known is None or abs(late - known) >= MUCH or now_us - at_us >= KEPT_EVERY_US:
            finish = (one[name] for name in ("expected_us", "p80_us", "late_us", "p95_us"))
            kept.append((day_id, now_us, late, own[tuple(key)], *finish))
    lines.insert("forecast", _FORECAST, kept)
    if kept:
        lines.rows("DELETE FROM forecast WHERE id <= (SELECT MAX(id) FROM forecast) - ?", (MOST_KEPT,))
    lines.update("service_day", ("id", "peak_late"), peaks)


def stood(lines: Wire, since_us: int) -> dict[tuple[str, date], Stood]:
    """How each service day in danger was judged last, of those whose deadline was not over at `since_us`; submissions
    by their own names."""
    rows = lines.rows(
        "SELECT s.name, d.instance, d.bd, d.timeliness, i.id FROM service_day d"
        " JOIN service s ON s.id = d.service_id LEFT JOIN incident i ON i.id = d.incident_id AND i.rule <> ?"
        " WHERE d.bd >= ? AND d.deadline_us >= ?"
        " AND d.timeliness IN ('at_risk', 'will_miss') AND NOT s.removed",
        (UNDELIVERED, (instant(since_us) - BEFORE_DEADLINE).date().isoformat(), since_us),
    )
    return {
        (instance_name(name, instance) if instance else name, date.fromisoformat(bd)): Stood(
            Timeliness(said), incident is not None
        )
        for name, instance, bd, said, incident in rows
    }


def _unsays(known: Sequence[Any], row: Sequence[Any]) -> bool:
    """True for a date that its calendar leaves out only since it was delivered: that was promised, and stays."""
    said = row[_DAY.index("timeliness")], known[_DAY.index("delivered_us")]
    return said[0] == Timeliness.NO_PROMISE.value and said[1] is not None


def _day_key(row: Sequence[Any]) -> tuple[Any, ...]:
    """Service, business date and submission of a row in the order of _DAY."""
    return row[0], row[1], row[_DAY.index("submission")]


def _names(lines: Wire, days: Sequence[ServiceDayVerdict]) -> dict[int, str]:
    ids = {estimate.job_id for day in days for estimate in day.sources}
    return dict(lines.by_keys("SELECT j.id, j.name FROM {keys} JOIN job j ON j.id = k.a", "i", sorted(ids)))


def _day(service_id: int, incident_id: int | None, one: ServiceDayVerdict, names: Mapping[int, str]) -> Row:
    return (
        service_id,
        one.bd.isoformat(),
        micros(one.deadline),
        one.timeliness.value,
        one.data_state,
        maybe_micros(one.delivered_at),
        maybe_micros(one.expected_at),
        maybe_micros(one.late_at),
        maybe_micros(one.p95_at),
        maybe_micros(one.p80_at),
        one.p_late,
        json.dumps(one.critical),
        one.nights,
        maybe_micros(one.act_by),
        maybe_micros(one.green_by),
        incident_id,
        one.cause,
        json.dumps(list(_sources(one, names))),
        json.dumps(list(one.path)),
        one.reason,
        micros(one.promised or one.deadline),
        maybe_micros(one.agreed),
        one.extension,
        one.instance,
        one.submission,
        json.dumps(one.awaits),
        json.dumps([_ahead(each) for each in one.jobs]),
        one.distrust,
    )


def _ahead(one: JobAhead) -> dict[str, object]:
    times = {f"{name}_us": maybe_micros(getattr(one, name)) for name in ("p50", "p80", "p95", "act_by", "green_by")}
    said = {"late": one.late, "decides": one.decides, "slack_s": one.slack_s, "source": one.source}
    return {"job": one.job_id, **said, **times}


def _sources(one: ServiceDayVerdict, names: Mapping[int, str]) -> Iterator[dict[str, object]]:
    """Of each job of its critical path, with the run where that is known."""
    for each, run in zip_longest(one.sources, one.runs):
        yield {**_estimate(each, names), **({"run": run} if run else {})}


def _estimate(one: Estimate, names: Mapping[int, str]) -> dict[str, object]:
    return {
        "job": names.get(one.job_id, str(one.job_id)),
        "source": one.source,
        "runs": one.runs,
        "p50_s": None if one.p50 is None else one.p50.total_seconds(),
        "p90_s": None if one.p90 is None else one.p90.total_seconds(),
        "p95_s": None if one.takes is None else one.takes.p95.total_seconds(),
    }
