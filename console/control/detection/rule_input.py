"""Input of a rule: one job with its runs sorted once, its own past, its settings and its thresholds.

A threshold comes from config, else from the job's own past successes, else from the default, and says which. From
history: the quantile of what is usual on such a night (`console.forecast.usual`), times a factor, and at least a
floor away from it. Never a mean: one night of ten hours would move it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from connectors.sdk.states import RunEvidence as Proved
from connectors.sdk.states import RunState
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.estimates import quantile
from console.control.snapshot.runs import has_started
from console.domain.estate import JobFacts, RunFacts
from console.domain.finding import DetectionRule, Finding, FindingEvidence, RuleException, RuleThresholds
from console.domain.history import NO_HISTORY, RunHistory
from console.forecast.usual import UsualValues, night_kind
from console.forecast.usual import usual_values as usual_of
from console.text.cleaning import clean_line
from console.timing.business_dates import business_date_of
from console.timing.durations import format_duration
from console.timing.maintenance import matches_any

ENOUGH_RUNS = 8
"""A threshold from history rests on as many runs: fewer say nothing of a tail."""
_MINUTE, _HOUR = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class RuleDefault:
    """How a rule judges where config says nothing."""

    tells: bool = False
    """Whether it opens an incident of its own for a job that feeds a service."""
    factor: float = 1.0
    """The usual times this is the threshold from history, …"""
    floor: float = 0.0
    """… but at least so far from the usual: a job of 3 seconds may take 5."""
    threshold: float | None = None
    """Where there is neither history nor a word in config; None: no verdict then."""


DEFAULTS: Mapping[DetectionRule, RuleDefault] = {
    DetectionRule.NOT_STARTED: RuleDefault(),
    DetectionRule.LATE_START: RuleDefault(floor=2 * _MINUTE),
    DetectionRule.TOO_LONG: RuleDefault(tells=True, factor=1.5, floor=2 * _MINUTE),
    DetectionRule.TOO_SHORT: RuleDefault(factor=0.5, floor=_MINUTE),
    DetectionRule.STUCK_WAITING: RuleDefault(tells=True, factor=2.0, floor=10 * _MINUTE, threshold=30 * _MINUTE),
    DetectionRule.TOO_LONG_SINCE_SUCCESS: RuleDefault(tells=True, factor=1.5, floor=_HOUR),
    DetectionRule.N_IN_A_ROW: RuleDefault(tells=True, threshold=3),
    DetectionRule.OUTPUT_SHRANK: RuleDefault(tells=True, factor=0.5, floor=10),
    DetectionRule.RETRY_STORM: RuleDefault(tells=True, factor=2.0, floor=3, threshold=5),
    DetectionRule.OVERLAP: RuleDefault(floor=0, threshold=1),
    DetectionRule.OVER_BUDGET: RuleDefault(tells=True),
    DetectionRule.DRIFT: RuleDefault(),
}


@dataclass(frozen=True, slots=True)
class JobRuleSetting:
    """How one rule judges one job."""

    on: bool
    tells: bool | None
    """None: as the rule does by itself."""
    factor: float
    floor: float
    runs: int
    declared: float | None
    """A fixed threshold from config."""
    place: str
    """Where config says that."""
    default: float | None


class JobRuleSettings:
    """All of them, for one evaluation."""

    def __init__(self, index: EstateIndex) -> None:
        self._picture = index
        self._settings = {one.rule: one for one in index.estate.declared.rules}
        self._tiers: dict[int, int] | None = None
        self._plain = {
            rule: _setting(DEFAULTS[rule], RuleThresholds(), "") for rule in DetectionRule if rule not in self._settings
        }

    def of(self, rule: DetectionRule, job: JobFacts) -> JobRuleSetting:
        plain = self._plain.get(rule)
        return plain if plain is not None else _setting(DEFAULTS[rule], *self._said(rule, job))

    def tells(self, rule: DetectionRule, job: JobFacts) -> bool:
        """Whether a finding of that rule opens an incident for the job."""
        said = self.of(rule, job).tells
        return DEFAULTS[rule].tells and self.tier_of(job.id) is not None if said is None else said

    def tier_of(self, job_id: int) -> int | None:
        """Tier of the most important service that the job feeds; None where it feeds none."""
        if self._tiers is None:
            self._tiers = {}
            for service in sorted(self._picture.estate.services, key=lambda one: -one.tier):
                ends = [each for each in service.terminals if each in self._picture.estate.jobs]
                self._tiers.update(dict.fromkeys(self._picture.graph.members(ends), service.tier))
        return self._tiers.get(self._picture.graph.unit(job_id))

    def _said(self, rule: DetectionRule, job: JobFacts) -> tuple[RuleThresholds, str]:
        """What config says of the rule for the job, key by key the last that fits; and where its threshold stands."""
        setting = self._settings.get(rule)
        if setting is None:
            return RuleThresholds(), ""
        found, place = setting.said, f"[rules.{rule}]"
        for number, one in enumerate(setting.where, 1):
            if self._fits(one, job):
                found = _override(found, one.said)
                place = f"[[rules.{rule}.where]] {number}" if one.said.threshold is not None else place
        return found, place

    def _fits(self, one: RuleException, job: JobFacts) -> bool:
        if one.systems and job.system not in one.systems:
            return False
        if one.jobs and not matches_any(one.jobs, job.name):
            return False
        return not one.tiers or self.tier_of(job.id) in one.tiers


def _setting(default: RuleDefault, said: RuleThresholds, place: str) -> JobRuleSetting:
    return JobRuleSetting(
        on=said.on is not False,
        tells=said.tell,
        factor=default.factor if said.factor is None else said.factor,
        floor=default.floor,
        runs=ENOUGH_RUNS if said.runs is None else said.runs,
        declared=said.threshold,
        place=place,
        default=default.threshold,
    )


def _override(before: RuleThresholds, after: RuleThresholds) -> RuleThresholds:
    """`after`, and `before` where it says nothing."""
    return RuleThresholds(
        on=before.on if after.on is None else after.on,
        tell=before.tell if after.tell is None else after.tell,
        threshold=before.threshold if after.threshold is None else after.threshold,
        factor=before.factor if after.factor is None else after.factor,
        runs=before.runs if after.runs is None else after.runs,
    )


@dataclass(frozen=True, slots=True)
class RuleInput:
    """What one rule sees."""

    index: EstateIndex
    job: JobFacts
    history: RunHistory
    wishes: JobRuleSettings
    started: Sequence[RunFacts]
    """The runs that have begun at their source, in order."""
    open: Sequence[RunFacts]
    """Of these the ones that are seen and not over."""
    due: Sequence[RunFacts]
    """The runs that have not begun: PLANNED, HELD, MISSED, in order."""
    proofs: list[datetime] = field(default_factory=list)
    """The instants before now of which a rule asked whether they are proved."""

    @classmethod
    def of(cls, index: EstateIndex, job: JobFacts, wishes: JobRuleSettings) -> RuleInput:
        runs = index.runs.get(job.id, ())
        started = [run for run in runs if has_started(run)]
        return cls(
            index,
            job,
            index.estate.history.get(job.id, NO_HISTORY),
            wishes,
            started,
            [run for run in started if run.state.is_open and run.evidence is not Proved.STALE],
            [run for run in runs if not has_started(run)] if len(started) < len(runs) else (),
        )

    @property
    def now(self) -> datetime:
        return self.index.now

    @property
    def latest(self) -> RunFacts | None:
        """The newest run that has begun."""
        return self.started[-1] if self.started else None

    def wish(self, rule: DetectionRule) -> JobRuleSetting:
        return self.wishes.of(rule, self.job)

    def of_run(
        self, rule: DetectionRule, run: RunFacts, since: datetime, text: str, evidence: FindingEvidence
    ) -> Finding:
        """A finding about one run. A `since` that is still ahead says when it will hold."""
        return Finding(
            rule,
            self.job.id,
            run.period_key,
            run.id or None,
            run.business_date,
            since,
            _shown(text),
            _cleaned(evidence),
        )

    def of_job(self, rule: DetectionRule, since: datetime, text: str, evidence: FindingEvidence) -> Finding:
        """A finding about the job as a whole, on the business date of `since`."""
        return Finding(rule, self.job.id, "", None, self.date_of(since), since, _shown(text), _cleaned(evidence))

    def date_of(self, at: datetime) -> date:
        return business_date_of(at, None, self.job.zone, self.job.cutoff)

    def is_proved(self, since: datetime) -> bool:
        """True where everything that began before that instant has been seen; also of an instant that is ahead."""
        if since <= self.now:
            self.proofs.append(since)
        target = self.index.estate.targets.get(self.job.target_id)
        seen_until = target.seen_until if target is not None else None
        return since > self.now or (seen_until is not None and seen_until >= since)

    def is_held(self, run: RunFacts) -> bool:
        """True where a hold of ours kept this run back."""
        return any(
            hold.job_id == self.job.id and run.period_at is not None and hold.due_at == run.period_at
            for hold in self.index.estate.holds
        )


WORDS_LIMIT = 300


def _shown(text: str) -> str:
    """One line: reasons and names in it come from outside."""
    return clean_line(text, WORDS_LIMIT)


def _cleaned(evidence: FindingEvidence) -> FindingEvidence:
    return replace(evidence, seen=_shown(evidence.seen), source=_shown(evidence.source))


def run_for_finding(finding: Finding) -> RunFacts:
    """A run that stands for a finding about the job: nothing of its source is known."""
    return placeholder_run(finding.job_id, finding.period_key, finding.business_date, finding.since)


def placeholder_run(job_id: int, period_key: str, business_date: date, since: datetime) -> RunFacts:
    """A run that stands for one that its source does not know."""
    return replace(_NO_RUN, job_id=job_id, period_key=period_key, business_date=business_date, observed_at=since)


_NO_RUN = RunFacts(0, 0, "", None, date.min, RunState.UNKNOWN, Proved.INFERRED)

HIGH, LOW = 0.95, 0.05


@dataclass(frozen=True, slots=True)
class Threshold:
    """A figure and where it comes from."""

    value: float
    source: str

    def later(self, by: timedelta, why: str) -> Threshold:
        """The same, so much later as was planned for that day."""
        if not by:
            return self
        plus = format_duration(by.total_seconds())
        return Threshold(self.value + by.total_seconds(), f"{self.source}, +{plus}: {why}")

    def evidence(self, seen: str, words: Callable[[float], str] = format_duration) -> FindingEvidence:
        return FindingEvidence(seen, words(self.value), self.source)


def at_most(
    rule_input: RuleInput, rule: DetectionRule, column: Sequence[float], at: datetime, without: int = 0
) -> Threshold | None:
    """The most that is usual for a run at that time; None where nobody can say. `column`: of the history, without the
    run of that id."""
    wish = rule_input.wish(rule)
    return _fixed(wish) or _high(wish, _usual(rule_input, column, at, wish.runs, without)) or _default(wish)


def at_least(
    rule_input: RuleInput, rule: DetectionRule, column: Sequence[float], at: datetime, without: int = 0
) -> Threshold | None:
    """The least that is usual; None where nobody can say, or where the usual is smaller than the floor."""
    wish = rule_input.wish(rule)
    return _fixed(wish) or _low(wish, _usual(rule_input, column, at, wish.runs, without))


def usual_at_most(rule_input: RuleInput, rule: DetectionRule, values: Sequence[float], what: str) -> Threshold | None:
    """As `at_most`, from values that are of no single day. `what`: they are, in the plural."""
    wish = rule_input.wish(rule)
    high = quantile(values, HIGH) if len(values) >= wish.runs else None
    return (
        _fixed(wish) or (None if high is None else _times_usual(wish, high, f"{len(values)} {what}")) or _default(wish)
    )


def _usual(
    rule_input: RuleInput, column: Sequence[float], at: datetime, enough: int, without: int
) -> UsualValues | None:
    """What is usual on that night; None with too few runs."""
    history, tonight = rule_input.history, night_kind(rule_input.date_of(at))
    known = [
        (value, night_kind(date.fromordinal(day) if day > 0 else rule_input.date_of(datetime.fromtimestamp(when, UTC))))
        for number, day, when, value in zip(history.run_ids, history.days, history.at, column, strict=False)
        if number != without and value >= 0
    ][::-1]
    return usual_of([value for value, _ in known], [kind for _, kind in known], tonight, enough)


def _fixed(wish: JobRuleSetting) -> Threshold | None:
    return None if wish.declared is None else Threshold(wish.declared, f"declared in config, {wish.place}")


def _default(wish: JobRuleSetting) -> Threshold | None:
    return None if wish.default is None else Threshold(wish.default, "default")


def _high(wish: JobRuleSetting, known: UsualValues | None) -> Threshold | None:
    return None if known is None else _times_usual(wish, known.most(HIGH), f"{len(known.values)} {known.what}")


def _times_usual(wish: JobRuleSetting, high: float, what: str) -> Threshold:
    return Threshold(float(round(max(high * wish.factor, high + wish.floor))), f"history ({what})")


def _low(wish: JobRuleSetting, known: UsualValues | None) -> Threshold | None:
    if known is None or (low := known.least(LOW)) < wish.floor:
        return None
    return Threshold(low * wish.factor, f"history ({len(known.values)} {known.what})")
