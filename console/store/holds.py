"""Holds into rows, with the actions that place, end or start them: what `control.holds` decided, and what a look at a
source found.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from connectors.contract import NativeHold
from console.clean import clean, clean_line
from console.model.decisions import HoldDecision, NewAction
from console.model.ids import maybe_micros, micros
from console.model.values import HoldFacts, HoldState, Mode
from console.store import audit
from console.store.keys import pack
from console.store.open import Store, next_changed_seq
from console.store.wire import Row, Wire, wire

BY = "headway"
WORDS_LIMIT = 500
_TOLD = (
    "bd", "state", "due_us", "period_key", "placed_us", "released_us", "ended_us", "release_key", "start_key", "words",
)  # fmt: skip
_WHOLE = ("key", "job_id", "upstream_id", "kind", "mode", "held_by", "why", "until_us", *_TOLD, "changed_seq")
_INCIDENT = (
    "(SELECT MIN(i.id) FROM incident_member m JOIN incident i ON i.id = m.incident_id"
    " WHERE m.job_id = ? AND m.period_key = ? AND i.closed_us IS NULL)"
)
_EVENT = f"INSERT INTO event (at_us, kind, words, incident_id, job_id, actor) VALUES (?, 'hold', ?, {_INCIDENT}, ?, ?)"
_ACTION = (
    "INSERT INTO action (key, verb, job_id, run_id, incident_id, state, preview, parameters, origin, requested_by,"
    " requested_from, why, overlap, needs_approval, approved_by, requested_us, native_ref, words, next_us, looked_up,"
    f" changed_seq) VALUES (?, ?, ?, (SELECT id FROM run WHERE job_id = ? AND period_key = ?), {_INCIDENT},"
    " 'requested', '{}', ?, ?, ?, '', ?, ?, ?, '', ?, '', '', 0, 0, 0) ON CONFLICT (key) DO NOTHING RETURNING key"
)


def write_holds(
    connection: Connection, lines: Wire, seq: Callable[[], int], now_us: int, decisions: Sequence[HoldDecision]
) -> None:
    """Each decision whose hold still stands as the decision saw it; one that a person moved meanwhile is left alone."""
    _adopt(lines, seq, now_us)
    for one in decisions:
        if not _written(lines, seq, one):
            continue
        if one.withdraws:
            lines.rows(
                "UPDATE action SET state = 'refused', words = ?, ended_us = ? WHERE key = ? AND state = 'requested'",
                (one.hold.words, now_us, one.withdraws),
            )
        if one.action is not None:
            _ask(connection, lines, one.action, now_us)
        if one.event:
            _tell(lines, now_us, one.event, one.hold)


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
LATELY = timedelta(days=2)


def _adopt(lines: Wire, seq: Callable[[], int], now_us: int) -> None:
    """What people asked for becomes theirs: the hold that an action places, the release of a hold that stands."""
    since = now_us - LATELY // timedelta(microseconds=1)
    for key, job_id, by, why, parameters in lines.rows(_ASKED, (since,)):
        until = _until(parameters)
        if until is None:
            continue  # its connector refuses it; were it placed all the same, the next look finds the mark
        hold = HoldFacts(
            key=key, job_id=job_id, upstream_id=None, bd=None, kind="person", mode=Mode.HOLD, state=HoldState.PLACING,
            held_by=by, why=why, until=until, due_at=None, period_key="", words=f"by {by}",
        )  # fmt: skip
        _written(lines, seq, HoldDecision(hold, None))
    for key, job_id, parameters in lines.rows(_LET_GO, (since,)):
        wanted = str(_table(parameters).get("hold", ""))
        theirs = "SELECT 1 FROM hold WHERE key = ? AND job_id = ? AND state IN ('held', 'found')"
        if lines.rows(theirs, (wanted, job_id)):
            lines.rows(
                "UPDATE hold SET state = 'releasing', release_key = ?, changed_seq = ? WHERE key = ?",
                (key, seq(), wanted),
            )


def _table(parameters: str) -> dict[str, Any]:
    """Whoever may write an action wrote this."""
    found = json.loads(parameters)
    return found if isinstance(found, dict) else {}


def _until(parameters: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(_table(parameters).get("until", "")))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _written(lines: Wire, seq: Callable[[], int], one: HoldDecision) -> bool:
    told = _told(one.hold)
    if one.was is None:
        row = _row(one.hold, told)
        columns, marks = ", ".join(_WHOLE), ", ".join("?" * len(_WHOLE))
        return bool(
            lines.rows(
                f"INSERT INTO hold ({columns}) VALUES ({marks}) ON CONFLICT (key) DO NOTHING RETURNING key",
                (*row, seq()),
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
        hold.bd.isoformat() if hold.bd else "", hold.state.value, maybe_micros(hold.due_at), pack(hold.period_key),
        maybe_micros(hold.placed_at), maybe_micros(hold.released_at), maybe_micros(hold.ended_at), hold.release_key,
        hold.start_key, clean(hold.words, WORDS_LIMIT),
    )  # fmt: skip


def _row(hold: HoldFacts, told: Row) -> Row:
    return (
        hold.key, hold.job_id, hold.upstream_id, hold.kind, hold.mode.value, hold.held_by,
        clean(hold.why, WORDS_LIMIT), micros(hold.until), *told,
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


def _tell(lines: Wire, now_us: int, words: str, hold: HoldFacts) -> None:
    period = pack(hold.period_key)
    lines.rows(_EVENT, (now_us, clean(words, WORDS_LIMIT), hold.job_id, period, hold.job_id, BY))


def reconcile(
    store: Store, target_id: int, found: Iterable[NativeHold], looked_at: datetime, now: datetime, fence: int | None
) -> bool:
    """Compares what is really held at a target with what the store holds; True when something differed.

    `looked_at`: when the look began: what was placed or ended since is judged by the next look. A mark that the store
    does not know is kept as "found" and told, never undone. A hold whose mark is gone was released by a person: it ends
    so, and is not placed again for its period. Raises LeaseLost.
    """
    marks = {one.mark.id: one for one in found}
    looked_us, now_us = micros(looked_at), micros(now)
    with store.read() as connection:
        known = _known(wire(connection), target_id, list(marks))
    if not _differs(known, marks, looked_us):
        return False
    with store.write(fence) as connection:
        lines = wire(connection)
        known = _known(lines, target_id, list(marks))
        seq = next_changed_seq(connection)
        for key, (state, job_id, placed_us, ended_us) in known.items():
            if key not in marks and _is_gone(state, placed_us, looked_us):
                _gone(lines, key, job_id, state, seq, now_us)
            elif key in marks and _came_back(state, ended_us, looked_us):
                _back(lines, marks[key], job_id, state, seq, now_us)
        for key in marks.keys() - known.keys():
            _found(lines, target_id, marks[key], seq, now_us)
    return True


_Known = dict[str, tuple[HoldState, int, int | None, int | None]]
_KNOWN = "SELECT h.key, h.state, h.job_id, h.placed_us, h.ended_us FROM hold h"


def _known(lines: Wire, target_id: int, keys: list[str]) -> _Known:
    """Key -> state, job, when placed and ended: of what is open at the target, and of these keys wherever they are."""
    rows = lines.rows(
        f"{_KNOWN} JOIN job j ON j.id = h.job_id WHERE j.target_id = ? AND h.ended_us IS NULL", (target_id,)
    )
    rows += lines.by_keys(_KNOWN.replace("FROM hold h", "FROM {keys} JOIN hold h ON h.key = k.a"), "t", sorted(keys))
    return {row[0]: (HoldState(row[1]), *row[2:]) for row in rows}


def _differs(known: _Known, marks: dict[str, NativeHold], looked_us: int) -> bool:
    if marks.keys() - known.keys():
        return True
    return any(
        _came_back(state, ended_us, looked_us) if key in marks else _is_gone(state, placed_us, looked_us)
        for key, (state, _, placed_us, ended_us) in known.items()
    )


def _is_gone(state: HoldState, placed_us: int | None, looked_us: int) -> bool:
    """True for what should be marked and was not. What is being placed or released is judged by its action."""
    if state is HoldState.FOUND:
        return True
    return state is HoldState.HELD and placed_us is not None and placed_us < looked_us


def _came_back(state: HoldState, ended_us: int | None, looked_us: int) -> bool:
    """True for a mark of a hold that is over, or was never placed as far as we knew."""
    return state.is_over and ended_us is not None and ended_us < looked_us


def _gone(lines: Wire, key: str, job_id: int, state: HoldState, seq: int, now_us: int) -> None:
    words = "its mark is gone from its source: released by a person"
    moved = lines.rows(
        "UPDATE hold SET state = 'released', ended_us = ?, words = ?, changed_seq = ? WHERE key = ? AND state = ?"
        " RETURNING period_key",
        (now_us, words, seq, key, state.value),
    )
    for (period_key,) in moved:
        _say(lines, now_us, job_id, period_key, f"{_name(lines, job_id)} (hold {key}): {words}")


def _back(lines: Wire, one: NativeHold, job_id: int, state: HoldState, seq: int, now_us: int) -> None:
    """Ours, and over as far as we knew: a hold that failed is held after all; any other is a person's to look at."""
    after = HoldState.HELD if state is HoldState.FAILED else HoldState.FOUND
    words = f"its mark is at its source, though it was {state}: {clean_line(one.where)}"
    moved = lines.rows(
        "UPDATE hold SET state = ?, ended_us = NULL, placed_us = COALESCE(placed_us, ?), words = ?, changed_seq = ?"
        " WHERE key = ? AND state = ? RETURNING period_key",
        (after.value, now_us, clean(words, WORDS_LIMIT), seq, one.mark.id, state.value),
    )
    for (period_key,) in moved:
        _say(lines, now_us, job_id, period_key, f"{_name(lines, job_id)} (hold {one.mark.id}): {words}")


