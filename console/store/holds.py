"""Holds as rows: decisions applied, pending starts after a hold, and marks at a target reconciled with the store.

A hold counts as gone only after two checks of its target without its mark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from connectors.sdk.contract import NativeHold
from console.domain.decision import HoldDecision, PolicyAction
from console.domain.dependency import DependencyMode
from console.domain.estate import RunFacts, TargetFacts
from console.domain.hold import MARK_REMOVED, HoldFacts, HoldReason, HoldState, hold_end
from console.domain.ids import micros, optional_micros, utc_minute
from console.domain.stored import stored_text
from console.domain.text import Text, mapped, render
from console.store import access, alerts, audit
from console.store.actions import ActionStep, move_action
from console.store.alerts import AlertRouting, AttentionRequest
from console.store.db.database import Database
from console.store.db.fence import Fence
from console.store.db.session import Row, WriteSession
from console.store.events import record_event
from console.store.meta import next_changed_seq
from console.store.names import decode_name, encode_name
from console.store.new_actions import NewAction, insert_action, open_incident, run_of_period
from console.store.row_values import from_row, parse_object
from console.store.snapshot import clock_skew, facts
from console.store.subjects import name_of_job
from console.text.cleaning import clean, clean_line

POLICY_ACTOR = "headway"
MAX_TEXT = 500


def write_holds(
    session: WriteSession,
    seq: Callable[[], int],
    now_us: int,
    decisions: Sequence[HoldDecision],
    audience: AlertRouting = alerts.NO_ROUTING,
) -> None:
    """Applies each decision whose hold is still as the decision saw it; a hold changed meanwhile is skipped."""
    _adopt(session, seq, now_us)
    sent = "SELECT 1 FROM action WHERE key = ? AND state <> 'requested'"
    for decision in decisions:
        if decision.withdraws and session.rows(sent, (decision.withdraws,)):
            continue  # the next evaluation sees that
        if not _write(session, seq, decision):
            continue
        if decision.withdraws:
            step = ActionStep("refused", render(decision.hold.text, utc_minute), ended=True)
            move_action(session, decision.withdraws, "requested", step, now_us)
        if decision.action is not None:
            _request_action(session, decision.action, now_us)
        if decision.event:
            prevented = "shadow_started" if decision.hold.kind == "trigger" else "shadow_held"
            kind = prevented if decision.hold.state is HoldState.SHADOW else "hold"
            period_key = encode_name(decision.hold.period_key)
            _record_event(session, now_us, decision.event, decision.hold.job_id, period_key, kind)
        if decision.attention_reason:
            _request_attention(session, audience, decision, now_us)


# ruff: noqa: S608  (only our own names; every value is bound)
_VALID_REQUEST = (
    "a.state NOT IN ('refused', 'failed')"
    " AND NOT (a.state = 'requested' AND a.needs_approval AND a.approved_us IS NULL)"
)
"""A request that awaits approval replaces nothing: the policy continues until then."""
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
    """Holds that people requested, or requested to release, and that the next evaluation adopts: their marks are not
    judged before."""
    placed = {row.key for row, _ in _requested_holds(session, now_us)}
    return placed | {hold for _, hold in _requested_releases(session, now_us)}


def _requested_holds(session: WriteSession, now_us: int) -> Iterator[tuple[Row, datetime]]:
    """Each with its end. One without is refused by its connector."""
    for row in session.rows(_SELECT_REQUESTED, (now_us - _RECENT_US,)):
        until = hold_end(parse_object(row.parameters))
        if until is not None:
            yield row, until


def _requested_releases(session: WriteSession, now_us: int) -> list[tuple[Row, str]]:
    """Each release with the key of its hold."""
    rows = session.rows(_SELECT_RELEASES, (now_us - _RECENT_US,))
    return [(row, str(parse_object(row.parameters).get("hold", ""))) for row in rows]


def _adopt(session: WriteSession, seq: Callable[[], int], now_us: int) -> None:
    """Makes people's requests holds and releases."""
    for row, until in _requested_holds(session, now_us):
        hold = HoldFacts(
            key=row.key,
            job_id=row.job_id,
            upstream_id=None,
            business_date=None,
            kind="person",
            mode=DependencyMode.HOLD,
            state=HoldState.PLACING,
            held_by=row.requested_by,
            why=row.why,
            until=until,
            due_at=None,
            period_key="",
            reason=HoldReason.BY_PERSON,
            detail=(row.requested_by,),
        )
        _write(session, seq, HoldDecision(hold, None))
    for release, hold_key in _requested_releases(session, now_us):
        active = "SELECT 1 FROM hold WHERE key = ? AND job_id = ? AND state IN ('held', 'foreign')"
        if session.rows(active, (hold_key, release.job_id)):
            session.rows(
                "UPDATE hold SET state = 'releasing', release_key = ?, changed_seq = ? WHERE key = ?",
                (release.key, seq(), hold_key),
            )


