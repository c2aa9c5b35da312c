"""What changed since a root was last green, compared again while its incident is open: a scheduler's own list of jobs
is read less often than their runs, so that what was changed is often seen only after what it broke."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from console.control.changes import changes_of
from console.model.decisions import Decisions, IncidentDecision
from console.model.values import JobFacts
from console.store.open import Store
from console.store.pasts import Stamp, of_runs, stamps


class Compared:
    """Remembers of each open incident on what its comparison rests; a new engine compares all of them once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rests_on: dict[str, dict[int, Stamp]] = {}
        self._next = self._rests_on
        """The same with what is compared now, until it is written."""

    def again(self, decisions: Decisions, jobs: Mapping[int, JobFacts]) -> Decisions:
        """The decisions, where something is another since with what the comparison says now. What it rests on is
        remembered once they are written: by `keep`."""
        known = self._rests_on
        closed = {one.key for one in decisions.incidents if one.closed}
        self._next = {key: rests for key, rests in known.items() if key not in closed}
        still_open = [one for one in decisions.incidents if one.cause_run_ids and not one.closed]
        if not still_open:
            return decisions
        found = stamps(self._store, (number for one in still_open for number in one.cause_run_ids))
        now = {one.key: {each: found[each] for each in one.cause_run_ids if each in found} for one in still_open}
        due = {one.key for one in still_open if not one.changes and known.get(one.key) != now[one.key]}
        self._next |= now
        if not due:
            return decisions
        incidents = (self._compared(one, jobs) if one.key in due else one for one in decisions.incidents)
        return replace(decisions, incidents=tuple(incidents))

    def keep(self) -> None:
        """What was decided last is written."""
        self._rests_on = self._next

    def _compared(self, one: IncidentDecision, jobs: Mapping[int, JobFacts]) -> IncidentDecision:
        of_run = {each.run_id: each.job_id for each in one.members if each.run_id is not None}
        roots = [(each, of_run[each]) for each in one.cause_run_ids if of_run.get(each) in jobs]
        return replace(one, changes=changes_of(jobs, of_runs(self._store, one.cause_run_ids), roots))
