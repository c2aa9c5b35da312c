"""Targets as polled: cursor and health, probes, open runs, started periods, lost evidence."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from connectors.sdk.records import RunRecord, RunRef, Schedule, SkippedRecord
from connectors.sdk.states import STOPPED, is_open
from console.domain.ids import instant, micros, optional_instant, optional_micros
from console.domain.switches import SystemPause
from console.domain.system import problem_and_fix, with_fix
from console.store import switches
from console.store.db.database import Database
from console.store.db.fence import Fence
from console.store.db.session import Row, Session, Values, WriteSession
from console.store.events import record_event
from console.store.ingest.batch import ACTIONS_BY_KEY, IngestBatch
from console.store.names import decode_name, encode_name
from console.text.cleaning import CUT, clean, clean_line
from console.timing.business_dates import RunSpan

MAX_SHOWN = 20
"""Skipped records and warnings stored for display; all are counted."""
MAX_TEXT = 300
SAMPLE_BEGINS = 20
"""Length of the prefix by which a sample is found in cut text."""
BOOT_US = 120_000_000
"""A boot time computed from uptime varies less than this between replies."""
_NAMES = (
    "SELECT s.id AS system_id, s.name AS system, t.name, t.failing_since_us, t.error, t.error_fix, t.error_kind,"
    " t.seen_until_us, t.skipped_text"
    " FROM target t JOIN system s ON s.id = t.system_id WHERE t.id = ?"
)

_SUCCESS = (
    "UPDATE target SET changed_seq = {next_change}, cursor = ?, last_try_us = ?,"
    " last_ok_us = CASE WHEN last_ok_us > ? THEN last_ok_us ELSE ? END, first_ok_us = COALESCE(first_ok_us, ?),"
    " failing_since_us = CASE WHEN ? = '' THEN NULL WHEN error_kind = ? THEN failing_since_us ELSE ? END,"
    " failures = 0, error = ?, error_fix = ?, error_kind = ?, skew_s = COALESCE(?, skew_s),"
    " zone = CASE WHEN ? = '' THEN zone ELSE ? END, "
    " seen_until_us = CASE WHEN seen_until_us > ? THEN seen_until_us ELSE COALESCE(?, seen_until_us) END,"
    " booted_us = CASE WHEN ABS(COALESCE(booted_us, 0) - ?) > ? THEN ? ELSE booted_us END,"
    " poll_ms = COALESCE(?, poll_ms), warnings = ?, requests = ?, requests_minute = ?, allowed = ? WHERE id = ?"
)
_LOST = (
    "UPDATE target SET lost_since_us = CASE WHEN lost_until_us >= ? AND lost_since_us < ? THEN lost_since_us ELSE ?"
    " END, lost_until_us = CASE WHEN lost_until_us > ? THEN lost_until_us ELSE ? END WHERE id = ?"
)
"""Windows become one where the later begins within LOOKBACK_US of the end of the other; else the later is kept."""
LOOKBACK_US = 48 * 3_600_000_000
"""How far back starts are judged (`EvaluationSettings.lookback`)."""


def _next_change(session: WriteSession) -> str:
    """SQL of the next `target.changed_seq`. A sequence on PostgreSQL: a counter in a row would leave a dead row version
    for each poll."""
    return "nextval('target_changed_seq')" if session.is_postgres else "(SELECT max(changed_seq) + 1 FROM target)"


def record_success(session: WriteSession, target_id: int, batch: IngestBatch, refused: Sequence[SkippedRecord]) -> None:
    """Stores the cursor, the target's health and skipped records; an event on recovery or lost evidence. A record that
    is skipped for the first time may be any start since the starts were last known: evidence of these is lost too."""
    now_us = micros(batch.now)
    [target] = session.rows(_NAMES, (target_id,))
    name = f"{target.system}/{target.name}"
    if batch.stopped is None and target.error_kind == STOPPED:
        batch = replace(batch, stopped=with_fix(target.error, target.error_fix))
    session.rows(_SUCCESS.format(next_change=_next_change(session)), _success_values(target_id, batch))
    if (skipped := [*batch.skipped, *refused]) or batch.gaps:
        texts = [f"{record.where}: {record.reason} {record.sample}".rstrip() for record in skipped]
        texts = [*texts[: MAX_SHOWN - 1], batch.gaps[-1].reason] if batch.gaps else texts
        new = _new_skipped(skipped, json.loads(target.skipped_text))
        session.rows(
            "UPDATE target SET skipped = skipped + ?, skipped_text = ? WHERE id = ?",
            (new, _shown_texts(texts), target_id),
        )
        if new:
            _record_lost(session, target_id, target.seen_until_us or 0, now_us)
    if batch.stopped and target.error_kind != STOPPED:
        record_event(session, now_us, "lost", f"{clean_line(name)}: {batch.stopped}", system_id=target.system_id)
    elif target.failing_since_us is not None and not batch.stopped:
        record_event(session, now_us, "back", f"{clean_line(name)} works again", system_id=target.system_id)
    for gap in batch.gaps:
        since = gap.since.isoformat() if gap.since else "the beginning"
        until = gap.until.isoformat() if gap.until else "now"
        text = clean(f"{name}: evidence is lost from {since} to {until}: {gap.reason}", MAX_TEXT * 2)
        record_event(session, now_us, "gap", text, system_id=target.system_id)
        since_us, until_us = micros(gap.since) if gap.since else 0, micros(gap.until) if gap.until else now_us
        _record_lost(session, target_id, since_us, until_us)


def _record_lost(session: WriteSession, target_id: int, since_us: int, until_us: int) -> None:
    session.rows(_LOST, (since_us - LOOKBACK_US, since_us, since_us, until_us, until_us, target_id))


def record_quiet(session: WriteSession, polls: Sequence[tuple[int, IngestBatch]]) -> None:
    """`record_success` of several targets whose polls are all quiet."""
    query = "SELECT t.id FROM {keys} JOIN target t ON t.id = k.a WHERE t.failing_since_us IS NOT NULL"
    failing = {row.id for row in session.by_keys(query, [target_id for target_id, _ in polls])}
    rows = [_success_values(target_id, batch) for target_id, batch in polls if target_id not in failing]
    session.many(_SUCCESS.format(next_change=_next_change(session)), rows)
    for target_id, batch in polls:
        if target_id in failing:
            record_success(session, target_id, batch, ())


def _success_values(target_id: int, batch: IngestBatch) -> Values:
    now_us, seen_until, booted = micros(batch.now), optional_micros(batch.seen_until), optional_micros(batch.booted)
    spent = batch.spent
    cost = (None, None, "") if spent is None else (spent.requests, spent.a_minute, clean_line(spent.allowed, MAX_TEXT))
    error_kind = STOPPED if batch.stopped else ""
    error, fix = (clean(text, MAX_TEXT * 2) for text in problem_and_fix(batch.stopped or ""))
    health = (error_kind, error_kind, now_us, error, fix, error_kind)
    return (
        encode_name(batch.cursor), now_us, now_us, now_us, now_us, *health, batch.skew_s, batch.zone, batch.zone,
        seen_until, seen_until, booted, BOOT_US, booted, batch.poll_ms, _shown_warnings(batch.warnings), *cost,
        target_id,
    )  # fmt: skip


def record_failure(
    store: Database, target_id: int, error: str, kind: str, now: datetime, fence: Fence | None, fix: str = ""
) -> bool:
    """Counts a failed poll; `kind`: of `Target.error_kind`. True for the first in a row."""
    now_us, text, fix = micros(now), clean(error, MAX_TEXT * 2), clean(fix, MAX_TEXT * 2)
    with store.write(fence) as session:
        [target] = session.rows(_NAMES, (target_id,))
        session.rows(
            f"UPDATE target SET changed_seq = {_next_change(session)}, failures = failures + 1,"  # noqa: S608
            " failing_since_us = COALESCE(failing_since_us, ?), last_try_us = ?, error = ?, error_fix = ?,"
            " error_kind = ? WHERE id = ?",
            (now_us, now_us, text, fix, kind, target_id),
        )
        if target.failing_since_us is not None:
            return False
        name = clean_line(f"{target.system}/{target.name}")
        record_event(session, now_us, "lost", f"{name}: {with_fix(text, fix)}", system_id=target.system_id)
    return True


def _shown_texts(texts: Sequence[str]) -> str:
    return json.dumps([clean_line(text, MAX_TEXT) for text in texts[:MAX_SHOWN]])


def _shown_warnings(texts: Sequence[str]) -> str:
    if len(texts) > MAX_SHOWN:
        texts = [*texts[: MAX_SHOWN - 1], f"{len(texts) - MAX_SHOWN + 1} more warnings are not stored"]
    return _shown_texts(texts)


def _new_skipped(skipped: Sequence[SkippedRecord], known: Sequence[str]) -> int:
    """Number of newly skipped records: a source that is read again as a whole lists the same ones at each poll.
    `known`: the stored texts; if these include all that are shown, the rest counts as known too."""
    shown = skipped[:MAX_SHOWN]
    new = sum(record.is_new or not any(_mentions(text, record) for text in known) for record in shown)
    return new + len(skipped) - len(shown) if new else 0


def _mentions(text: str, record: SkippedRecord) -> bool:
    """A reason may change with the time ("61 minutes in the future"), and a long sample is cut in the text."""
    sample = clean_line(record.sample.rstrip())
    if not text.startswith(clean_line(f"{record.where}: ", MAX_TEXT)):
        return False
    if text.endswith(sample):
        return True
    uncut = text.removesuffix(CUT)
    at = uncut.rfind(sample[:SAMPLE_BEGINS])
    return uncut != text and (sample.startswith(uncut[at:]) if at >= 0 else len(record.reason) >= MAX_TEXT // 2)


PERIOD_MARGIN = timedelta(hours=26)
"""How far before a start its period may be: `LATEST_START` of timing.business_dates, and an hour. A job of every
minute has 1,560 runs in it, read for each of its starts."""
MAX_OPEN_RUNS = 2_000
"""Open attempts given to a poll at most, newest first."""


@dataclass(frozen=True, slots=True)
class PollState:
    """The end of a target's last poll."""

    cursor: str
    inventory_hash: str
    open_runs: tuple[RunRef, ...]
    """Open attempts, newest first."""
    inventory_at: datetime
    """The last complete inventory under the present config."""
    pause: SystemPause | None
    """The last pause of the system's polls, active or ended; None without one."""


