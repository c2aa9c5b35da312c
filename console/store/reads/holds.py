"""What is held, and what a gate waits for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from connectors.words import OPEN_STATES, State
from console.model.ids import instant, maybe_instant, micros
from console.model.views import ClockView, GateView, HoldView, UpstreamView
from console.model.wants import Condition, Period, Wants
from console.store.errors import HasNone
from console.store.keys import pack
from console.store.reads.base import visible
from console.store.reads.gates import wants_of
from console.store.reads.jobs import JobReads
from console.store.reads.link import Row
from console.store.reads.past import looks, past_runs

_HOLDS = (
    "SELECT h.key, h.job_id, j.name, s.name, h.state, h.kind, h.mode, COALESCE(u.name, ''), h.held_by, h.why, h.words,"
    " h.placed_us, h.until_us, h.due_us, h.period_key, h.ended_us, h.release_key, h.start_key,"
    " COALESCE(h.seen_us, h.placed_us)"
    " FROM hold h JOIN job j ON j.id = h.job_id JOIN system s ON s.id = j.system_id LEFT JOIN job u"
    " ON u.id = h.upstream_id"
)
ENDED_SHOWN = 200
"""Holds that are over which a list shows at most, newest first."""
AT_ITS_START = timedelta(seconds=90)
"""A gate that runs so much before the instant of its job is asked for that instant."""
ITS_PERIOD = timedelta(hours=25)
"""An instant further back than this is not the one a gate is asked for now."""


class HoldReads(JobReads):
    def holds(self, ended: bool = False) -> list[HoldView]:
        """Open holds, longest first; with `ended`, those that are over, newest first."""
        if ended:
            order = f" WHERE h.ended_us IS NOT NULL ORDER BY h.ended_us DESC, h.key LIMIT {ENDED_SHOWN}"
        else:
            order = " WHERE h.ended_us IS NULL ORDER BY COALESCE(h.placed_us, h.due_us, 0), h.key"
        return [_hold(row) for row in self.link.rows(_HOLDS + order)]

    def hold(self, name: str) -> HoldView:
        """The open hold of that key, or of the job of that name. Raises NotFound."""
        rows = self.link.rows(f"{_HOLDS} WHERE h.key = ?", (name,)) if name.isascii() else []  # as every key is
        if rows:
            return _hold(rows[0])
        job = self.job(name)
        found = [one for one in self.holds() if one.job_id == job.row.id]
        if not found:
            raise HasNone(job.row.name, f"{job.row.name} is not held; headway holds lists what is")
        return found[0]

    def gate(self, name: str, period: str = "", bd: str = "") -> GateView:
        """What the job of that name waits for: for that period, else that business date, else its instant that is due
        now. `bd` is empty where none of these is known. Raises NotFound."""
        job = self.job(name)
        number, now = job.row.id, self.now()
        row = self._gate_run(number, period, bd, now)
        if period and row is None:
            told = f"{job.row.name} has no run {period}; headway runs lists those that are known"
            raise HasNone(job.row.name, told)
        at = now if row is None or row[1] is None else instant(row[1])
        date = bd or (row[2] if row is not None else "")
        period_key = visible(row[0]) if row is not None else ""
        return GateView(number, job.row.name, date, at, period_key, self._upstreams(number, date, at))

    def gate_zone(self, job_id: int) -> tuple[str, str]:
        """(zone, cutoff) of the job's system, for a business date that no run tells."""
        [(zone, cutoff)] = self.link.rows(
            "SELECT s.zone, s.cutoff FROM job j JOIN system s ON s.id = j.system_id WHERE j.id = ?", (job_id,)
        )
        return zone, cutoff

    def _gate_run(self, job_id: int, period: str, bd: str, now: datetime) -> Row | None:
        """(period key, its instant, business date) of the run that is meant."""
        values: tuple[object, ...]
        if period:
            where, values = "r.period_key = ?", (pack(period),)
        elif bd:
            where, values = "r.bd = ? AND r.period_us IS NOT NULL", (bd,)
        else:
            where = "r.period_us <= ? AND r.period_us >= ?"
            values = (micros(now + AT_ITS_START), micros(now - ITS_PERIOD))
        rows = self.link.rows(
            "SELECT r.period_key, r.period_us, r.bd FROM run r WHERE r.job_id = ?"  # noqa: S608  (our own words)
            f" AND {where} ORDER BY r.sort_us DESC LIMIT 1",
            (job_id, *values),
        )
        return rows[0] if rows else None

    def _upstreams(self, job_id: int, bd: str, at: datetime) -> tuple[UpstreamView, ...]:
        stale = self.stale_targets()
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
                wants, run, clock = wants_of(*told[:7]), self._read(number, bd, at), _clock(*told[7:])
                seen = _upstream(number, name, mode, clock, run, target in stale, stale.get(target))
                found[number] = seen if wants.is_plain else self._wanted(seen, wants, job_id, bd, at)
        return tuple(found.values())

    def _wanted(self, seen: UpstreamView, wants: Wants, job_id: int, bd: str, at: datetime) -> UpstreamView:
        """What else a gate must know of an upstream of which more than plain success is wanted."""
        is_same = wants.period is Period.SAME
        return replace(
            seen,
            wants=wants,
            past=() if is_same else past_runs(self.link, seen.job_id, at),
            loops=wants.period is Period.PREVIOUS and self.lies_below(seen.job_id, job_id),
            looks=looks(self.link, wants.check, bd) if wants.condition is Condition.READY and bd else None,
        )

    def _read(self, job_id: int, bd: str, at: datetime) -> Row | None:
        """The run that counts: the last of that date before the instant, else the first; where that one is not good,
        the latest that is over by now, unless it is still to end and the later one is not good either."""
        before = self._run(job_id, bd, "sort_us < ? ORDER BY sort_us DESC", micros(at))
        read = before or self._run(job_id, bd, "sort_us >= ? ORDER BY sort_us", micros(at))
        if read is None or _is_good(read):
            return read
        later = self._run(job_id, bd, f"sort_us <= ? AND sort_us > ? AND {_OVER} ORDER BY sort_us DESC",
                          micros(self.now()), read[-1])  # fmt: skip
        return later if later is not None and (_is_good(later) or State(read[2]) not in OPEN_STATES) else read

    def _run(self, job_id: int, bd: str, where: str, *values: int) -> Row | None:
        rows = self.link.rows(
            "SELECT id, period_key, state, evidence, reason, stale_read, sort_us FROM run"  # noqa: S608  (our own words)
            f" WHERE job_id = ? AND bd = ? AND {where} LIMIT 1",
            (job_id, bd, *values),
        )
        return rows[0] if rows else None


