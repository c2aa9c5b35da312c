"""Holds, and what a gate waits for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from connectors.sdk.states import OPEN_STATES, RED_STATES, RunState
from console.domain.dependency import (
    GateView,
    Requirement,
    ScheduleView,
    UpstreamCondition,
    UpstreamPeriod,
    UpstreamView,
)
from console.domain.hold import HoldReason, HoldView
from console.domain.ids import instant, micros
from console.store.db.session import Row
from console.store.errors import ItemNotFound
from console.store.names import encode_name
from console.store.queries.base import ContextQueries, ReadStore, clean_name
from console.store.queries.dependencies import REQUIREMENT_COLUMNS, check_results, parse_requirement, past_runs
from console.store.queries.jobs import JobQueries
from console.store.queries.services import MemberQueries
from console.store.row_values import from_row, run_reason
from console.store.run_periods import NO_LATER_PERIOD, covers_period

_HOLDS = (
    "SELECT h.key, h.job_id, j.name AS job, s.name AS system, h.state, h.kind, h.mode, u.name AS upstream, h.held_by,"
    " h.why, h.reason, h.detail, h.placed_us, h.until_us, h.due_us, h.period_key, h.ended_us, h.release_key,"
    " h.start_key, CASE WHEN h.state IN ('held', 'foreign') THEN COALESCE(h.seen_us, h.placed_us) END AS seen_us FROM"
    " hold h JOIN job j ON j.id = h.job_id JOIN system s ON s.id = j.system_id LEFT JOIN job u ON u.id = h.upstream_id"
)
MAX_ENDED = 200
"""Ended holds listed at most, newest first."""
AT_ITS_START = timedelta(seconds=90)
"""A gate evaluated up to this long before an instant of its job is for that instant."""
ITS_PERIOD = timedelta(hours=25)
"""A gate is not evaluated for an instant further back than this."""


class HoldQueries(ContextQueries):
    def __init__(self, store: ReadStore, jobs: JobQueries, members: MemberQueries) -> None:
        super().__init__(store)
        self.jobs = jobs
        self.members = members

    def list_holds(self, ended: bool = False) -> list[HoldView]:
        """Open holds, longest first; with `ended`, ended ones, newest first."""
        if ended:
            order = f" WHERE h.ended_us IS NOT NULL ORDER BY h.ended_us DESC, h.key LIMIT {MAX_ENDED}"
        else:
            order = " WHERE h.ended_us IS NULL ORDER BY COALESCE(h.placed_us, h.due_us, 0), h.key"
        return [_hold(row) for row in self.link.rows(_HOLDS + order)]

    def hold(self, key: str) -> HoldView | None:
        """The hold with that key; None without one."""
        rows = self.link.rows(f"{_HOLDS} WHERE h.key = ?", (key,)) if key.isascii() else []  # as every key is
        return _hold(rows[0]) if rows else None

    def hold_of_job(self, job_id: int) -> HoldView | None:
        """The open hold of that job, the longest; None without one."""
        return next((hold for hold in self.list_holds() if hold.job_id == job_id), None)

    def gate(self, name: str, period: str = "", business_date: str = "") -> GateView:
        """The gate of the job with that name: for that period, else that business date, else its current instant. The
        business date is empty if none of these is known. Raises NotFound."""
        job, now = self.jobs.job(name).row, self.store.now()
        values: tuple[object, ...]
        if period:
            where, values = "r.period_key = ?", (encode_name(period),)
        elif business_date:
            where, values = "r.business_date = ? AND r.period_us IS NOT NULL", (business_date,)
        else:
            where = "r.period_us <= ? AND r.period_us >= ?"
            values = (micros(now + AT_ITS_START), micros(now - ITS_PERIOD))
        run = self.link.first(
            "SELECT r.period_us, r.business_date FROM run r WHERE r.job_id = ?"  # noqa: S608  (our own names)
            f" AND {where} ORDER BY r.sort_us DESC LIMIT 1",
            (job.id, *values),
        )
        if period and run is None:
            raise ItemNotFound(job.name, f"{job.name} has no run {period}; headway run lists its known runs")
        at = now if run is None or run.period_us is None else instant(run.period_us)
        date = business_date or (run.business_date if run is not None else "")
        return GateView(job.id, date, at, self._upstreams(job.id, date, at))

    def gate_zone(self, job_id: int) -> tuple[str, str]:
        """(zone, cutoff) of the job's system, for a business date without a run."""
        [row] = self.link.rows(
            "SELECT s.zone, s.cutoff FROM job j JOIN system s ON s.id = j.system_id WHERE j.id = ?", (job_id,)
        )
        return row.zone, row.cutoff

    def _upstreams(self, job_id: int, business_date: str, at: datetime) -> tuple[UpstreamView, ...]:
        stale = self.store.stale_targets()
        rows = self.link.rows(
            f"SELECT u.id, u.name, u.target_id, {REQUIREMENT_COLUMNS}, c.dialect, c.expression,"  # noqa: S608
            " c.zone AS schedule_zone, c.next_us, c.accepted_us, s.zone, s.cutoff FROM dependency d JOIN job u ON u.id"
            " = d.upstream_id JOIN job w ON w.id = d.downstream_id JOIN system s ON s.id = u.system_id LEFT JOIN"
            " schedule c ON c.id = (SELECT MAX(x.id) FROM schedule x WHERE x.job_id = u.id AND x.accepted_us IS NOT"
            " NULL) WHERE (w.id = ? OR w.parent_id = ?) AND (COALESCE(u.parent_id, u.id) <> ? OR d.period = 'previous')"
            " ORDER BY u.name, u.id, d.origin",
            (job_id, job_id, job_id),
        )
        upstreams: dict[int, UpstreamView] = {}
        for row in rows:  # of a pair the declared dependency comes first
            if row.id not in upstreams:
                view = _upstream(row, self._run_read(row.id, business_date, at), row.target_id in stale)
                requirement = parse_requirement(row)
                if not requirement.is_plain:
                    view = self._with_requirement(view, requirement, job_id, business_date, at)
                upstreams[row.id] = view
        return tuple(upstreams.values())

    def _with_requirement(
        self, upstream: UpstreamView, wants: Requirement, job_id: int, business_date: str, at: datetime
    ) -> UpstreamView:
        is_ready = wants.condition is UpstreamCondition.READY and business_date
        return replace(
            upstream,
            wants=wants,
            past=() if wants.period is UpstreamPeriod.SAME else past_runs(self.link, upstream.job_id, at),
            loops=wants.period is UpstreamPeriod.PREVIOUS and self.members.lies_below(upstream.job_id, job_id),
            check_history=check_results(self.link, wants.check, business_date) if is_ready else None,
        )

    def _run_read(self, job_id: int, business_date: str, at: datetime) -> Row | None:
        """The run that the gate goes by, as `EstateIndex.read_by` has it: the last of that date before the instant,
        else the first, a skipped one only without another; of runs that name their periods one that failed. If it is
        not good, the latest ended one that covers its period, unless that is still open and not good either."""
        order = f"ORDER BY {_FAILED_NAME} DESC, state = '{RunState.SKIPPED}', sort_us DESC"
        before = self._run(job_id, business_date, f"sort_us < ? {order}", micros(at))
        run = before or self._run(job_id, business_date, "sort_us >= ? ORDER BY sort_us", micros(at))
        if run is None or _is_good(run):
            return run
        where = f"sort_us <= ? AND sort_us > ? AND {_ENDED} AND {_COVERS} ORDER BY sort_us DESC"
        later = self._run(job_id, business_date, where, micros(self.store.now()), run.sort_us, run.id)
        return later if later is not None and (_is_good(later) or RunState(run.state) not in OPEN_STATES) else run

    def _run(self, job_id: int, business_date: str, where: str, *values: int | str) -> Row | None:
        return self.link.first(
            "SELECT id, period_key, state, reason, attempts, stale_read, sort_us FROM run"  # noqa: S608  (our own words)
            f" WHERE job_id = ? AND business_date = ? AND {where} LIMIT 1",
            (job_id, business_date, *values),
        )