_POLL_STATE = (
    "SELECT t.cursor, t.inventory_hash, t.inventory_us, s.name AS system, w.set_by, w.why, w.at_us,"  # noqa: S608
    " w.until_us,"
    " (SELECT value FROM meta WHERE name = 'config_since_us') AS config_us"
    f" FROM target t JOIN system s ON s.id = t.system_id{switches.JOIN_PAUSES} WHERE t.id = ?"
)


def configured_targets(store: Database) -> list[tuple[int, str, str]]:
    """(id, system, target) of all configured targets."""
    rows = store.rows(
        "SELECT t.id, s.name AS system, t.name FROM target t JOIN system s ON s.id = t.system_id"
        " WHERE NOT t.removed AND NOT s.removed ORDER BY t.id"
    )
    return [(row.id, row.system, decode_name(row.name)) for row in rows]


def systems_of_targets(store: Database) -> dict[int, int]:
    """Target id -> system id, of all configured targets."""
    return dict(store.rows("SELECT id, system_id FROM target WHERE NOT removed"))


def poll_state(store: Database, target_id: int) -> PollState:
    with store.read(consistent=False) as session:
        [row] = session.rows(_POLL_STATE, (target_id,))
        runs = open_runs(session, target_id)
    inventory_us = row.inventory_us or 0
    inventory_at = instant(inventory_us if inventory_us >= int(row.config_us or 0) else 0)
    pause = switches.current_pause(row.system, row)
    return PollState(decode_name(row.cursor), decode_name(row.inventory_hash), runs, inventory_at, pause)


