"""Rows into the values that decisions see: services, dependencies, targets, and the shapes of jobs and
runs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from sys import intern

from connectors.contract import RED_STATES, Schedule, State
from console.model.ids import instant, maybe_instant
from console.model.modes import Modes
from console.model.promises import Extension
from console.model.values import (
    DependencyFacts,
    JobFacts,
    RunFacts,
    ServiceFacts,
    TargetFacts,
)
from console.model.wants import PLAINLY, Condition, Period, Wants
from console.store import alike, promises, switches
from console.store.keys import unpack
from console.store.wire import Row, Wire

JOBS = (
    "SELECT j.id, s.name, j.native_id, s.kind, j.target_id, j.parent_id, c.dialect, c.expression, c.zone, c.words,"
    " c.next_us,"
    " c.accepted_us, s.zone, s.cutoff, j.paused_since_us, j.gone_since_us, j.proof, j.expected_s, j.grace_s, j.owner,"
    " j.notify, j.runbook, j.rerun, j.title, j.definition, s.starts_held, j.calendar, j.budget_s,"
    " j.budget_cost, j.pool, j.slots, s.capabilities, s.missing FROM job j"
    " JOIN system s ON s.id = j.system_id"
    " JOIN target t ON t.id = j.target_id"
    " LEFT JOIN schedule c ON c.id = (SELECT MAX(x.id) FROM schedule x WHERE x.job_id = j.id AND x.accepted_us IS"
    " NOT NULL)"
    " WHERE NOT s.removed AND NOT t.removed AND NOT j.unwatched"
)
RUN = (
    "r.id, r.job_id, r.period_key, r.period_us, r.bd, r.state, r.evidence, r.native_state, r.reason, r.attempts,"
    " r.first_started_us, r.started_us, r.ended_us, r.exit_code, r.message, r.expected, r.observed_us,"
    " r.timeliness, r.stale_read, r.partial_input, r.sort_us"
)
# ruff: noqa: S608  (the statements are made of our own words; every value is bound)
TAIL_LIMIT = 1500
"""Characters of a log's end that decisions see."""
DRIFT = "SELECT job_id, what, words, seen_us FROM drift WHERE accepted_us IS NULL AND ended_us IS NULL ORDER BY id"
_DRIFT_ORDER = ("gone", "paused", "schedule", "definition")


def job(row: Row, drift: Mapping[str, tuple[str, int]]) -> JobFacts:
    """`row` in the order of JOBS; `drift`: what is open, in words, and when it was seen."""
    (
        job_id, system, native_id, kind, target_id, parent_id, dialect, expression, schedule_zone, words, next_us,
        accepted, zone, cutoff, paused, gone, proof, expected_s, grace_s, owner, notify, runbook, rerun, title, _,
        starts_held, calendar, budget_s, budget_cost, pool, slots, capabilities, missing,
    ) = row  # fmt: skip
    told = next((drift[what] for what in _DRIFT_ORDER if what in drift), None) if drift else None
    return JobFacts(
        id=job_id,
        system=intern(system),
        native_id=unpack(native_id),
        kind=intern(kind),
        target_id=alike.number(target_id),
        parent_id=None if parent_id is None else alike.number(parent_id),
        schedule=alike.schedule(dialect, expression, schedule_zone, words, next_us) if dialect else _NONE,
        accepted_at=None if accepted is None else alike.moment(accepted),
        zone=intern(zone),
        cutoff=alike.time_of(cutoff),
        paused_since=maybe_instant(paused),
        gone_since=maybe_instant(gone),
        proof=alike.PROOFS[proof],
        expected=None if expected_s is None else alike.seconds(expected_s),
        grace=alike.seconds(grace_s),
        owner=intern(owner),
        notify=alike.names_of(notify),
        runbook=intern(runbook),
        rerun=alike.SAFETIES[rerun],
        title=title,
        starts_held=bool(starts_held),
        calendar=calendar,
        budget_time=None if budget_s is None else timedelta(seconds=budget_s),
        budget_cost=budget_cost,
        pool=intern(pool),
        slots=slots,
        cannot_rerun=alike.cannot_rerun(capabilities, missing),
        drift_reason=told[0] if told else "",
        drift_since=instant(told[1]) if told else None,
    )


_NONE = Schedule("none")


