"""Holds into rows, with the actions that place, end or start them, as `control.holds` decided."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from console.clean import clean
from console.model.decisions import HoldDecision, NewAction
from console.model.holding import hold_end
from console.model.holds import HoldFacts
from console.model.ids import maybe_micros, micros
from console.model.words import HoldState, Mode
from console.store import audit, permissions, told
from console.store.asked import ActionStep, move_action
from console.store.keys import pack
from console.store.questions import table
from console.store.told import Audience, Need
from console.store.wire import Row, Wire

BY = "headway"
WORDS_LIMIT = 500
_TOLD = (
    "upstream_id", "kind", "mode", "held_by", "why", "until_us", "bd", "state", "due_us", "period_key", "placed_us",
    "released_us", "ended_us", "release_key", "start_key", "words",
)  # fmt: skip
_INCIDENT = (
    "(SELECT MIN(i.id) FROM incident_member m JOIN incident i ON i.id = m.incident_id"
    " WHERE m.job_id = ? AND m.period_key = ? AND i.closed_us IS NULL)"
)
EVENT = f"INSERT INTO event (at_us, kind, words, incident_id, job_id, actor) VALUES (?, 'hold', ?, {_INCIDENT}, ?, ?)"
_ACTION = (
    "INSERT INTO action (key, verb, job_id, run_id, incident_id, state, preview, parameters, origin, requested_by,"
    " requested_from, why, overlap, needs_approval, approved_by, requested_us, native_ref, words, next_us, looked_up,"
    f" changed_seq) VALUES (?, ?, ?, (SELECT id FROM run WHERE job_id = ? AND period_key = ?), {_INCIDENT},"
    " 'requested', '{}', ?, ?, ?, '', ?, ?, ?, '', ?, '', '', 0, 0, 0) ON CONFLICT (key) DO NOTHING RETURNING key"
)


def write_holds(
    connection: Connection,
    lines: Wire,
    seq: Callable[[], int],
    now_us: int,
    decisions: Sequence[HoldDecision],
    audience: Audience = told.NOBODY,
) -> None:
    """Each decision whose hold still stands as the decision saw it; one that a person moved meanwhile is left alone."""
    _adopt(lines, seq, now_us)
    for one in decisions:
        if _has_left(lines, one.withdraws) or not _written(lines, seq, one):
            continue
        if one.withdraws:
            over = ActionStep("refused", one.hold.words, ended=True)
            move_action(connection, one.withdraws, "requested", over, now_us)
        if one.action is not None:
            _ask(connection, lines, one.action, now_us)
        if one.event:
            _tell(lines, now_us, one.event, one.hold)
        if one.tells:
            _call_a_person(lines, audience, one, now_us)


def _has_left(lines: Wire, key: str) -> bool:
    """True where what was to be withdrawn was taken up meanwhile: the next evaluation sees that."""
    return bool(key) and bool(lines.rows("SELECT 1 FROM action WHERE key = ? AND state <> 'requested'", (key,)))


# ruff: noqa: S608  (the statements are made of our own words; every value is bound)
_MEANT = (
    "a.state NOT IN ('refused', 'failed') AND NOT (a.state = 'requested' AND a.needs_approval AND a.approved_by = '')"
)
"""What only waits for somebody's approval takes nothing over: the policy goes on until it is approved."""
_ASKED = (
    "SELECT a.key, a.job_id, a.requested_by, a.why, a.parameters FROM action a LEFT JOIN hold h ON h.key = a.key"
    " WHERE a.requested_us >= ? AND a.verb = 'hold' AND h.key IS NULL AND " + _MEANT
)
_LET_GO = (
    "SELECT a.key, a.job_id, a.parameters FROM action a WHERE a.requested_us >= ? AND a.verb = 'release'"
    " AND a.origin <> 'hold' AND NOT EXISTS (SELECT 1 FROM hold h WHERE h.release_key = a.key) AND " + _MEANT
)
_LATELY_US = timedelta(days=2) // timedelta(microseconds=1)


def asked_keys(lines: Wire, now_us: int) -> set[str]:
    """Of holds that somebody asked for, or asked to let go, and that the next evaluation adopts: their mark may be
    seen, or missed, before that."""
    return {row[0] for row, _ in _asked(lines, now_us)} | {hold for _, _, hold in _let_go(lines, now_us)}


def _asked(lines: Wire, now_us: int) -> Iterator[tuple[Row, datetime]]:
    """Each with its end. One without is left out: its connector refuses it; were it placed all the same, the next look
    finds the mark."""
    for row in lines.rows(_ASKED, (now_us - _LATELY_US,)):
        until = hold_end(table(row[4]))
        if until is not None:
            yield row, until