_OPEN = ", ".join(f"'{state}'" for state in sorted(OPEN_STATES))
_RED = ", ".join(f"'{state}'" for state in sorted(RED_STATES))
_COVERS = f"EXISTS (SELECT 1 FROM run r WHERE r.id = ? AND {covers_period('run', 'r')})"  # noqa: S608
_FAILED_NAME = (
    f"(state IN ({_RED}) AND (period_kind IN {NO_LATER_PERIOD} OR NOT EXISTS (SELECT 1 FROM run n WHERE"  # noqa: S608
    " n.job_id = run.job_id AND n.business_date = run.business_date AND n.sort_us > run.sort_us"
    f" AND {covers_period('n', 'run')})))"
)
_ENDED = f"state NOT IN ({_OPEN}, 'skipped') AND evidence <> 'asserted'"
"""As `control.snapshot`: a skipped or asserted run does not replace another one."""


def _is_good(run: Row) -> bool:
    return (run.state == RunState.SUCCEEDED and not run.stale_read) or run.state == RunState.SKIPPED


def _upstream(row: Row, run: Row | None, is_unseen: bool) -> UpstreamView:
    schedule = from_row(ScheduleView, row) if row.dialect is not None and row.dialect != "none" else None
    if run is None:
        return UpstreamView(row.id, row.name, schedule, "", "", (), False, is_unseen)
    period_key, reason = clean_name(run.period_key), run_reason(run.reason, run.attempts)
    return UpstreamView(row.id, row.name, schedule, period_key, run.state, reason, bool(run.stale_read), is_unseen)


def _hold(row: Row) -> HoldView:
    return from_row(HoldView, row, reason=HoldReason(row.reason), period_key=clean_name(row.period_key))