def _write(session: WriteSession, seq: Callable[[], int], decision: HoldDecision) -> bool:
    """False if the hold is not as the decision saw it."""
    hold = decision.hold
    columns = {
        "upstream_id": hold.upstream_id, "kind": hold.kind, "mode": hold.mode.value, "held_by": hold.held_by,
        "why": clean(hold.why, MAX_TEXT), "until_us": micros(hold.until),
        "business_date": hold.business_date.isoformat() if hold.business_date else "", "state": hold.state.value,
        "due_us": optional_micros(hold.due_at), "period_key": encode_name(hold.period_key),
        "placed_us": optional_micros(hold.placed_at), "released_us": optional_micros(hold.released_at),
        "ended_us": optional_micros(hold.ended_at), "release_key": hold.release_key, "start_key": hold.start_key,
        "reason": hold.reason.value, "detail": _stored(hold.detail),
    }  # fmt: skip
    if decision.was is None:
        return _insert(session, {"key": hold.key, "job_id": hold.job_id, **columns, "changed_seq": seq()})
    settings = ", ".join(f"{name} = ?" for name in columns)
    updated = session.rows(
        f"UPDATE hold SET {settings}, changed_seq = ? WHERE key = ? AND state = ? RETURNING key",
        (*columns.values(), seq(), hold.key, decision.was.value),
    )
    return bool(updated)


def _insert(session: WriteSession, values: Mapping[str, Any]) -> bool:
    sql = f"INSERT INTO hold ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
    return bool(session.rows(f"{sql} ON CONFLICT (key) DO NOTHING RETURNING key", tuple(values.values())))


def _request_action(session: WriteSession, action: PolicyAction, now_us: int) -> None:
    """Inserts its row, once."""
    job_id, period, parameters = action.job_id, encode_name(action.period_key), dict(action.parameters)
    why = render(action.why, utc_minute)
    request = NewAction(
        key=action.key,
        verb=action.verb,
        job_id=job_id,
        run_id=run_of_period(session, job_id, period),
        incident_id=open_incident(session, job_id, period),
        parameters=parameters,
        origin=action.origin,
        requested_by=POLICY_ACTOR,
        why=clean(why, MAX_TEXT),
        overlap=action.overlap,
        requested_us=now_us,
    )
    if insert_action(session, request):
        detail = {"key": action.key, "as": action.origin, "parameters": parameters}
        verb, origin = f"request {action.verb}", audit.ENGINE_ORIGIN
        audit.append(session, now_us, POLICY_ACTOR, origin, verb, name_of_job(session, job_id), detail, why)