Over = tuple[datetime | None, datetime, State]
"""Start, end and state of an attempt that is over."""


def attempts_over(lines: Wire, run_ids: list[int]) -> dict[int, tuple[Over, ...]]:
    """Run id -> its attempts that are over, oldest first."""
    found: dict[int, list[Over]] = defaultdict(list)
    query = (
        "SELECT t.run_id, t.started_us, t.ended_us, t.state FROM {keys} JOIN attempt t ON t.run_id = k.a"
        " WHERE t.ended_us IS NOT NULL ORDER BY t.run_id, t.number"
    )
    for run_id, started, ended, state in lines.by_keys(query, "i", run_ids):
        found[run_id].append((maybe_instant(started), instant(ended), State(state)))
    return {run_id: tuple(spans) for run_id, spans in found.items()}


def queued(lines: Wire, run_ids: list[int]) -> dict[int, datetime]:
    """Run id -> since when its latest attempt is queued, of those whose source tells it."""
    query = (
        "SELECT r.id, t.queued_us FROM {keys} JOIN run r ON r.id = k.a JOIN attempt t ON t.id = r.attempt_id"
        " WHERE t.queued_us IS NOT NULL"
    )
    return {run_id: instant(at) for run_id, at in lines.by_keys(query, "i", run_ids)}


def red_tails(lines: Wire, rows: Sequence[Row]) -> dict[int, str]:
    """Run id -> the end of its latest attempt's log, of the red ones among these rows of RUN that have one."""
    query = (
        "SELECT r.id, l.text FROM {keys} JOIN run r ON r.id = k.a JOIN log_tail l ON l.attempt_id = r.attempt_id"
        " WHERE l.text <> ''"
    )
    red = [row[0] for row in rows if row[5] in RED_STATES]
    return {run_id: text[-TAIL_LIMIT:] for run_id, text in lines.by_keys(query, "i", red)} if red else {}


def run(
    row: Row,
    spans: tuple[Over, ...],
    queued_at: datetime | None = None,
    tail: str = "",
    job_id: int | None = None,
) -> RunFacts:
    """`row` in the order of RUN; `spans`: of the attempts that are over, where there were several attempts; `tail`: of
    its log; `job_id`: the same number as the row's, to be shared."""
    (
        run_id, own_job_id, period_key, period_us, bd, state, evidence, native_state, reason, attempts, first_started,
        started, ended, exit_code, message, expected, observed, timeliness, stale_read, partial_input, _,
    ) = row  # fmt: skip
    first_at = None if first_started is None else instant(first_started)
    ended_at = None if ended is None else instant(ended)
    return RunFacts(  # in the order of its fields: by name it would take half as long again
        run_id,
        own_job_id if job_id is None else job_id,
        intern(unpack(period_key)),
        None if period_us is None else alike.moment(period_us),
        alike.date_of(bd),
        alike.STATES[state],
        alike.EVIDENCES[evidence],
        intern(native_state),
        reason,
        attempts,
        first_at,
        first_at if started == first_started else maybe_instant(started),
        ended_at,
        exit_code,
        message,
        tail,
        expected == 1,
        ended_at if observed == ended else maybe_instant(observed),
        alike.TIMELINESSES[timeliness],
        stale_read == 1,
        partial_input,
        queued_at,
        _successes(spans) if spans else (),
        tuple((over, state) for _, over, state in spans) if spans else (),
    )


def _successes(spans: tuple[Over, ...]) -> tuple[tuple[datetime, datetime], ...]:
    return tuple((began, over) for began, over, state in spans if began and state is State.SUCCEEDED)


_PLAIN_EDGE = (
    "mode = 'observe' AND engine_down = 'open' AND hold_lead_s = 600 AND hold_for_s = 21600 AND condition = 'success'"
    " AND check_name = '' AND period = 'same' AND calendar = '' AND within_s IS NULL AND gate = '' AND need = 0"
)


