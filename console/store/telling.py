"""What was told, held back and said of open incidents: rows into values, and decisions into rows."""

from __future__ import annotations

import json
from collections import defaultdict

from console.model.alerting import AckFacts, HeldFacts, Shift, SilenceFacts, Telling, ToldFacts
from console.model.decisions import HeldNotice, IncidentDecision
from console.model.ids import instant, maybe_instant, maybe_micros
from console.store.wire import Wire

# ruff: noqa: S608  (the statements are made of our own words; every value is bound)
CAME_BACK = "it came back before that could be said"
_LATELY = "(SELECT id FROM incident WHERE closed_us IS NULL UNION SELECT id FROM incident WHERE closed_us >= ?)"
_PART_OF = (
    "WITH RECURSIVE up (id) AS (SELECT x.incident_id UNION"
    " SELECT m.merged_into FROM incident m JOIN up ON m.id = up.id WHERE m.merged_into IS NOT NULL) SELECT id FROM up"
)
"""The incident that an alert is about, and those that it is a part of by now."""
_TOLD = (
    "SELECT a.incident_id, a.route, a.words, a.fingerprint, a.first_us, a.last_us, a.times,"
    " (SELECT max(x.let_us) FROM alert x WHERE x.made_us = a.last_us AND x.route = a.route"
    f" AND a.incident_id IN ({_PART_OF})) FROM alert_told a"
    f" WHERE a.incident_id IN {_LATELY} ORDER BY a.incident_id, a.route, a.words"
)
_HELD = (
    "SELECT h.incident_id, h.route, h.words, h.kind, h.stage, h.why, h.since_us, h.until_us FROM alert_held h"
    " JOIN incident i ON i.id = h.incident_id WHERE h.ended_us IS NULL AND i.closed_us IS NULL ORDER BY h.id"
)
_ACKS = (
    "SELECT a.incident_id, a.made_by, a.until_us, a.why, a.made_us, a.ended_us FROM incident i JOIN acknowledgement a"
    " ON a.id = (SELECT max(x.id) FROM acknowledgement x WHERE x.incident_id = i.id) WHERE i.closed_us IS NULL"
)


def telling(lines: Wire, now_us: int, closed_since_us: int) -> Telling:
    """Of the incidents that are open, or that closed since then and may be reopened; and the silences not over."""
    return Telling(_told(lines, closed_since_us), _held(lines), _acks(lines), _silences(lines, now_us), _shifts(lines))


def _told(lines: Wire, closed_since_us: int) -> dict[int, tuple[ToldFacts, ...]]:
    found: dict[int, list[ToldFacts]] = defaultdict(list)
    for number, route, words, fingerprint, first, last, times, let in lines.rows(_TOLD, (closed_since_us,)):
        until = instant(let) if let and let > last else None
        found[number].append(ToldFacts(route, words, fingerprint, instant(first), instant(last), times, until))
    return {number: tuple(facts) for number, facts in found.items()}


def _held(lines: Wire) -> dict[int, tuple[HeldFacts, ...]]:
    found: dict[int, list[HeldFacts]] = defaultdict(list)
    for number, route, words, kind, stage, why, since, until in lines.rows(_HELD):
        found[number].append(HeldFacts(route, words, kind, stage, why, instant(since), maybe_instant(until)))
    return {number: tuple(facts) for number, facts in found.items()}


def _acks(lines: Wire) -> dict[int, AckFacts]:
    return {
        number: AckFacts(by, instant(until), why, instant(made))
        for number, by, until, why, made, ended in lines.rows(_ACKS)
        if ended is None
    }


def _silences(lines: Wire, now_us: int) -> tuple[SilenceFacts, ...]:
    rows = lines.rows(
        "SELECT id, matchers, from_us, until_us, made_by, why FROM silence WHERE until_us > ? AND ended_us IS NULL"
        " ORDER BY id",
        (now_us,),
    )
    return tuple(
        SilenceFacts(number, tuple(sorted(json.loads(matchers).items())), instant(begins), instant(until), by, why)
        for number, matchers, begins, until, by, why in rows
    )


def _shifts(lines: Wire) -> dict[str, tuple[Shift, ...]]:
    return {
        name: tuple(Shift(person, instant(begins), instant(ends)) for person, begins, ends in json.loads(shifts))
        for name, shifts in lines.rows("SELECT name, shifts FROM rota ORDER BY name")
    }