def _found(lines: Wire, target_id: int, one: NativeHold, seq: int, now_us: int) -> None:
    """A mark that this store never made: another store's, or from before this one."""
    rows = lines.rows(
        "SELECT id FROM job WHERE target_id = ? AND source_id = ? ORDER BY id LIMIT 1", (target_id, pack(one.job))
    )
    if not rows:
        return  # no inventory has shown the job yet; the next look tells
    job_id = rows[0][0]
    until = one.mark.until
    words = f"a mark that this store did not make: {clean_line(one.where)}"
    values = {
        "key": one.mark.id, "job_id": job_id, "kind": "found", "mode": "hold", "state": "found",
        "held_by": clean_line(one.mark.by), "why": "", "until_us": micros(until), "bd": "", "period_key": "",
        "placed_us": now_us, "words": clean(words, WORDS_LIMIT), "changed_seq": seq,
    }  # fmt: skip
    lines.rows(
        f"INSERT INTO hold ({', '.join(values)}) VALUES ({', '.join('?' * len(values))}) ON CONFLICT (key) DO NOTHING",
        tuple(values.values()),
    )
    _say(
        lines,
        now_us,
        job_id,
        "",
        f"{_name(lines, job_id)} is held by {clean_line(one.mark.by)} under {one.mark.id}: {words}",
    )


def _say(lines: Wire, now_us: int, job_id: int, period_key: str, words: str) -> None:
    lines.rows(_EVENT, (now_us, clean(words, WORDS_LIMIT), job_id, period_key, job_id, BY))


def _name(lines: Wire, job_id: int) -> str:
    [(name,)] = lines.rows("SELECT name FROM job WHERE id = ?", (job_id,))
    return str(name)
