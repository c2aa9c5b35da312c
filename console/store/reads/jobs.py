"""Jobs as rows of the big table, and one job with its surroundings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from console.model.ids import LONGEST_ID, instant, is_short_for, maybe_instant, micros
from console.model.views import DriftView, JobRow, JobView
from console.store.errors import Ambiguous, LookAlike, NotFound
from console.store.keys import pack, unpack
from console.store.reads.base import seen
from console.store.reads.gates import waits_of
from console.store.reads.link import Row
from console.store.reads.near import near
from console.store.reads.order import OrderReads
from console.store.reads.runs import RunReads
from console.store.reads.watched import left_out, still_watched, unwatched

# ruff: noqa: S608  (SQL is put together from our own words; every value is bound)
HISTORY = 60
COMING = 3
"""Expected runs of a job that are told."""
NEAR_NAMES = 20_000
"""Names that are compared by spelling for a near miss; beyond it only those that hold what was typed."""
ALIKE = 5
"""Jobs that look alike which a message names at most."""
_JOB_ID = re.compile(rf"id:[0-9]{{1,{LONGEST_ID}}}")
_ROW = (
    "SELECT j.id, j.name, s.name, s.kind, l.state, COALESCE(r.evidence, 'native'), COALESCE(r.native_state, ''),"
    " COALESCE(r.timeliness, 'no_estimate'), COALESCE(r.bd, ''), r.id, r.started_us, r.ended_us,"
    " p.sort_us,"
    " COALESCE(c.words, ''), c.next_us, j.owner, j.paused_since_us, CASE WHEN c.id IS NOT NULL OR j.gone_since_us <"
    " (SELECT g.inventory_us FROM target g WHERE g.id = j.target_id) THEN j.gone_since_us END, j.parent_id,"
    " COALESCE(r.stale_read, FALSE), COALESCE(r.attempts, 0), j.target_id,"
    " h.state, h.held_by, h.until_us"
    " FROM {ids} JOIN job j ON j.id = k.a JOIN latest_run l ON l.job_id = j.id JOIN system s ON s.id = j.system_id"
    " LEFT JOIN run r ON r.id = l.run_id"
    " LEFT JOIN schedule c ON c.id = (SELECT MAX(x.id) FROM schedule x WHERE x.job_id = j.id AND x.accepted_us IS"
    " NOT NULL)"
    " LEFT JOIN run p ON p.id = (SELECT x.id FROM run x WHERE x.job_id = j.id AND x.sort_us > ? AND x.state = 'planned'"
    " ORDER BY x.sort_us LIMIT 1)"
    " LEFT JOIN hold h ON h.key = (SELECT MAX(x.key) FROM hold x WHERE x.job_id = j.id AND x.ended_us IS NULL AND"
    " x.kind <> 'trigger')"
)
"""Known by a run only, a job is gone once an inventory has come that does not show it: before, it may be new."""
_HELD = ("held", "releasing", "found")


class JobReads(RunReads, OrderReads):
    def jobs_by_ids(self, ids: Sequence[int]) -> list[JobRow]:
        """The lines of these jobs, in the order of the ids; unknown ones are left out."""
        stale = self.stale_targets()
        now_us = micros(self.now())
        rows = {row[0]: row for row in self.link.by_ids(_ROW, list(ids), (now_us,))}
        return [_job_row(rows[job_id], stale, now_us) for job_id in ids if job_id in rows]

    def job(self, name_or_id: str | int) -> JobView:
        """One job by id, by "system/native-id", by the end of that where it is the only one, or by "id:4". Raises
        NotFound with near misses, or with the ids of the jobs that only look as the name does."""
        job_id = self._job_id(name_or_id)
        found = self.jobs_by_ids([job_id])
        if not found:
            raise NotFound(str(name_or_id))
        [row] = found
        [facts] = self.link.rows(
            "SELECT title, definition, run_as, proof, runbook, rerun, expected_s, native_url FROM job WHERE id = ?",
            (job_id,),
        )
        title, definition, run_as, proof, runbook, rerun, expected_s, native_url = facts
        count, p50, p90 = self._durations(job_id)
        from console.store.reads.cards import card_of  # noqa: PLC0415 - no first paint needs it

        card = card_of(self.link, job_id, {"owner": row.owner, "runbook": runbook, "rerun": rerun})
        return JobView(
            row=row,
            title=title,
            definition=definition,
            run_as=run_as,
            proof=proof,
            runbook=runbook,
            rerun=rerun,
            expected_s=expected_s,
            history_runs=count,
            p50_s=p50,
            p90_s=p90,
            native_url=native_url,
            upstreams=self._neighbours(job_id, "downstream_id", "upstream_id"),
            downstreams=self._neighbours(job_id, "upstream_id", "downstream_id"),
            services=self.services_of(job_id),
            coming=self._coming(job_id) if row.next is not None else (),
            waits=waits_of(self.link, job_id),
            drift=tuple(one for one in self._drift_of(job_id, row.name)),
            runs=tuple(self.runs(job_id)),
            findings=tuple(self.findings(job_id)),
            card=card,
            left_out=left_out(self.link, job_id),
        )

    def job_named(self, typed: str) -> str:
        """The full name, as patterns are held against it, of the job that `typed` means. Raises NotFound."""
        return unpack(self.link.rows("SELECT name FROM job WHERE id = ?", (self._job_id(typed),))[0][0])

    # -- one job ----------------------------------------------------------------------------------------------------
    def _job_id(self, name_or_id: str | int) -> int:
        if isinstance(name_or_id, int):
            return name_or_id
        if _JOB_ID.fullmatch(name_or_id):
            return int(name_or_id.removeprefix("id:"))
        system, _, native_id = name_or_id.partition("/")
        rows = self.link.rows(
            "SELECT j.id FROM system s JOIN job j ON j.system_id = s.id AND j.native_id = ? WHERE s.name = ?",
            (pack(native_id), pack(system)),
        ) or self.link.rows("SELECT id FROM job WHERE name = ? ORDER BY id LIMIT ?", (pack(name_or_id), ALIKE + 1))
        if len(rows) > 1:
            raise LookAlike(name_or_id, tuple(row[0] for row in rows))
        return int(rows[0][0]) if rows else self._by_short_name(name_or_id)

    def _by_short_name(self, typed: str) -> int:
        """The one job that a short name is enough for; one that is watched and still there goes before the others. What
        begins with a system of ours is no short name: another system's job may end with it."""
        system, slash, _ = typed.partition("/")
        if slash and self.link.rows("SELECT 1 FROM system WHERE name = ?", (pack(system),)):
            raise NotFound(typed, self.near_jobs(typed), "headway jobs")
        holds = self.link.contains("name")
        known = unwatched(self.link) or "FALSE"
        query = f"SELECT id, name, gone_since_us, {known} FROM job j WHERE {holds} ORDER BY name"
        rows = [row for row in self.link.rows(query, (pack(typed),)) if is_short_for(pack(typed), row[1])]
        watched = [row for row in rows if not row[3]] or rows
        found = [row for row in watched if row[2] is None] or watched
        if len(found) > 1:
            raise Ambiguous(typed, tuple(row[1] for row in found))
        if not found:
            raise NotFound(typed, self.near_jobs(typed), "headway jobs")
        return int(found[0][0])

    def near_jobs(self, name: str) -> tuple[str, ...]:
        """Names of jobs that may have been meant, best first."""
        holds = self.link.contains("name")
        typed = pack(name.rpartition("/")[2] or name)
        watched = still_watched(self.link)
        names = self.link.rows(f"SELECT name FROM job j WHERE {holds}{watched} ORDER BY name LIMIT 50", (typed,))
        query = f"SELECT name FROM job j WHERE TRUE{watched} ORDER BY name LIMIT ?"
        names = names or self.link.rows(query, (NEAR_NAMES,))
        return near(name, [row[0] for row in names])

    def _durations(self, job_id: int) -> tuple[int, float | None, float | None]:
        """How many of the latest 60 successes there are, with median and 90 % of their seconds."""
        rows = self.link.rows(
            "SELECT started_us, ended_us FROM run WHERE job_id = ? AND state = 'succeeded' AND evidence = 'native'"
            " AND started_us IS NOT NULL AND ended_us >= started_us ORDER BY sort_us DESC LIMIT ?",
            (job_id, HISTORY),
        )
        seconds = [(ended - started) / 1_000_000 for started, ended in rows]
        if len(seconds) < 2:
            return len(seconds), (seconds[0] if seconds else None), (seconds[0] if seconds else None)
        from statistics import quantiles  # noqa: PLC0415 - it loads 5 ms of modules that no first paint needs

        cuts = quantiles(seconds, n=10, method="inclusive")
        return len(seconds), cuts[4], cuts[8]

    def _coming(self, job_id: int) -> tuple[datetime, ...]:
        rows = self.link.rows(
            "SELECT sort_us FROM run WHERE job_id = ? AND sort_us > ? AND state = 'planned' ORDER BY sort_us LIMIT ?",
            (job_id, micros(self.now()), COMING),
        )
        return tuple(instant(row[0]) for row in rows)

    def _neighbours(self, job_id: int, mine: str, other: str) -> tuple[tuple[str, str], ...]:
        rows = self.link.rows(
            f"SELECT j.name, d.origin FROM dependency d JOIN job j ON j.id = d.{other} WHERE d.{mine} = ?"
            " ORDER BY j.name, d.origin",
            (job_id,),
        )
        return tuple((name, origin) for name, origin in rows)

    def _drift_of(self, job_id: int, name: str) -> list[DriftView]:
        rows = self.link.rows(
            "SELECT id, what, words, seen_us FROM drift WHERE job_id = ? AND accepted_us IS NULL AND ended_us IS NULL"
            " ORDER BY id",
            (job_id,),
        )
        return [DriftView(row[0], name, row[1], row[2], instant(row[3])) for row in rows]


