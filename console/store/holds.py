"""Holds as rows: decisions applied, starts that a hold owes, and marks at a target reconciled with the store.

Two looks at a target must agree before a hold counts as gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from connectors.sdk.contract import NativeHold
from console.domain.decision import HoldDecision, PolicyAction
from console.domain.dependency import DependencyMode
from console.domain.estate import JobFacts, RunFacts, TargetFacts
from console.domain.hold import (
    ENABLED_AT_SOURCE,
    MARK_LEFT,
    MARK_REMOVED,
    RELEASED_AT_SOURCE,
    HoldFacts,
    HoldState,
    hold_end,
)
from console.domain.ids import micros, optional_micros
from console.store import access, alerts, audit
from console.store.actions import ActionStep, move_action
from console.store.alerts import AlertRouting, AttentionRequest
from console.store.db.database import Database
from console.store.db.session import Row, WriteSession
from console.store.events import record_event
from console.store.meta import next_changed_seq
from console.store.names import decode_name, encode_name
from console.store.plan_steps import parse_object
from console.store.snapshot import clock_skew, facts
from console.text.cleaning import clean, clean_line

POLICY_ACTOR = "headway"
WORDS_LIMIT = 500
_INCIDENT = (
    "(SELECT MIN(i.id) FROM incident_member m JOIN incident i ON i.id = m.incident_id"
    " WHERE m.job_id = ? AND m.period_key = ? AND i.closed_us IS NULL)"
)
_ACTION = (
    "INSERT INTO action (key, verb, job_id, run_id, incident_id, state, preview, parameters, origin, requested_by,"
    " requested_from, why, overlap, needs_approval, approved_by, requested_us, native_ref, words, next_us, looked_up,"
    f" changed_seq) VALUES (?, ?, ?, (SELECT id FROM run WHERE job_id = ? AND period_key = ?), {_INCIDENT},"
    " 'requested', '{}', ?, ?, ?, '', ?, ?, ?, '', ?, '', '', 0, 0, 0) ON CONFLICT (key) DO NOTHING RETURNING key"
)


def write_holds(
    session: WriteSession,
    seq: Callable[[], int],
    now_us: int,
    decisions: Sequence[HoldDecision],
    audience: AlertRouting = alerts.NO_ROUTING,
) -> None:
    """Each decision whose hold still stands as the decision saw it; one that a person moved meanwhile is left alone."""
    _adopt(session, seq, now_us)
    for one in decisions:
        if _has_left(session, one.withdraws) or not _written(session, seq, one):
            continue
        if one.withdraws:
            over = ActionStep("refused", one.hold.words, ended=True)
            move_action(session, one.withdraws, "requested", over, now_us)
        if one.action is not None:
            _request_action(session, one.action, now_us)
        if one.event:
            _record_event(session, now_us, one.event, one.hold.job_id, encode_name(one.hold.period_key))
        if one.tells:
            _request_attention(session, audience, one, now_us)


def _has_left(session: WriteSession, key: str) -> bool:
    return bool(key) and bool(session.rows("SELECT 1 FROM action WHERE key = ? AND state <> 'requested'", (key,)))


# ruff: noqa: S608  (the statements are made of our own words; every value is bound)
_VALID_REQUEST = (
    "a.state NOT IN ('refused', 'failed') AND NOT (a.state = 'requested' AND a.needs_approval AND a.approved_by = '')"
)
"""What only waits for somebody's approval takes nothing over: the policy goes on until it is approved."""
_SELECT_REQUESTED = (
    "SELECT a.key, a.job_id, a.requested_by, a.why, a.parameters FROM action a LEFT JOIN hold h ON h.key = a.key"
    " WHERE a.requested_us >= ? AND a.verb = 'hold' AND h.key IS NULL AND " + _VALID_REQUEST
)
_SELECT_RELEASES = (
    "SELECT a.key, a.job_id, a.parameters FROM action a WHERE a.requested_us >= ? AND a.verb = 'release'"
    " AND a.origin <> 'hold' AND NOT EXISTS (SELECT 1 FROM hold h WHERE h.release_key = a.key) AND " + _VALID_REQUEST
)
_RECENT_US = timedelta(days=2) // timedelta(microseconds=1)


