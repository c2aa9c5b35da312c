"""Holds, and what a gate waits for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from connectors.sdk.states import OPEN_STATES, RunState
from console.domain.dependency import (
    GateView,
    Requirement,
    ScheduleView,
    UpstreamCondition,
    UpstreamPeriod,
    UpstreamView,
)
from console.domain.hold import HoldView
from console.domain.ids import instant, micros, optional_instant
from console.store.db.session import Row
from console.store.errors import ItemNotFound
from console.store.names import encode_name
from console.store.queries.base import ReadStore, to_view, visible_state
from console.store.queries.dependencies import check_results, parse_requirement, past_runs
from console.store.queries.jobs import JobQueries
from console.store.queries.services import MemberQueries

_HOLDS = (
    "SELECT h.key, h.job_id, j.name AS job, s.name AS system, h.state, h.kind, h.mode, u.name AS upstream, h.held_by,"
    " h.why, h.words, h.placed_us, h.until_us, h.due_us, h.period_key, h.ended_us, h.release_key, h.start_key,"
    " CASE WHEN h.state IN ('held', 'found') THEN COALESCE(h.seen_us, h.placed_us) END AS seen_us"
    " FROM hold h JOIN job j ON j.id = h.job_id JOIN system s ON s.id = j.system_id LEFT JOIN job u"
    " ON u.id = h.upstream_id"
)
MAX_ENDED = 200
"""Holds that are over which a list shows at most, newest first."""
AT_ITS_START = timedelta(seconds=90)
"""A gate that runs so much before the instant of its job is asked for that instant."""
ITS_PERIOD = timedelta(hours=25)
"""An instant further back than this is not the one a gate is asked for now."""


class HoldQueries:
    """Holds, and the gate of a held job."""

    def __init__(self, store: ReadStore, jobs: JobQueries, members: MemberQueries) -> None:
        self.store = store
        self.link = store.link
        self.jobs = jobs
        self.members = members

    def list_holds(self, ended: bool = False) -> list[HoldView]:
        """Open holds, longest first; with `ended`, those that are over, newest first."""
        if ended:
            order = f" WHERE h.ended_us IS NOT NULL ORDER BY h.ended_us DESC, h.key LIMIT {MAX_ENDED}"
        else:
            order = " WHERE h.ended_us IS NULL ORDER BY COALESCE(h.placed_us, h.due_us, 0), h.key"
        return [_hold(row) for row in self.link.rows(_HOLDS + order)]

    def hold(self, name: str) -> HoldView:
        """The open hold of that key, or of the job of that name. Raises NotFound."""
        rows = self.link.rows(f"{_HOLDS} WHERE h.key = ?", (name,)) if name.isascii() else []  # as every key is
        if rows:
            return _hold(rows[0])
        job = self.jobs.job(name)
        found = [one for one in self.list_holds() if one.job_id == job.row.id]
        if not found:
            raise ItemNotFound(job.row.name, f"{job.row.name} is not held; headway hold lists what is")
        return found[0]

    def gate(self, name: str, period: str = "", business_date: str = "") -> GateView:
        """What the job of that name waits for: for that period, else that business date, else its instant that is due
        now. `bd` is empty where none of these is known. Raises NotFound."""
        job = self.jobs.job(name)
        number, now = job.row.id, self.store.now()
        row = self._gate_run(number, period, business_date, now)
        if period and row is None:
            told = f"{job.row.name} has no run {period}; headway run lists those that are known"
            raise ItemNotFound(job.row.name, told)
        at = now if row is None or row.period_us is None else instant(row.period_us)
        date = business_date or (row.bd if row is not None else "")
        period_key = visible_state(row.period_key) if row is not None else ""
        return GateView(number, job.row.name, date, at, period_key, self._upstreams(number, date, at))

    def gate_zone(self, job_id: int) -> tuple[str, str]:
        """(zone, cutoff) of the job's system, for a business date that no run tells."""
        [(zone, cutoff)] = self.link.rows(
            "SELECT s.zone, s.cutoff FROM job j JOIN system s ON s.id = j.system_id WHERE j.id = ?", (job_id,)
        )
        return zone, cutoff

    def _gate_run(self, job_id: int, period: str, business_date: str, now: datetime) -> Row | None:
        """The run that is meant."""
        values: tuple[object, ...]
        if period:
            where, values = "r.period_key = ?", (encode_name(period),)
        elif business_date:
            where, values = "r.bd = ? AND r.period_us IS NOT NULL", (business_date,)
        else:
            where = "r.period_us <= ? AND r.period_us >= ?"
            values = (micros(now + AT_ITS_START), micros(now - ITS_PERIOD))
        return self.link.first(
            "SELECT r.period_key, r.period_us, r.bd FROM run r WHERE r.job_id = ?"  # noqa: S608  (our own words)
            f" AND {where} ORDER BY r.sort_us DESC LIMIT 1",
            (job_id, *values),
        )

    def _upstreams(self, job_id: int, business_date: str, at: datetime) -> tuple[UpstreamView, ...]:
        stale = self.store.stale_targets()
        rows = self.link.rows(
            "SELECT u.id, u.name, d.mode, u.target_id, d.condition, d.check_name, d.period, d.calendar, d.within_s,"
            " d.gate, d.need, c.dialect, c.expression, c.zone, c.next_us,"
            " c.accepted_us, s.zone, s.cutoff"
            " FROM dependency d JOIN job u ON u.id = d.upstream_id JOIN job w ON w.id = d.downstream_id"
            " JOIN system s ON s.id = u.system_id LEFT JOIN schedule c ON c.id = (SELECT MAX(x.id) FROM schedule x"
            " WHERE x.job_id = u.id AND x.accepted_us IS NOT NULL)"
            " WHERE (w.id = ? OR w.parent_id = ?) AND (COALESCE(u.parent_id, u.id) <> ? OR d.period = 'previous')"
            " ORDER BY u.name, u.id, d.origin",
            (job_id, job_id, job_id),
        )
        found: dict[int, UpstreamView] = {}
        for number, name, mode, target, *told in rows:  # what config says of a pair stands first
            if number not in found:
                wants, run, clock = (
                    parse_requirement(*told[:7]),
                    self._read(number, business_date, at),
                    _schedule(*told[7:]),
                )
                seen = _upstream(number, name, mode, clock, run, target in stale, stale.get(target))
                found[number] = seen if wants.is_plain else self._wanted(seen, wants, job_id, business_date, at)
        return tuple(found.values())

    def _wanted(
        self, seen: UpstreamView, wants: Requirement, job_id: int, business_date: str, at: datetime
    ) -> UpstreamView:
        """What else a gate must know of an upstream of which more than plain success is wanted."""
        is_same = wants.period is UpstreamPeriod.SAME
        return replace(
            seen,
            wants=wants,
            past=() if is_same else past_runs(self.link, seen.job_id, at),
            loops=wants.period is UpstreamPeriod.PREVIOUS and self.members.lies_below(seen.job_id, job_id),
            looks=check_results(self.link, wants.check, business_date)
            if wants.condition is UpstreamCondition.READY and business_date
            else None,
        )

    def _read(self, job_id: int, business_date: str, at: datetime) -> Row | None:
        """The run that counts: the last of that date before the instant, else the first; where that one is not good,
        the latest that is over by now, unless it is still to end and the later one is not good either."""
        before = self._run(job_id, business_date, "sort_us < ? ORDER BY sort_us DESC", micros(at))
        read = before or self._run(job_id, business_date, "sort_us >= ? ORDER BY sort_us", micros(at))
        if read is None or _is_good(read):
            return read
        later = self._run(job_id, business_date, f"sort_us <= ? AND sort_us > ? AND {_OVER} ORDER BY sort_us DESC",
                          micros(self.store.now()), read.sort_us)  # fmt: skip
        return later if later is not None and (_is_good(later) or RunState(read.state) not in OPEN_STATES) else read

    def _run(self, job_id: int, business_date: str, where: str, *values: int) -> Row | None:
        return self.link.first(
            "SELECT id, period_key, state, evidence, reason, stale_read, sort_us FROM run"  # noqa: S608  (our own words)
            f" WHERE job_id = ? AND bd = ? AND {where} LIMIT 1",
            (job_id, business_date, *values),
        )