def _next(planned: int | None, told: int | None, now_us: int, is_paused: bool) -> int | None:
    """The next expected run; without one what the source names, where that is ahead and will come."""
    return told if planned is None and told is not None and told > now_us and not is_paused else planned


def _job_row(row: Row, stale: dict[int, datetime | None], now_us: int) -> JobRow:
    (
        job_id, name, system, kind, state, evidence, native_state, timeliness, bd, run_id, started, ended, planned,
        schedule, told, owner, paused, gone, parent, stale_read, attempts, target_id,
        hold, held_by, until,
    ) = row  # fmt: skip
    shown = seen(state, evidence, target_id, stale)
    is_held = hold in _HELD or (hold == "placing" and paused is not None)
    return JobRow(
        id=job_id,
        name=name,
        system=system,
        kind=kind,
        state=shown.state,
        evidence=shown.evidence,
        native_state=native_state,
        timeliness=timeliness,
        bd=bd,
        run_id=run_id,
        started=maybe_instant(started),
        ended=maybe_instant(ended),
        next=None
        if is_held or gone is not None
        else maybe_instant(_next(planned, told, now_us, paused is not None and hold is None)),
        schedule=schedule,
        owner=owner,
        paused=paused is not None and hold is None,
        gone=gone is not None,
        is_task=parent is not None,
        stale_since=shown.stale_since,
        stale_read=bool(stale_read),
        attempts=attempts,
        held_by=held_by if is_held else "",
        held_until=maybe_instant(until) if is_held else None,
    )