def open_runs(session: Session, target_id: int) -> tuple[RunRef, ...]:
    """Open attempts of this target, newest first."""
    rows = session.rows(
        "SELECT j.source_id, r.period_key, a.attempt_key, a.native_ref, a.started_us FROM run r JOIN job j ON j.id"
        " = r.job_id JOIN attempt a ON a.id = r.attempt_id WHERE r.ended_us IS NULL AND r.attempts > 0 AND"
        " j.target_id = ? AND r.state IN ('waiting', 'held', 'queued', 'running', 'retrying', 'cancelling') ORDER"
        " BY r.sort_us DESC LIMIT ?",
        (target_id, MAX_OPEN_RUNS),
    )
    return tuple(
        RunRef(
            decode_name(row.source_id), decode_name(row.period_key), decode_name(row.attempt_key),
            decode_name(row.native_ref), optional_instant(row.started_us),
        )
        for row in rows
    )  # fmt: skip


def record_pause_end(store: Database, pause: SystemPause, now: datetime, fence: Fence) -> None:
    """Audits that this pause ended by itself."""
    with store.write(fence) as session:
        switches.audit_pause_end(session, pause, micros(now))


class TargetProbe(NamedTuple):
    """The version of a target and our rights there."""

    target_id: int
    version: str
    rights: Sequence[Mapping[str, object]]

    @property
    def columns(self) -> Values:
        return self.version, json.dumps(list(self.rights)), self.target_id