def dependencies(lines: Wire, jobs: Mapping[int, JobFacts]) -> tuple[DependencyFacts, ...]:
    """Those between these jobs, in order; they share the ids of the jobs. Most say nothing but from where to where:
    of these no other column is read."""
    words = lines.rows(
        "SELECT id, origin, mode, engine_down, hold_lead_s, hold_for_s, condition, check_name, period, calendar,"
        f" within_s, gate, need FROM dependency WHERE NOT ({_PLAIN_EDGE})"
    )
    said = {row[0]: (*alike.edge_words(*row[1:6]), _wants(*row[6:])) for row in words}
    found = []
    for number, upstream, downstream, origin in lines.stream(
        "SELECT id, upstream_id, downstream_id, origin FROM dependency ORDER BY upstream_id, downstream_id, origin"
    ):
        above, below = jobs.get(upstream), jobs.get(downstream)
        if above is not None and below is not None:
            found.append(DependencyFacts(above.id, below.id, *(said.get(number) or (alike.ORIGINS[origin],))))
    return tuple(found)


@lru_cache(maxsize=4096)
def _wants(
    condition: str, check: str, period: str, calendar: str, within_s: float | None, gate: str, need: int
) -> Wants:
    """Few words for many dependencies: made once."""
    within = None if within_s is None else timedelta(seconds=within_s)
    found = Wants(Condition(condition), check, Period(period), calendar, within, gate, need)
    return PLAINLY if found.is_plain else found


def services(lines: Wire) -> tuple[ServiceFacts, ...]:
    rows = lines.rows(
        "SELECT name, title, terminals, deadline, zone, cutoff, tier, owner, notify, runbook, risk, calendar, promise,"
        " ready FROM service WHERE NOT removed ORDER BY name"
    )
    return tuple(
        ServiceFacts(
            name=name,
            title=title or name,
            terminals=tuple(json.loads(terminals)),
            deadline=time.fromisoformat(deadline),
            zone=zone,
            cutoff=time.fromisoformat(cutoff),
            tier=tier,
            owner=owner,
            notify=tuple(json.loads(notify)),
            runbook=runbook,
            risk=risk,
            calendar=days,
            promise=promises.read(promise),
            ready=tuple(json.loads(ready)),
        )
        for (
            name, title, terminals, deadline, zone, cutoff, tier, owner, notify, runbook, risk, days, promise, ready,
        ) in rows
    )  # fmt: skip


def targets(lines: Wire) -> dict[int, TargetFacts]:
    rows = lines.rows(
        "SELECT t.id, s.name, t.name, s.poll_every_s, t.last_ok_us, t.failing_since_us, t.error, t.error_kind,"
        " t.seen_until_us, t.first_ok_us, t.lost_since_us, t.lost_until_us, w.value, w.set_by, w.why, w.at_us"
        f" FROM target t JOIN system s ON s.id = t.system_id{switches.PAUSES} WHERE NOT t.removed AND NOT s.removed"
    )
    return {row[0]: _target(row) for row in rows}


@lru_cache(maxsize=4096)
def _target(row: Row) -> TargetFacts:
    """Each look reads all of them, and few have changed since the last."""
    (
        target_id, system, name, every, last_ok, failing, error, error_kind, seen_until, first_ok, lost_since,
        lost_until, *paused,
    ) = row  # fmt: skip
    return TargetFacts(
        id=target_id,
        system=system,
        name=unpack(name),
        poll_every=timedelta(seconds=every),
        last_ok_at=maybe_instant(last_ok),
        failing_since=maybe_instant(failing),
        error=error,
        error_kind=error_kind,
        seen_until=maybe_instant(seen_until),
        first_ok_at=maybe_instant(first_ok),
        lost=None if lost_until is None else (instant(lost_since or 0), instant(lost_until)),
        pause=switches.last_pause(system, *paused),
    )


def extensions(lines: Wire, since_us: int) -> tuple[Extension, ...]:
    """The last word for each service and business date, or submission, whose time was not over at `since_us`."""
    rows = lines.rows(
        "SELECT s.name, e.bd, e.until_us, e.by, e.why, e.submission"
        " FROM extension e JOIN service s ON s.id = e.service_id"
        " WHERE e.id IN (SELECT MAX(id) FROM extension GROUP BY service_id, bd, submission) AND e.until_us >= ?"
        " AND NOT s.removed ORDER BY s.name, e.bd, e.submission",
        (since_us,),
    )
    return tuple(
        Extension(name, date.fromisoformat(bd), instant(until), by, why, submission)
        for name, bd, until, by, why, submission in rows
    )


def modes(lines: Wire) -> Modes:
    """What is frozen and what is in shadow."""
    return switches.modes(lines.rows)