def _let_go(lines: Wire, now_us: int) -> list[tuple[str, int, str]]:
    """Each release with its job and the hold that it ends."""
    rows = lines.rows(_LET_GO, (now_us - _LATELY_US,))
    return [(key, job_id, str(table(parameters).get("hold", ""))) for key, job_id, parameters in rows]


def _adopt(lines: Wire, seq: Callable[[], int], now_us: int) -> None:
    """What people asked for becomes theirs: the hold that an action places, the release of a hold that stands."""
    for (key, job_id, by, why, _), until in _asked(lines, now_us):
        hold = HoldFacts(
            key=key, job_id=job_id, upstream_id=None, bd=None, kind="person", mode=Mode.HOLD, state=HoldState.PLACING,
            held_by=by, why=why, until=until, due_at=None, period_key="", words=f"by {by}",
        )  # fmt: skip
        _written(lines, seq, HoldDecision(hold, None))
    for key, job_id, wanted in _let_go(lines, now_us):
        theirs = "SELECT 1 FROM hold WHERE key = ? AND job_id = ? AND state IN ('held', 'found')"
        if lines.rows(theirs, (wanted, job_id)):
            lines.rows(
                "UPDATE hold SET state = 'releasing', release_key = ?, changed_seq = ? WHERE key = ?",
                (key, seq(), wanted),
            )


def _written(lines: Wire, seq: Callable[[], int], one: HoldDecision) -> bool:
    told = _told(one.hold)
    if one.was is None:
        columns, marks = ", ".join(_TOLD), ", ".join("?" * len(_TOLD))
        return bool(
            lines.rows(
                f"INSERT INTO hold (key, job_id, {columns}, changed_seq) VALUES (?, ?, {marks}, ?)"
                " ON CONFLICT (key) DO NOTHING RETURNING key",
                (one.hold.key, one.hold.job_id, *told, seq()),
            )
        )
    settings = ", ".join(f"{name} = ?" for name in _TOLD)
    return bool(
        lines.rows(
            f"UPDATE hold SET {settings}, changed_seq = ? WHERE key = ? AND state = ? RETURNING key",
            (*told, seq(), one.hold.key, one.was.value),
        )
    )


def _told(hold: HoldFacts) -> Row:
    return (
        hold.upstream_id, hold.kind, hold.mode.value, hold.held_by, clean(hold.why, WORDS_LIMIT), micros(hold.until),
        hold.bd.isoformat() if hold.bd else "", hold.state.value, maybe_micros(hold.due_at), pack(hold.period_key),
        maybe_micros(hold.placed_at), maybe_micros(hold.released_at), maybe_micros(hold.ended_at), hold.release_key,
        hold.start_key, clean(hold.words, WORDS_LIMIT),
    )  # fmt: skip


def _ask(connection: Connection, lines: Wire, action: NewAction, now_us: int) -> None:
    """Its row; nothing where the same was asked for before."""
    period = pack(action.period_key)
    made = lines.rows(
        _ACTION,
        (
            action.key, action.verb.value, action.job_id, action.job_id, period, action.job_id, period,
            json.dumps(dict(action.parameters)), action.origin, BY, clean(action.why, WORDS_LIMIT), action.overlap,
            False, now_us,
        ),
    )  # fmt: skip
    if made:
        [(job,)] = lines.rows("SELECT name FROM job WHERE id = ?", (action.job_id,))
        detail = {"key": action.key, "as": action.origin, "parameters": dict(action.parameters)}
        audit.append(connection, now_us, BY, audit.FROM_ENGINE, f"request {action.verb}", job, detail, action.why)


def _call_a_person(lines: Wire, audience: Audience, one: HoldDecision, now_us: int) -> None:
    """That its job stays held: to whom the release belongs."""
    hold = one.hold
    [(job, incident_id)] = lines.rows(
        "SELECT j.name, a.incident_id FROM job j LEFT JOIN action a ON a.key = ? WHERE j.id = ?",
        (hold.release_key, hold.job_id),
    )
    subject = permissions.subject_of_job(lines.rows, hold.job_id)
    below = ", ".join(f"{name} (tier {tier})" for name, tier in subject.services)
    ways = (
        f"Services that wait for it: {below or 'none'}",
        "It is asked again, after pauses that double up to an hour.",
        f"Ask at once, when that is mended: headway release {hold.key}",
        "See all holds, with their marks: headway holds",
    )
    about = f"{job}, held by {hold.held_by} (hold {hold.key})"
    need = Need(hold.release_key or hold.key, "a hold cannot be let go", about, one.tells, ways, BY, incident_id,
                hold.job_id, "What it keeps back does not start until then.")  # fmt: skip
    told.tell(lines, audience, need, now_us)


def _tell(lines: Wire, now_us: int, words: str, hold: HoldFacts) -> None:
    period = pack(hold.period_key)
    lines.rows(EVENT, (now_us, clean(words, WORDS_LIMIT), hold.job_id, period, hold.job_id, BY))
