"""One job as the rules look at it: its runs sorted once, its own past, and how each rule is to judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from connectors.contract import Evidence as Proved
from connectors.contract import State
from console.clean import clean_line
from console.control.expected import has_started
from console.control.periods import business_date
from console.control.picture import Picture
from console.control.rules.wishes import Wish, Wishes
from console.model.findings import Evidence, Finding, Rule
from console.model.history import NO_HISTORY, History
from console.model.values import JobFacts, RunFacts


@dataclass(frozen=True, slots=True)
class Look:
    """What one rule sees."""

    picture: Picture
    job: JobFacts
    history: History
    wishes: Wishes
    started: Sequence[RunFacts]
    """The runs that have begun at their source, in order."""
    open: Sequence[RunFacts]
    """Of these the ones that are seen and not over."""
    due: Sequence[RunFacts]
    """The runs that have not begun: PLANNED, HELD, MISSED, in order."""
    proofs: list[datetime] = field(default_factory=list)
    """The instants before now of which a rule asked whether they are proved."""

    @classmethod
    def of(cls, picture: Picture, job: JobFacts, wishes: Wishes) -> Look:
        runs = picture.runs.get(job.id, ())
        started = [run for run in runs if has_started(run)]
        return cls(
            picture,
            job,
            picture.estate.history.get(job.id, NO_HISTORY),
            wishes,
            started,
            [run for run in started if run.state.is_open and run.evidence is not Proved.STALE],
            [run for run in runs if not has_started(run)] if len(started) < len(runs) else (),
        )

    @property
    def now(self) -> datetime:
        return self.picture.now

    @property
    def latest(self) -> RunFacts | None:
        """The newest run that has begun."""
        return self.started[-1] if self.started else None

    def wish(self, rule: Rule) -> Wish:
        return self.wishes.of(rule, self.job)

    def of_run(self, rule: Rule, run: RunFacts, since: datetime, words: str, evidence: Evidence) -> Finding:
        """A finding about one run. A `since` that is still ahead says when it will hold."""
        return Finding(
            rule, self.job.id, run.period_key, run.id or None, run.bd, since, _shown(words), _cleaned(evidence)
        )

    def of_job(self, rule: Rule, since: datetime, words: str, evidence: Evidence) -> Finding:
        """A finding about the job as a whole, on the business date of `since`."""
        return Finding(rule, self.job.id, "", None, self.date_of(since), since, _shown(words), _cleaned(evidence))

    def date_of(self, at: datetime) -> date:
        return business_date(at, None, self.job.zone, self.job.cutoff)

    def is_proved(self, since: datetime) -> bool:
        """True where everything that began before that instant has been seen; also of an instant that is ahead."""
        if since <= self.now:
            self.proofs.append(since)
        target = self.picture.estate.targets.get(self.job.target_id)
        seen_until = target.seen_until if target is not None else None
        return since > self.now or (seen_until is not None and seen_until >= since)

    def is_held(self, run: RunFacts) -> bool:
        """True where a hold of ours kept this run back."""
        return any(
            hold.job_id == self.job.id and run.period_at is not None and hold.due_at == run.period_at
            for hold in self.picture.estate.holds
        )


WORDS_LIMIT = 300


def _shown(words: str) -> str:
    """One line: reasons and names in it come from outside."""
    return clean_line(words, WORDS_LIMIT)


def _cleaned(evidence: Evidence) -> Evidence:
    return replace(evidence, seen=_shown(evidence.seen), source=_shown(evidence.source))


def as_root(finding: Finding) -> RunFacts:
    """A run that stands for a finding about the job: nothing of its source is known."""
    return no_run(finding.job_id, finding.period_key, finding.bd, finding.since)


def no_run(job_id: int, period_key: str, bd: date, since: datetime) -> RunFacts:
    """A run that stands for one that its source does not know."""
    return replace(_NO_RUN, job_id=job_id, period_key=period_key, bd=bd, observed_at=since)


_NO_RUN = RunFacts(0, 0, "", None, date.min, State.UNKNOWN, Proved.INFERRED)
