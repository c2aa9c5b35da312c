"""When a job without a readable schedule has run: what its cadence is learned from."""

from __future__ import annotations

from console.store.reads.base import Base

STARTS = 60
"""Latest successes that are looked at, as decisions do."""


class CadenceReads(Base):
    def unscheduled_starts(self, job_id: int) -> tuple[str, tuple[int, ...]] | None:
        """Zone of its system, and its latest starts (period's instant, else first start; seconds since 1970), newest
        first. None where a schedule of it is known, and for tasks."""
        rows = self.link.rows(
            "SELECT s.zone FROM job j JOIN system s ON s.id = j.system_id WHERE j.id = ? AND j.parent_id IS NULL"
            " AND COALESCE((SELECT c.dialect FROM schedule c WHERE c.job_id = j.id AND c.accepted_us IS NOT NULL"
            " ORDER BY c.id DESC LIMIT 1), 'none') = 'none'",
            (job_id,),
        )
        if not rows:
            return None
        starts = self.link.rows(
            "SELECT COALESCE(period_us, first_started_us) FROM run WHERE job_id = ? AND state = 'succeeded'"
            " AND first_started_us IS NOT NULL ORDER BY sort_us DESC LIMIT ?",
            (job_id, STARTS),
        )
        return str(rows[0][0]), tuple(int(row[0]) // 1_000_000 for row in starts)