def requested_keys(session: WriteSession, now_us: int) -> set[str]:
    """Of holds that somebody asked for, or asked to let go, and that the next evaluation adopts: their mark may be
    seen, or missed, before that."""
    return {row.key for row, _ in _requested_holds(session, now_us)} | {
        hold for _, _, hold in _requested_releases(session, now_us)
    }


def _requested_holds(session: WriteSession, now_us: int) -> Iterator[tuple[Row, datetime]]:
    for row in session.rows(_SELECT_REQUESTED, (now_us - _RECENT_US,)):
        until = hold_end(parse_object(row.parameters))
        if until is not None:
            yield row, until


def _requested_releases(session: WriteSession, now_us: int) -> list[tuple[str, int, str]]:
    rows = session.rows(_SELECT_RELEASES, (now_us - _RECENT_US,))
    return [(key, job_id, str(parse_object(parameters).get("hold", ""))) for key, job_id, parameters in rows]


def _adopt(session: WriteSession, seq: Callable[[], int], now_us: int) -> None:
    """What people asked for becomes theirs: the hold that an action places, the release of a hold that stands."""
    for (key, job_id, by, why, _), until in _requested_holds(session, now_us):
        hold = HoldFacts(
            key=key,
            job_id=job_id,
            upstream_id=None,
            business_date=None,
            kind="person",
            mode=DependencyMode.HOLD,
            state=HoldState.PLACING,
            held_by=by,
            why=why,
            until=until,
            due_at=None,
            period_key="",
            words=f"by {by}",
        )
        _written(session, seq, HoldDecision(hold, None))
    for key, job_id, wanted in _requested_releases(session, now_us):
        theirs = "SELECT 1 FROM hold WHERE key = ? AND job_id = ? AND state IN ('held', 'found')"
        if session.rows(theirs, (wanted, job_id)):
            session.rows(
                "UPDATE hold SET state = 'releasing', release_key = ?, changed_seq = ? WHERE key = ?",
                (key, seq(), wanted),
            )


def _written(session: WriteSession, seq: Callable[[], int], one: HoldDecision) -> bool:
    columns = _columns(one.hold)
    if one.was is None:
        values = {"key": one.hold.key, "job_id": one.hold.job_id, **columns, "changed_seq": seq()}
        return _inserted(session, values)
    settings = ", ".join(f"{name} = ?" for name in columns)
    return bool(
        session.rows(
            f"UPDATE hold SET {settings}, changed_seq = ? WHERE key = ? AND state = ? RETURNING key",
            (*columns.values(), seq(), one.hold.key, one.was.value),
        )
    )


def _inserted(session: WriteSession, values: Mapping[str, Any]) -> bool:
    sql = f"INSERT INTO hold ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
    return bool(session.rows(f"{sql} ON CONFLICT (key) DO NOTHING RETURNING key", tuple(values.values())))


def _columns(hold: HoldFacts) -> dict[str, Any]:
    return {
        "upstream_id": hold.upstream_id,
        "kind": hold.kind,
        "mode": hold.mode.value,
        "held_by": hold.held_by,
        "why": clean(hold.why, WORDS_LIMIT),
        "until_us": micros(hold.until),
        "bd": hold.business_date.isoformat() if hold.business_date else "",
        "state": hold.state.value,
        "due_us": optional_micros(hold.due_at),
        "period_key": encode_name(hold.period_key),
        "placed_us": optional_micros(hold.placed_at),
        "released_us": optional_micros(hold.released_at),
        "ended_us": optional_micros(hold.ended_at),
        "release_key": hold.release_key,
        "start_key": hold.start_key,
        "words": clean(hold.words, WORDS_LIMIT),
    }


def _request_action(session: WriteSession, action: PolicyAction, now_us: int) -> None:
    """Its row; nothing where the same was asked for before."""
    period = encode_name(action.period_key)
    made = session.rows(
        _ACTION,
        (
            action.key,
            action.verb.value,
            action.job_id,
            action.job_id,
            period,
            action.job_id,
            period,
            json.dumps(dict(action.parameters)),
            action.origin,
            POLICY_ACTOR,
            clean(action.why, WORDS_LIMIT),
            action.overlap,
            False,
            now_us,
        ),
    )
    if made:
        [(job,)] = session.rows("SELECT name FROM job WHERE id = ?", (action.job_id,))
        detail = {"key": action.key, "as": action.origin, "parameters": dict(action.parameters)}
        audit.append(
            session, now_us, POLICY_ACTOR, audit.ENGINE_ORIGIN, f"request {action.verb}", job, detail, action.why
        )