def _request_attention(session: WriteSession, audience: AlertRouting, decision: HoldDecision, now_us: int) -> None:
    hold = decision.hold
    [row] = session.rows(
        "SELECT j.name, a.incident_id FROM job j LEFT JOIN action a ON a.key = ? WHERE j.id = ?",
        (hold.release_key, hold.job_id),
    )
    services = access.action_subject(session, hold.job_id).services
    notes = (
        f"Services that wait for it: {', '.join(f'{name} (tier {tier})' for name, tier in services) or 'none'}.",
        "The release is repeated, after pauses that double up to an hour; once the cause is fixed, release it now.",
    )
    need = AttentionRequest(
        key=hold.release_key or hold.key,
        title="a hold cannot be released",
        about=f"{row.name}, held by {hold.held_by} (hold {hold.key})",
        why=decision.attention_reason,
        fixes=(("Do", f"headway hold release {hold.key}"), ("Open", "headway hold")),
        by=POLICY_ACTOR,
        incident_id=row.incident_id,
        job_id=hold.job_id,
        meanwhile="The held job does not start until then.",
        notes=notes,
    )
    alerts.request_attention(session, audience, need, now_us)


def _record_event(
    session: WriteSession, now_us: int, event: Text, job_id: int, period_key: str, kind: str = "hold"
) -> None:
    text, incident_id = _cleaned(event), open_incident(session, job_id, period_key)
    record_event(session, now_us, kind, text, incident_id=incident_id, job_id=job_id, actor=POLICY_ACTOR)


def _cleaned(text: Text) -> Text:
    return mapped(text, partial(clean, limit=MAX_TEXT))


def _stored(text: Text) -> str:
    return stored_text(_cleaned(text))


AROUND = timedelta(days=2)
"""How long before the subject of a hold a run of the same business date may be."""


@dataclass(frozen=True, slots=True)
class PendingStart:
    """A hold with the current facts of its job."""

    hold: HoldFacts
    runs: tuple[RunFacts, ...]
    target: TargetFacts | None


def pending_start(store: Database, start_key: str) -> PendingStart | None:
    """By the key of the start; None without its hold, or if its job is not watched any more."""
    with store.read() as session:
        row = session.first(f"{facts.SELECT_HOLDS} WHERE h.start_key = ?", (start_key,))
        job_row = None if row is None else session.first(f"{facts.SELECT_JOBS} AND j.id = ?", (row.job_id,))
        if row is None or job_row is None:
            return None
        hold, job = facts.hold_facts(row), facts.job_facts(job_row, {})
        [action] = session.rows("SELECT requested_us FROM action WHERE key = ?", (start_key,))
        instants = [micros(at) for at in (hold.placed_at, hold.due_at) if at is not None]
        since = min([action.requested_us, *instants]) - AROUND // timedelta(microseconds=1)
        query = f"SELECT {facts.RUN_COLUMNS} FROM run r WHERE r.job_id = ? AND r.sort_us >= ?"
        runs = ((run.sort_us, facts.run_facts(run, ())) for run in session.rows(query, (job.id, since)))
        corrected = clock_skew.correct_runs(runs, {job.id: job}, clock_skew.target_skews(session, {job.target_id}))
        target = facts.load_target(session, job.target_id)
        return PendingStart(hold, tuple(run for _, run in corrected), target)


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    changed: bool
    """True if a difference was written."""
    missed: frozenset[str] = frozenset()
    """Keys of holds without their mark: the next check decides."""