def is_new_probe(store: Database, probe: TargetProbe) -> bool:
    """Whether it differs from the last one."""
    known = store.rows("SELECT version, rights, id FROM target WHERE id = ?", (probe.target_id,))
    return list(map(tuple, known)) != [probe.columns]


def record_probes(session: WriteSession, probes: Sequence[TargetProbe]) -> None:
    session.many("UPDATE target SET version = ?, rights = ? WHERE id = ?", [probe.columns for probe in probes])


class KnownSchedules(NamedTuple):
    """Schedules of a target's jobs, each by source id."""

    accepted: Mapping[str, Schedule]
    """Of each job; dialect "none" without one."""
    seen: Mapping[str, Schedule]
    """Of each job whose schedule changed: the one at its source, not accepted yet."""


def known_schedules(store: Database, target_id: int) -> KnownSchedules:
    """The schedules of the target's jobs, as of one moment."""
    with store.read() as session:
        accepted = session.rows(
            "SELECT j.source_id, s.dialect, s.expression, s.zone, s.text, s.next_us, s.window_us FROM job j"
            " LEFT JOIN schedule s ON s.id = (SELECT max(v.id) FROM schedule v WHERE v.job_id = j.id AND"
            " v.accepted_us IS NOT NULL) WHERE j.target_id = ?",
            (target_id,),
        )
        seen = session.rows(
            # CROSS JOIN keeps SQLite to this order: nearly no job has drift
            "SELECT j.source_id, s.dialect, s.expression, s.zone FROM drift d CROSS JOIN job j CROSS JOIN schedule s"
            " WHERE d.what = 'schedule' AND d.accepted_us IS NULL AND d.ended_us IS NULL AND j.id = d.job_id AND"
            " j.target_id = ? AND s.id = (SELECT max(v.id) FROM schedule v WHERE v.job_id = j.id)",
            (target_id,),
        )
    schedules = {}
    for row in accepted:
        schedule = Schedule("none")
        if row.dialect:
            expression, text = decode_name(row.expression), decode_name(row.text)
            window = timedelta(microseconds=row.window_us)
            schedule = Schedule(row.dialect, expression, row.zone, text, optional_instant(row.next_us), window)
        schedules[decode_name(row.source_id)] = schedule
    return KnownSchedules(
        schedules,
        {decode_name(row.source_id): Schedule(row.dialect, decode_name(row.expression), row.zone) for row in seen},
    )


def with_own_actions(store: Database, target_id: int, records: Sequence[RunRecord]) -> list[RunRecord]:
    """The records without action keys that no action of their system has here: those of another Headway, or of a store
    before this one. Such a run is treated as one that a person requested."""
    keys = sorted({record.action_key for record in records if record.action_key})
    if not keys:
        return list(records)
    with store.read() as session:
        own = {row.key for row in session.by_keys(ACTIONS_BY_KEY, keys, (target_id,))}
    return [
        replace(record, action_key=None) if record.action_key and record.action_key not in own else record
        for record in records
    ]