def _request_attention(session: WriteSession, audience: AlertRouting, one: HoldDecision, now_us: int) -> None:
    """That its job stays held: to whom the release belongs."""
    hold = one.hold
    [(job, incident_id)] = session.rows(
        "SELECT j.name, a.incident_id FROM job j LEFT JOIN action a ON a.key = ? WHERE j.id = ?",
        (hold.release_key, hold.job_id),
    )
    subject = access.action_subject(session, hold.job_id)
    below = ", ".join(f"{name} (tier {tier})" for name, tier in subject.services)
    ways = (
        f"Services that wait for it: {below or 'none'}",
        "It is asked again, after pauses that double up to an hour.",
        f"Ask at once, when that is mended: headway hold release {hold.key}",
        "See all holds, with their marks: headway hold",
    )
    about = f"{job}, held by {hold.held_by} (hold {hold.key})"
    need = AttentionRequest(
        hold.release_key or hold.key,
        "a hold cannot be let go",
        about,
        one.tells,
        ways,
        POLICY_ACTOR,
        incident_id,
        hold.job_id,
        "What it keeps back does not start until then.",
    )
    alerts.request_attention(session, audience, need, now_us)


def _record_event(session: WriteSession, now_us: int, words: str, job_id: int, period_key: str) -> None:
    [row] = session.rows(f"SELECT {_INCIDENT} AS incident_id", (job_id, period_key))
    text = clean(words, WORDS_LIMIT)
    record_event(session, now_us, "hold", text, incident_id=row.incident_id, job_id=job_id, actor=POLICY_ACTOR)


# ruff: noqa: S608  (the statements are made of our own words; every value is bound)
AROUND = timedelta(days=2)
"""How long before what a hold is about a run of the same business date may lie."""


@dataclass(frozen=True, slots=True)
class PendingStart:
    """A hold with what is known of its job, from one look."""

    hold: HoldFacts
    runs: tuple[RunFacts, ...]
    target: TargetFacts | None


def pending_start(store: Database, start_key: str) -> PendingStart | None:
    """By the key of the start; None where no hold asked for it, or its job is not watched any more."""
    with store.read() as session:
        held = [
            facts.hold_facts(row) for row in session.rows(f"{facts.SELECT_HOLDS} WHERE h.start_key = ?", (start_key,))
        ]
        jobs = [
            facts.job_facts(row, {})
            for one in held
            for row in session.rows(f"{facts.SELECT_JOBS} AND j.id = ?", (one.job_id,))
        ]
        if not jobs:
            return None
        return PendingStart(
            held[0],
            _nearby_runs(session, held[0], jobs[0], start_key),
            facts.load_targets(session).get(jobs[0].target_id),
        )


def _nearby_runs(session: WriteSession, hold: HoldFacts, job: JobFacts, start_key: str) -> tuple[RunFacts, ...]:
    [(asked_us,)] = session.rows("SELECT requested_us FROM action WHERE key = ?", (start_key,))
    about = [micros(at) for at in (hold.placed_at, hold.due_at) if at is not None]
    since = min([asked_us, *about]) - AROUND // timedelta(microseconds=1)
    rows = session.rows(f"SELECT {facts.RUN_COLUMNS} FROM run r WHERE r.job_id = ? AND r.sort_us >= ?", (job.id, since))
    read = ((row.sort_us, facts.run_facts(row, ())) for row in rows)
    return tuple(run for _, run in clock_skew.correct_runs(read, {job.id: job}, clock_skew.target_skews(session)))


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """What came of one look."""

    changed: bool
    """True where something differed and was written."""
    missed: frozenset[str] = frozenset()
    """Keys of holds that it did not find held: the next look decides."""