_OPEN = ", ".join(f"'{state}'" for state in sorted(OPEN_STATES))
_OVER = f"state NOT IN ({_OPEN}, 'skipped') AND evidence <> 'asserted'"
"""As `control.picture` has it: what is skipped, or good by a person's word, speaks for no other run."""


def _is_good(run: Row) -> bool:
    return (run[2] == State.SUCCEEDED and not run[5]) or run[2] == State.SKIPPED


def _clock(
    dialect: str | None, expression: str, schedule_zone: str, next_us: int | None, accepted: int, zone: str, cutoff: str
) -> ClockView | None:
    if dialect is None or dialect == "none":
        return None
    return ClockView(
        dialect, expression, schedule_zone, maybe_instant(next_us), instant(accepted), zone, cutoff
    )  # fmt: skip


def _upstream(
    number: int, name: str, mode: str, clock: ClockView | None, run: Row | None, unseen: bool, since: datetime | None
) -> UpstreamView:
    told = run or (None, "", "", "", "", False, 0)
    run_id, period_key, state, evidence, reason, stale_read, _ = told
    return UpstreamView(
        number, name, mode, clock, run_id, visible(period_key) if period_key else "", state, evidence,
        reason, bool(stale_read), since, unseen,
    )  # fmt: skip


def _hold(row: Row) -> HoldView:
    (
        key, job_id, job, system, state, kind, mode, upstream, held_by, why, words, placed, until, due, period_key,
        ended, release_key, start_key, seen,
    ) = row  # fmt: skip
    return HoldView(
        key, job_id, job, system, state, kind, mode, upstream, held_by, why, words, maybe_instant(placed),
        instant(until), maybe_instant(due), visible(period_key) if period_key else "", maybe_instant(ended),
        release_key, start_key, maybe_instant(seen) if state in ("held", "found") else None,
    )  # fmt: skip