@dataclass(frozen=True, slots=True)
class _StoredHold:
    key: str
    state: HoldState
    job_id: int
    kind: str
    placed_us: int | None
    ended_us: int | None
    reason: HoldReason

    def is_missed(self, mark: NativeHold | None, checked_us: int) -> bool:
        """True if its mark is missing or, while clearing, removed. Placing and releasing are judged by their
        actions."""
        if self.state is HoldState.CLEARING:
            return mark is None
        if mark is not None and not mark.bare:
            return False
        if self.state is HoldState.FOREIGN:
            return True
        return self.state is HoldState.HELD and self.placed_us is not None and self.placed_us < checked_us

    def after(self, mark: NativeHold | None, agreed: bool, checked_us: int) -> HoldState | None:
        """Its new state; None: unchanged. `agreed`: the check before missed it too."""
        if self.is_missed(mark, checked_us):
            if not agreed:
                return None
            return HoldState.CLEARING if mark is not None and self.state is HoldState.HELD else HoldState.RELEASED
        if mark is None or not self.state.is_over or self.ended_us is None or self.ended_us >= checked_us:
            return None
        if self.kind == "foreign" or self.state is HoldState.SHADOW:
            return None if mark.bare else HoldState.FOREIGN
        return HoldState.CLEARING if mark.bare else HoldState.HELD


RECENTLY = timedelta(hours=1)
"""How long after a hold its mark is checked where a check costs a call."""


def jobs_to_verify(store: Database, target_id: int, now: datetime) -> tuple[str, ...]:
    """Native ids of the target's jobs that are held, being cleared or recently released."""
    rows = store.rows(
        "SELECT DISTINCT j.source_id FROM hold h JOIN job j ON j.id = h.job_id WHERE j.target_id = ? AND"
        " (h.ended_us IS NULL AND h.state IN ('held', 'foreign', 'clearing') OR h.ended_us >= ? AND h.state IN"
        " ('released', 'failed')) ORDER BY j.source_id",
        (target_id, micros(now - RECENTLY)),
    )
    return tuple(decode_name(row.source_id) for row in rows)


def reconcile_marks(
    store: Database,
    target_id: int,
    reported: Iterable[NativeHold],
    missed: frozenset[str],
    checked_at: datetime,
    now: datetime,
    fence: Fence | None,
) -> ReconcileResult:
    """Compares the marks of one complete check with the stored holds, and writes the differences.

    `missed`: of the check before; `checked_at`: when this one began: holds placed or ended since are left to the next.
    A hold without its mark in two checks was released by a person, and is not placed again for its period. If its job
    was enabled under the hold mark, the mark is cleared. A mark that is back is held again; one unknown to
    the store becomes "foreign" and is reported, never removed. Requests that are not adopted yet are left to the next
    evaluation. A mark known from another target is a copy (a cloned crontab): it changes nothing, and its job counts as
    paused. Raises LeaseLost.
    """
    marks = {mark.mark.id: mark for mark in reported}
    checked_us, now_us = micros(checked_at), micros(now)
    with store.read() as session:
        known, elsewhere = _stored_holds(session, target_id, list(marks))
        requested = requested_keys(session, now_us) if known or marks else set()
    known = [hold for hold in known if hold.key not in requested]
    now_missed = frozenset(hold.key for hold in known if hold.is_missed(marks.get(hold.key), checked_us))
    known_keys = elsewhere | requested | {hold.key for hold in known}
    foreign = [mark for key, mark in marks.items() if not mark.bare and key not in known_keys]
    seen = [hold.key for hold in known if hold.key in marks and not marks[hold.key].bare]
    states = [(hold, hold.after(marks.get(hold.key), hold.key in missed, checked_us)) for hold in known]
    moved = [(hold, after) for hold, after in states if after is not None]
    if not moved and not foreign and not seen:
        return ReconcileResult(False, now_missed)
    with store.write(fence) as session:
        session.many("UPDATE hold SET seen_us = ? WHERE key = ?", [(checked_us, key) for key in seen])
        if not moved and not foreign:
            return ReconcileResult(False, now_missed)
        seq = next_changed_seq(session)
        for hold, after in moved:
            _move(session, hold, after, marks.get(hold.key), seq, now_us)
        recorded = [_record_foreign_mark(session, target_id, mark, seq, now_us) for mark in foreign]
    return ReconcileResult(bool(moved) or any(recorded), now_missed - {hold.key for hold, _ in moved})