@dataclass(frozen=True, slots=True)
class _StoredHold:
    """One hold as the store has it."""

    key: str
    state: HoldState
    job_id: int
    kind: str
    placed_us: int | None
    ended_us: int | None
    words: str

    def is_missed(self, mark: NativeHold | None, looked_us: int) -> bool:
        """True where it should be held and is not, or its mark was to go and is gone. What is being placed or released
        is judged by its action."""
        if self.state is HoldState.CLEARING:
            return mark is None
        if mark is not None and not mark.bare:
            return False
        if self.state is HoldState.FOUND:
            return True
        return self.state is HoldState.HELD and self.placed_us is not None and self.placed_us < looked_us

    def after(self, mark: NativeHold | None, agreed: bool, looked_us: int) -> HoldState | None:
        """What it is from now on; None: as it was. `agreed`: the look before missed it too."""
        if self.is_missed(mark, looked_us):
            if not agreed:
                return None
            return HoldState.CLEARING if mark is not None and self.state is HoldState.HELD else HoldState.RELEASED
        if mark is None or not self.state.is_over or self.ended_us is None or self.ended_us >= looked_us:
            return None
        if self.kind == "found" or self.state is HoldState.SHADOW:
            return None if mark.bare else HoldState.FOUND
        return HoldState.CLEARING if mark.bare else HoldState.HELD


RECENTLY = timedelta(hours=1)
"""For so long after a hold a mark that was left is looked for where looking costs a call."""


def jobs_to_verify(store: Database, target_id: int, now: datetime) -> tuple[str, ...]:
    """Native ids of the target's jobs that are thought held, whose mark is to go, or that were let go lately."""
    with store.read() as session:
        rows = session.rows(
            "SELECT DISTINCT j.source_id FROM hold h JOIN job j ON j.id = h.job_id WHERE j.target_id = ? AND"
            " (h.ended_us IS NULL AND h.state IN ('held', 'found', 'clearing') OR h.ended_us >= ? AND h.state IN"
            " ('released', 'failed')) ORDER BY j.source_id",
            (target_id, micros(now - RECENTLY)),
        )
    return tuple(decode_name(row.source_id) for row in rows)


def reconcile_marks(
    store: Database,
    target_id: int,
    found: Iterable[NativeHold],
    missed: frozenset[str],
    looked_at: datetime,
    now: datetime,
    fence: int | None,
) -> ReconcileResult:
    """Compares what one complete look found with what the store holds, and keeps it.

    `missed`: what the complete look before did not find. `looked_at`: when the look began: what was placed or ended
    since is judged by the next one. A hold whose mark two looks miss was released by a person: it ends so, and is not
    placed again for its period. Where they find its job enabled under our mark, the mark is to be taken away. A mark of
    ours that is there again is held again. One that the store does not know is kept as "found" and told, never undone.
    What was asked for here, or asked to be let go, and is not adopted yet, is left to the next evaluation.
    One that it knows of another target is a copy (a cloned crontab): it moves nothing, and its job reads as paused.
    Raises LeaseLost.
    """
    marks = {one.mark.id: one for one in found}
    looked_us, now_us = micros(looked_at), micros(now)
    with store.read() as session:
        known, elsewhere = _stored_holds(session, target_id, list(marks))
        asked = requested_keys(session, now_us) if known or marks else set()
    known = [one for one in known if one.key not in asked]
    now_missed = frozenset(one.key for one in known if one.is_missed(marks.get(one.key), looked_us))
    ours = elsewhere | asked | {one.key for one in known}
    strange = [one for key, one in marks.items() if not one.bare and key not in ours]
    seen = [one.key for one in known if one.key in marks and not marks[one.key].bare]
    moved = [one for one in known if one.after(marks.get(one.key), one.key in missed, looked_us) is not None]
    if not moved and not strange and not seen:
        return ReconcileResult(False, now_missed)
    with store.write(fence) as session:
        session.many("UPDATE hold SET seen_us = ? WHERE key = ?", [(looked_us, key) for key in seen])
        if not moved and not strange:
            return ReconcileResult(False, now_missed)
        seq = next_changed_seq(session)
        for one in moved:
            after = one.after(marks.get(one.key), one.key in missed, looked_us)
            if after is not None:
                _move(session, one, after, marks.get(one.key), seq, now_us)
        told = [_record_foreign_mark(session, target_id, mark, seq, now_us) for mark in strange]
    return ReconcileResult(bool(moved) or any(told), now_missed - {one.key for one in moved})