class StartedPeriods(NamedTuple):
    """Periods that have a run, each by (source id, period key)."""

    owners: Mapping[tuple[str, str], str]
    """-> key of its first attempt."""
    spans: Mapping[tuple[str, str], RunSpan]
    """-> when that one was open, if its source reports its start."""
    waiting: Mapping[str, Collection[str]]
    """Source id -> keys of the periods around that wait for a start, or missed it."""


def started_periods(
    store: Database, target_id: int, records: Iterable[RunRecord], schedules: Mapping[str, Schedule]
) -> StartedPeriods:
    """Periods with a run around the starts in these records, and those of attempts that these execute again.

    Of a job without instants in `schedules`, whose every start is a period of its own, those of these attempts alone:
    one that reports a run each second has 93,600 around each start.
    """
    unmatched = [record for record in records if record.period_key is None]
    if not unmatched:
        return StartedPeriods({}, {}, {})
    # CROSS JOIN keeps SQLite to this order, and "+ 0" to the job's name; otherwise it starts with every attempt without
    # an action key.
    around = (
        "SELECT j.source_id, r.period_key, a.attempt_key, a.started_us, a.state, CASE WHEN a.evidence = 'native'"
        " THEN a.ended_us END AS proven_end_us FROM {keys}"
        " CROSS JOIN target t CROSS JOIN job j CROSS JOIN run r LEFT JOIN attempt a ON a.run_id = r.id AND"
        " a.action_key IS NULL WHERE t.id = ? AND j.system_id = t.system_id AND j.source_id = k.a AND"
        " j.target_id + 0 = t.id AND r.job_id = j.id AND (a.id IS NOT NULL OR r.attempts = 0) AND r.sort_us >= ?"
        " ORDER BY a.number DESC"
    )
    by_attempt = (
        "SELECT j.source_id, r.period_key, a.attempt_key, a.ended_us FROM {keys} CROSS JOIN target t CROSS JOIN job j"
        " CROSS JOIN attempt a CROSS JOIN run r WHERE t.id = ? AND j.system_id = t.system_id AND j.source_id = k.a"
        " AND j.target_id + 0 = t.id AND a.job_id = j.id AND a.attempt_key = k.b AND r.id = a.run_id"
    )
    starts = [
        at for record in unmatched if (at := record.started_at or record.queued_at or record.ended_at) is not None
    ]
    since = micros(min(starts) - PERIOD_MARGIN) if starts else 0
    timed = {job for job, schedule in schedules.items() if schedule.dialect != "none"}
    jobs = sorted({encode_name(record.job) for record in unmatched if record.job in timed})
    own = {(record.job, record.attempt_key) for record in unmatched if record.job not in timed}
    again = {(record.job, attempt) for record in unmatched for attempt in record.repeated}
    attempts = sorted((encode_name(job), encode_name(attempt)) for job, attempt in own | again)
    with store.read() as session:
        rows = session.by_keys(around, jobs, (target_id, since))
        earlier = session.by_keys(by_attempt, attempts, (target_id,))
    begun = {(record.job, record.attempt_key): optional_micros(record.started_at) or 0 for record in unmatched}
    earlier = [row for row in earlier if row.ended_us is None or begun.get(_attempt_of(row), 0) <= row.ended_us]
    waiting: dict[str, set[str]] = {}
    for row in rows:
        if row.attempt_key is None:
            job, period = _period_of(row)
            waiting.setdefault(job, set()).add(period)
    started = [row for row in rows if row.attempt_key is not None]
    owners = {_period_of(row): decode_name(row.attempt_key) for row in (*earlier, *started)}
    spans = {
        _period_of(row): RunSpan.of(instant(row.started_us), optional_instant(row.proven_end_us), is_open(row.state))
        for row in started
        if row.started_us is not None
    }
    return StartedPeriods(owners, spans, waiting)


def _attempt_of(row: Row) -> tuple[str, str]:
    return decode_name(row.source_id), decode_name(row.attempt_key)


def _period_of(row: Row) -> tuple[str, str]:
    return decode_name(row.source_id), decode_name(row.period_key)