_SELECT_STORED = (
    "SELECT j.target_id, h.key, h.state, h.job_id, h.kind, h.placed_us, h.ended_us, h.reason FROM hold h"
    " JOIN job j ON j.id = h.job_id"
)


def _stored_holds(session: WriteSession, target_id: int, keys: list[str]) -> tuple[list[_StoredHold], set[str]]:
    """The target's open holds and those with these keys; the keys of other targets' holds."""
    rows = session.rows(f"{_SELECT_STORED} WHERE j.target_id = ? AND h.ended_us IS NULL", (target_id,))
    rows += session.by_keys(
        _SELECT_STORED.replace("FROM hold h", "FROM {keys} JOIN hold h ON h.key = k.a"), sorted(keys)
    )
    here = {
        row.key: from_row(_StoredHold, row, state=HoldState(row.state), reason=HoldReason(row.reason))
        for row in rows
        if row.target_id == target_id
    }
    return list(here.values()), {row.key for row in rows} - here.keys()


def _move(
    session: WriteSession, hold: _StoredHold, after: HoldState, mark: NativeHold | None, seq: int, now_us: int
) -> None:
    """Only from the state that the check saw. A hold that is held again was not released; a clearing one is being
    released from now on."""
    reason = HoldReason.MARK_GONE
    detail: Text = ()
    if after is HoldState.CLEARING:
        reason = HoldReason.MARK_LEFT if hold.state.is_over else HoldReason.ENABLED_AT_SOURCE
    elif hold.state is HoldState.CLEARING:
        reason, detail = hold.reason, (MARK_REMOVED,)
    elif mark is not None and not mark.bare:
        reason = HoldReason.OTHER
        detail = (f"recovered: its mark is at its source, though it was {hold.state}: {clean_line(mark.where)}",)
    clears = (": the hold has ended, and the hold mark is removed there",) if after is HoldState.CLEARING else ()
    ended = now_us if after.is_over else None
    is_held, is_clearing = after is HoldState.HELD, after is HoldState.CLEARING
    released = session.rows(
        "UPDATE hold SET state = ?, ended_us = ?, reason = ?, detail = ?, changed_seq = ?, placed_us ="
        " COALESCE(placed_us, ?), released_us = CASE WHEN ? THEN NULL WHEN ? THEN CAST(? AS BIGINT) ELSE released_us"
        " END WHERE key = ? AND state = ? RETURNING period_key",
        (after.value, ended, reason.value, _stored(detail), seq, now_us, is_held, is_clearing, now_us,
         hold.key, hold.state.value),
    )  # fmt: skip
    for row in released:
        name = name_of_job(session, hold.job_id)
        event = f"{name} (hold {hold.key}): ", *reason.text(detail), *clears
        _record_event(session, now_us, event, hold.job_id, row.period_key)


def _record_foreign_mark(session: WriteSession, target_id: int, mark: NativeHold, seq: int, now_us: int) -> bool:
    """Stores a mark of another store, or from before this one. True if it is new."""
    job = session.first(
        "SELECT id, name FROM job WHERE target_id = ? AND source_id = ? ORDER BY id LIMIT 1",
        (target_id, encode_name(mark.job)),
    )
    if job is None:
        return False  # its job is in no inventory yet
    by, text = clean_line(mark.mark.by), f"a mark that this store did not make: {clean_line(mark.where)}"
    values = {
        "key": mark.mark.id, "job_id": job.id, "kind": "foreign", "mode": "hold", "state": "foreign", "held_by": by,
        "why": "", "until_us": micros(mark.mark.until), "business_date": "", "period_key": "", "placed_us": now_us,
        "reason": HoldReason.OTHER.value, "detail": _stored((text,)), "changed_seq": seq,
    }  # fmt: skip
    is_new = _insert(session, values)
    if is_new:
        _record_event(session, now_us, (f"{job.name} is held by {by} under {mark.mark.id}: {text}",), job.id, "")
    return is_new
