"""What the last evaluation found of each job, taken again where nothing has changed that it was found from.

Whoever judges an estate again and again holds it (`control.kept`) and passes it in: the answer is the same without it.
What all jobs have in common (config, services, dependencies) is the same as long as one of these lasts; what it rests
on beside that stands in each `Found`. A time goes with it: from then on the clock alone may change what was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from console.control.moments import BEGINNING, NEVER, when
from console.control.sight import out_of_sight
from console.control.standing import Standing
from console.model.decisions import ExpectedRun, RunJudgement
from console.model.findings import Finding
from console.model.history import History
from console.model.values import Estate, JobFacts, RunFacts, TargetFacts

Looks = tuple[datetime | None, datetime | None]
"""Until when a target's starts are known, and when it last answered."""


@dataclass(slots=True)
class Found:
    """What was found of one job, and from what."""

    job: JobFacts
    runs: Sequence[RunFacts]
    """As the estate has them."""
    history: History | None
    target: object
    """How its target stood, as `Remembered` says it."""
    until: datetime
    """From then on the time may change it."""
    looks: Looks | None = None
    """Those of its target, where they were asked for."""
    expected: tuple[ExpectedRun, ...] = ()
    withdrawn: tuple[int, ...] = ()
    next_at: datetime | None = None
    merged: Sequence[RunFacts] | None = None
    """Its runs with those that are expected."""
    findings: tuple[Finding, ...] | None = None
    ahead: datetime | None = None
    """When time alone will add a finding."""
    standings: tuple[Standing, ...] | None = None
    """Of `merged`, one by one."""
    shrunk: tuple[object, ...] = ()
    """Which of its runs were known to be partial then, and until when."""
    judgements: tuple[RunJudgement, ...] | None = None
    """Where no service day says how its runs stand."""

    def lasts_until(self, moments: Iterable[datetime], now: datetime) -> None:
        """Those of the moments that are ahead end it."""
        self.until = min((self.until, *(at for at in moments if at > now)))


class Remembered:
    """By job; empty at first."""

    def __init__(self) -> None:
        self._by_job: dict[int, Found] = {}
        self._targets: dict[int, tuple[object, ...]] = {}
        self._looks: dict[int, Looks] = {}
        self._unsettled: frozenset[int] = frozenset()
        self._new: set[int] = set()
        """Jobs that this evaluation finds anew."""
        self._before: dict[int, Found] = {}
        self._now = BEGINNING
        self._goes_on = False
        """From the beginning of an evaluation to its end; after one that broke still."""

    def begin(self, estate: Estate, now: datetime) -> None:
        """An evaluation begins. Of one that broke nothing is taken for whole: what it found of a job says nothing of
        what those who read the job have taken from it."""
        if now < self._now or self._goes_on:
            self._by_job.clear()
        self._now, self._goes_on = now, True
        self._new, self._before = set(), {}
        self._unsettled = frozenset(hold.job_id for hold in estate.holds)
        for number, target in estate.targets.items():
            stands = _stands(target, now, estate)
            if self._targets.get(number) != stands:
                self._targets[number] = stands
            self._looks[number] = target.seen_until, target.last_ok_at

    def end(self) -> None:
        """It is over, and all that it found is whole."""
        self._new, self._before = set(), {}
        self._goes_on = False

    def forget(self, job_ids: Iterable[int]) -> None:
        """Of these jobs something else has changed."""
        for each in job_ids:
            if (found := self._by_job.get(each)) is not None:
                found.until = BEGINNING

    def of(self, job: JobFacts, runs: Sequence[RunFacts], history: History | None) -> tuple[Found, bool]:
        """What is known of the job; and whether it still holds, or is to be found anew."""
        found = self._by_job.get(job.id)
        if found is not None and self._now < found.until and job.id not in self._unsettled:
            same_runs = found.runs is runs or found.runs == runs
            same_facts = found.job is job or found.job == job
            same_past = found.history is history or found.history == history
            same_target = found.target is self._targets.get(job.target_id)
            same_looks = found.looks is None or found.looks == self._looks.get(job.target_id)
            if same_runs and same_facts and same_past and same_target and same_looks:
                return found, True
        if found is not None:
            self._before[job.id] = found
        until = BEGINNING if job.id in self._unsettled or job.budget_cost is not None else NEVER
        made = self._by_job[job.id] = Found(job, runs, history, self._targets.get(job.target_id), until)
        self._new.add(job.id)
        return made, False

    def get(self, job_id: int) -> Found | None:
        """As this evaluation has it."""
        return self._by_job.get(job_id)

    def is_new(self, job_id: int) -> bool:
        """True for what this evaluation has found anew."""
        return job_id in self._new

    def before(self, job_id: int) -> Found | None:
        """What the last evaluation had found, of what is new now; None where there is nothing whole."""
        return self._before.get(job_id)

    def leans_on_looks(self, found: Found) -> None:
        """What was found holds until its target is looked at again."""
        found.looks = self._looks.get(found.job.target_id)

    def reads_otherwise(self, job_id: int) -> bool:
        """True where those who read the job may see something else than at the last evaluation: of its runs, not of
        what was made of them."""
        if job_id not in self._new:
            return False
        now, before = self._by_job[job_id], self._before.get(job_id)
        if before is None or before.target is not now.target or before.job != now.job:
            return True
        was, runs = before.merged, now.merged
        if was is None or runs is None:
            return was is not runs
        return len(was) != len(runs) or any(map(_differ, was, runs))


def _stands(target: TargetFacts, now: datetime, estate: Estate) -> tuple[object, ...]:
    """All of a target that a job's verdicts see, but for its looks while it is in sight."""
    unseen = out_of_sight(target, now, estate.settings)
    seen = target.last_ok_at if unseen else None
    return (
        target.failing_since, target.lost, target.first_ok_at, target.system, target.name, target.poll_every,
        unseen, seen, target.seen_until is None,
    )  # fmt: skip


def _differ(was: RunFacts, run: RunFacts) -> bool:
    return was is not run and _seen(was) != _seen(run)


def _seen(run: RunFacts) -> tuple[object, ...]:
    """What a run's readers see of it."""
    return (
        run.id, run.period_key, run.bd, run.state, run.evidence, run.attempt, when(run), run.first_started_at,
        run.started_at, run.ended_at, run.successes, run.ends,
    )  # fmt: skip