_OPEN = ", ".join(f"'{state}'" for state in sorted(OPEN_STATES))
_OVER = f"state NOT IN ({_OPEN}, 'skipped') AND evidence <> 'asserted'"
"""As `control.snapshot`: a run that is skipped, or asserted by a person, says nothing of another run."""


def _is_good(run: Row) -> bool:
    return (run.state == RunState.SUCCEEDED and not run.stale_read) or run.state == RunState.SKIPPED


def _schedule(
    dialect: str | None, expression: str, schedule_zone: str, next_us: int | None, accepted: int, zone: str, cutoff: str
) -> ScheduleView | None:
    if dialect is None or dialect == "none":
        return None
    return ScheduleView(
        dialect, expression, schedule_zone, optional_instant(next_us), instant(accepted), zone, cutoff
    )  # fmt: skip


def _upstream(
    number: int, name: str, mode: str, clock: ScheduleView | None, run: Row | None, unseen: bool, since: datetime | None
) -> UpstreamView:
    told = run or (None, "", "", "", "", False, 0)
    run_id, period_key, state, evidence, reason, stale_read, _ = told
    return UpstreamView(
        number, name, mode, clock, run_id, visible_state(period_key) if period_key else "", state, evidence,
        reason, bool(stale_read), since, unseen,
    )  # fmt: skip


def _hold(row: Row) -> HoldView:
    return to_view(HoldView, row, period_key=visible_state(row.period_key))