def write_told(lines: Wire, incident_id: int, decision: IncidentDecision, now_us: int) -> None:
    """That each of its notices was told, in the transaction that makes its alert. Where it is open again, the time that
    a route has before it is escalated begins anew."""
    if decision.reopened:
        lines.rows("UPDATE alert_told SET first_us = ? WHERE incident_id = ?", (now_us, incident_id))
    for one in decision.notices:
        lines.rows(
            "INSERT INTO alert_told (incident_id, route, words, fingerprint, first_us, last_us, times)"
            " VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT (incident_id, route, words) DO UPDATE SET"
            " fingerprint = excluded.fingerprint, last_us = excluded.last_us, times = alert_told.times + 1",
            (incident_id, one.route, one.words, one.fingerprint, now_us, now_us),
        )


def take_over(lines: Wire, merged: int, into: int) -> None:
    """Who was told of an incident that turned out to be a part of another was told of that, since then."""
    lines.rows(
        "INSERT INTO alert_told (incident_id, route, words, fingerprint, first_us, last_us, times)"
        " SELECT ?, route, words, fingerprint, first_us, last_us, times FROM alert_told WHERE incident_id = ?"
        " ON CONFLICT (incident_id, route, words) DO NOTHING",
        (into, merged),
    )


def write_held(lines: Wire, incident_id: int, one: IncidentDecision, now_us: int) -> bool:
    """What is held back now, and why; what is not any more is ended. A stage holds it since it began to without a
    break, whatever it says meanwhile. True where anything changed."""
    rows = lines.rows(
        "SELECT id, since_us, route, words, kind, stage, why, until_us FROM alert_held"
        " WHERE incident_id = ? AND ended_us IS NULL",
        (incident_id,),
    )
    stored = {tuple(row[2:]): row[0] for row in rows}
    since = {(route, words, stage): begun for _, begun, route, words, _, stage, *_ in rows}
    wanted = {_row(held): held for held in one.held}
    reasons = {(fact.route, fact.words): why for fact, why in one.dropped if why}
    told = {(notice.route, notice.words) for notice in one.notices}
    for row, number in stored.items():
        if row not in wanted:
            why = "told" if row[:2] in told else reasons.get(row[:2], "")
            lines.rows("UPDATE alert_held SET ended_us = ?, ended_why = ? WHERE id = ?", (now_us, why, number))
    for row, held in wanted.items():
        if row not in stored:
            begun = since.get((held.route, held.words, held.stage), now_us)
            ended = maybe_micros(held.until) if one.closed else None
            lines.rows(
                "INSERT INTO alert_held (incident_id, route, words, kind, stage, why, until_us, since_us, ended_us,"
                " ended_why) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (incident_id, *row, begun, ended, "told" if one.closed else ""),
            )
    return wanted.keys() != stored.keys()


def let_go(lines: Wire, incident_id: int, why: str, now_us: int) -> None:
    """Of an incident that another tells from now on nothing is held back any more."""
    lines.rows(
        "UPDATE alert_held SET ended_us = ?, ended_why = ? WHERE incident_id = ? AND ended_us IS NULL",
        (now_us, why, incident_id),
    )


def take_back(lines: Wire, incident_id: int, now_us: int) -> list[str]:
    """Of an incident that is open again: that it was over is told to nobody who was to hear it later. The routes."""
    put_off = "alert_id IN (SELECT id FROM alert WHERE incident_id = ? AND NOT waits AND let_us > ?)"
    rows = lines.rows(
        f"UPDATE delivery SET state = 'dropped', error = ? WHERE state = 'pending' AND tries = 0 AND next_us > ?"
        f" AND {put_off} RETURNING alert_id",
        (CAME_BACK, now_us, incident_id, now_us),
    )
    lines.rows(
        "UPDATE alert_held SET ended_us = ?, ended_why = ? WHERE incident_id = ? AND ended_us > ?",
        (now_us, CAME_BACK, incident_id, now_us),
    )
    alerts = sorted({row[0] for row in rows})
    return sorted({lines.rows("SELECT route FROM alert WHERE id = ?", (one,))[0][0] for one in alerts})


def _row(held: HeldNotice) -> tuple[object, ...]:
    return held.route, held.words, held.kind.value, held.stage, held.why, maybe_micros(held.until)