_SELECT_STORED = (
    "SELECT j.target_id, h.key, h.state, h.job_id, h.kind, h.placed_us, h.ended_us, h.words FROM hold h"
    " JOIN job j ON j.id = h.job_id"
)


def _stored_holds(session: WriteSession, target_id: int, keys: list[str]) -> tuple[list[_StoredHold], set[str]]:
    rows = session.rows(f"{_SELECT_STORED} WHERE j.target_id = ? AND h.ended_us IS NULL", (target_id,))
    rows += session.by_keys(
        _SELECT_STORED.replace("FROM hold h", "FROM {keys} JOIN hold h ON h.key = k.a"), sorted(keys)
    )
    here = {row.key: _StoredHold(row.key, HoldState(row.state), *row[3:]) for row in rows if row.target_id == target_id}
    return list(here.values()), {row.key for row in rows} - here.keys()


def _move(
    session: WriteSession, one: _StoredHold, after: HoldState, mark: NativeHold | None, seq: int, now_us: int
) -> None:
    words, event = _transition_text(one, after, mark)
    ended = now_us if after.is_over else None
    is_held, is_clearing = after is HoldState.HELD, after is HoldState.CLEARING
    moved = session.rows(
        "UPDATE hold SET state = ?, ended_us = ?, words = ?, changed_seq = ?, placed_us = COALESCE(placed_us, ?),"
        " released_us = CASE WHEN ? THEN NULL WHEN ? THEN CAST(? AS BIGINT) ELSE released_us END"
        " WHERE key = ? AND state = ? RETURNING period_key",
        (after.value, ended, clean(words, WORDS_LIMIT), seq, now_us, is_held, is_clearing, now_us, one.key,
         one.state.value),
    )  # fmt: skip
    for (period_key,) in moved:
        text = f"{_job_name(session, one.job_id)} (hold {one.key}): {event}"
        _record_event(session, now_us, text, one.job_id, period_key)


def _transition_text(one: _StoredHold, after: HoldState, mark: NativeHold | None) -> tuple[str, str]:
    if after is HoldState.CLEARING:
        words = MARK_LEFT if one.state.is_over else ENABLED_AT_SOURCE
        return words, f"{words}: the hold is over, and our mark there is taken away"
    if one.state is HoldState.CLEARING:
        words = f"{one.words}{MARK_REMOVED}"
    elif mark is not None and not mark.bare:
        words = f"recovered: its mark stands at its source, though it was {one.state}: {clean_line(mark.where)}"
    else:
        words = f"its mark is gone from its source: {RELEASED_AT_SOURCE}"
    return words, words


def _record_foreign_mark(session: WriteSession, target_id: int, one: NativeHold, seq: int, now_us: int) -> bool:
    rows = session.rows(
        "SELECT id FROM job WHERE target_id = ? AND source_id = ? ORDER BY id LIMIT 1",
        (target_id, encode_name(one.job)),
    )
    if not rows:
        return False  # no inventory has shown the job yet; the next look tells
    job_id = rows[0].id
    until = one.mark.until
    words = f"a mark that this store did not make: {clean_line(one.where)}"
    values = {
        "key": one.mark.id, "job_id": job_id, "kind": "found", "mode": "hold", "state": "found",
        "held_by": clean_line(one.mark.by), "why": "", "until_us": micros(until), "bd": "", "period_key": "",
        "placed_us": now_us, "words": clean(words, WORDS_LIMIT), "changed_seq": seq,
    }  # fmt: skip
    is_new = _inserted(session, values)
    told = f"{_job_name(session, job_id)} is held by {clean_line(one.mark.by)} under {one.mark.id}: {words}"
    if is_new:
        _record_event(session, now_us, told, job_id, "")
    return is_new


def _job_name(session: WriteSession, job_id: int) -> str:
    [(name,)] = session.rows("SELECT name FROM job WHERE id = ?", (job_id,))
    return str(name)
