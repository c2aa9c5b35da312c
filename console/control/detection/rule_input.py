"""Input of a rule: one job with its sorted runs, its own past, its settings and its thresholds.

A threshold comes from the config, else from the job's past successes, else from the default, and names its source.
From history: the usual quantile for such a night (`console.forecast.usual`), times a factor, and at least a floor
away from it. Never a mean: one night of ten hours would move it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from connectors.sdk.states import RunEvidence as Proved
from connectors.sdk.states import RunState
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.estimates import quantile
from console.control.snapshot.runs import cleaned, has_started
from console.domain.estate import JobFacts, RunFacts
from console.domain.finding import (
    TOO_LONG_FACTOR,
    TOO_LONG_FLOOR,
    DetectionRule,
    Finding,
    FindingEvidence,
    RuleException,
    RuleThresholds,
)
from console.domain.history import NO_HISTORY, RunHistory
from console.domain.text import Text
from console.forecast.usual import UsualValues, night_kind
from console.forecast.usual import usual_values as usual_of
from console.text.cleaning import clean_line
from console.timing.business_dates import business_date_of
from console.timing.durations import format_duration
from console.timing.maintenance import matches_any

ENOUGH_RUNS = 8
"""Runs that a threshold from history needs: fewer do not show a tail."""
_MINUTE, _HOUR = 60.0, 3600.0
HIGH, LOW = 0.95, 0.05
"""The usual quantiles that thresholds rest on."""


@dataclass(frozen=True, slots=True)
class RuleDefault:
    """Settings of a rule without config."""

    notifies: bool = False
    """True if it opens an incident for a job that feeds a service."""
    factor: float = 1.0
    """Factor on the usual value for the threshold from history, …"""
    floor: float = 0.0
    """… which is at least this far from the usual: a job of 3 seconds may take 5."""
    threshold: float | None = None
    """Without history and config; None: no verdict then."""


DEFAULTS: Mapping[DetectionRule, RuleDefault] = {
    DetectionRule.NOT_STARTED: RuleDefault(),
    DetectionRule.LATE_START: RuleDefault(floor=2 * _MINUTE),
    DetectionRule.TOO_LONG: RuleDefault(notifies=True, factor=TOO_LONG_FACTOR, floor=TOO_LONG_FLOOR),
    DetectionRule.TOO_SHORT: RuleDefault(factor=0.5, floor=_MINUTE),
    DetectionRule.STUCK_WAITING: RuleDefault(notifies=True, factor=2.0, floor=10 * _MINUTE, threshold=30 * _MINUTE),
    DetectionRule.TOO_LONG_SINCE_SUCCESS: RuleDefault(notifies=True, factor=1.5, floor=_HOUR),
    DetectionRule.N_IN_A_ROW: RuleDefault(notifies=True, threshold=3),
    DetectionRule.OUTPUT_SHRANK: RuleDefault(notifies=True, factor=0.5, floor=10),
    DetectionRule.RETRY_STORM: RuleDefault(notifies=True, factor=2.0, floor=3, threshold=5),
    DetectionRule.OVERLAP: RuleDefault(floor=0, threshold=1),
    DetectionRule.OVER_BUDGET: RuleDefault(notifies=True),
    DetectionRule.DRIFT: RuleDefault(),
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """A figure and its source."""

    value: float
    source: str

    def later(self, by: timedelta, why: str) -> Threshold:
        """Later by the planned extension of that day."""
        if not by:
            return self
        plus = format_duration(by)
        return Threshold(self.value + by.total_seconds(), f"{self.source}, +{plus}: {why}")

    def evidence(self, format_value: Callable[[float], str] = format_duration) -> FindingEvidence:
        return FindingEvidence(format_value(self.value), clean_line(self.source, TEXT_LIMIT))


@dataclass(frozen=True, slots=True)
class JobRuleSetting:
    """Settings of one rule for one job."""

    on: bool
    notifies: bool | None
    """None: the rule's default."""
    factor: float
    floor: float
    runs: int
    declared: float | None
    """Fixed threshold from the config."""
    place: str
    """Config key of that threshold."""
    default: float | None

    @property
    def fixed(self) -> Threshold | None:
        return None if self.declared is None else Threshold(self.declared, f"declared in config, {self.place}")

    @property
    def without_history(self) -> Threshold | None:
        return self.fixed or (None if self.default is None else Threshold(self.default, "default"))

    @property
    def least_delay(self) -> float:
        """Seconds after which a start may be late."""
        return self.floor if self.declared is None else self.declared


class JobRuleSettings:
    """Rule settings of one evaluation."""

    def __init__(self, index: EstateIndex) -> None:
        self._index = index
        self._settings = {rule.rule: rule for rule in index.estate.declared.rules}
        self._tiers: dict[int, int] | None = None
        self._plain = {
            rule: _setting(DEFAULTS[rule], RuleThresholds(), "") for rule in DetectionRule if rule not in self._settings
        }

    def of(self, rule: DetectionRule, job: JobFacts) -> JobRuleSetting:
        plain = self._plain.get(rule)
        return plain if plain is not None else _setting(DEFAULTS[rule], *self._declared(rule, job))

    def notifies(self, rule: DetectionRule, job: JobFacts) -> bool:
        """True if a finding of that rule opens an incident for the job."""
        declared = self.of(rule, job).notifies
        return DEFAULTS[rule].notifies and self.tier_of(job.id) is not None if declared is None else declared

    def tier_of(self, job_id: int) -> int | None:
        """Tier of the most important service that the job feeds; None if it feeds none."""
        if self._tiers is None:
            self._tiers = {}
            for service in sorted(self._index.estate.services, key=lambda known: -known.tier):
                self._tiers.update(dict.fromkeys(self._index.members(service), service.tier))
        return self._tiers.get(self._index.graph.unit(job_id))

    def _declared(self, rule: DetectionRule, job: JobFacts) -> tuple[RuleThresholds, str]:
        """Thresholds for the job, the last match per key, and the config key of its threshold."""
        setting = self._settings.get(rule)
        if setting is None:
            return RuleThresholds(), ""
        thresholds, place = setting.said, f"[rules.{rule}]"
        for number, exception in enumerate(setting.where, 1):
            if self._fits(exception, job):
                thresholds = _override(thresholds, exception.said)
                place = f"[[rules.{rule}.where]] {number}" if exception.said.threshold is not None else place
        return thresholds, place

    def _fits(self, exception: RuleException, job: JobFacts) -> bool:
        if exception.systems and job.system not in exception.systems:
            return False
        if exception.jobs and not matches_any(exception.jobs, job.name):
            return False
        return not exception.tiers or self.tier_of(job.id) in exception.tiers


def _setting(default: RuleDefault, thresholds: RuleThresholds, place: str) -> JobRuleSetting:
    return JobRuleSetting(
        on=thresholds.on is not False,
        notifies=thresholds.notify,
        factor=default.factor if thresholds.factor is None else thresholds.factor,
        floor=default.floor,
        runs=ENOUGH_RUNS if thresholds.runs is None else thresholds.runs,
        declared=thresholds.threshold,
        place=place,
        default=default.threshold,
    )


def _override(before: RuleThresholds, after: RuleThresholds) -> RuleThresholds:
    return RuleThresholds(
        on=before.on if after.on is None else after.on,
        notify=before.notify if after.notify is None else after.notify,
        threshold=before.threshold if after.threshold is None else after.threshold,
        factor=before.factor if after.factor is None else after.factor,
        runs=before.runs if after.runs is None else after.runs,
    )


@dataclass(slots=True)
class RuleInput:
    """Input of the rules about one job."""

    index: EstateIndex
    job: JobFacts
    history: RunHistory
    settings: JobRuleSettings
    started: Sequence[RunFacts]
    """Runs that have started, in order."""
    open: Sequence[RunFacts]
    """Those of them that are open and seen."""
    due: Sequence[RunFacts]
    """Runs that have not started: PLANNED, HELD, MISSED, in order."""
    proofs: list[datetime] = field(default_factory=list)
    """Instants before now for which a rule needs proof."""
    rule: DetectionRule = DetectionRule.NOT_STARTED
    """The rule that is applied."""

    @classmethod
    def of(cls, index: EstateIndex, job: JobFacts, settings: JobRuleSettings) -> RuleInput:
        runs = index.runs.get(job.id, ())
        started = [run for run in runs if has_started(run)]
        return cls(
            index,
            job,
            index.estate.history.get(job.id, NO_HISTORY),
            settings,
            started,
            [run for run in started if run.state.is_open and run.evidence is not Proved.STALE],
            [run for run in runs if not has_started(run)] if len(started) < len(runs) else (),
        )

    @property
    def now(self) -> datetime:
        return self.index.now

    @property
    def latest(self) -> RunFacts | None:
        """The newest started run."""
        return self.started[-1] if self.started else None

    @property
    def setting(self) -> JobRuleSetting:
        return self.settings.of(self.rule, self.job)

    def of_run(self, run: RunFacts, since: datetime, text: Text, evidence: FindingEvidence) -> Finding:
        """A finding about one run. A `since` in the future says when it will hold."""
        return self._finding(run.period_key, run.id or None, run.business_date, since, text, evidence)

    def of_job(self, since: datetime, text: Text, evidence: FindingEvidence) -> Finding:
        """A finding about the job as a whole, on the business date of `since`."""
        return self._finding("", None, self.date_of(since), since, text, evidence)

    def _finding(
        self, period_key: str, run_id: int | None, day: date, since: datetime, text: Text, evidence: FindingEvidence
    ) -> Finding:
        return Finding(self.rule, self.job.id, period_key, run_id, day, since, cleaned(text, TEXT_LIMIT), evidence)

    def date_of(self, at: datetime) -> date:
        return business_date_of(at, None, self.job.zone, self.job.cutoff)

    def is_proved(self, since: datetime) -> bool:
        """True if every start before that instant has been seen; also for an instant in the future."""
        if since <= self.now:
            self.proofs.append(since)
        target = self.index.estate.targets.get(self.job.target_id)
        seen_until = target.seen_until if target is not None else None
        return since > self.now or (seen_until is not None and seen_until >= since)

    def is_held(self, run: RunFacts) -> bool:
        """True if a hold of ours suppressed this run."""
        return any(
            hold.job_id == self.job.id and run.period_at is not None and hold.due_at == run.period_at
            for hold in self.index.estate.holds
        )

    def at_most(self, column: Sequence[float], at: datetime, without: int = 0) -> Threshold | None:
        """The usual maximum for a run at that time; None if unknown. `column`: of the history; `without`: id of the
        run to leave out."""
        setting = self.setting
        usual = None if setting.fixed is not None else self._usual(column, at, setting.runs, without)
        return setting.without_history if usual is None else _times_usual(setting, usual.most(HIGH), _counted(usual))

    def at_least(self, column: Sequence[float], at: datetime, without: int = 0) -> Threshold | None:
        """The usual minimum; None if unknown, or if the usual is smaller than the floor."""
        setting = self.setting
        usual = None if setting.fixed is not None else self._usual(column, at, setting.runs, without)
        if usual is None or (low := usual.least(LOW)) < setting.floor:
            return setting.fixed
        return Threshold(low * setting.factor, f"history ({_counted(usual)})")

    def usual_at_most(self, values: Sequence[float], what: str) -> Threshold | None:
        """As `at_most`, from values without dates. `what`: name of the values, plural."""
        setting = self.setting
        high = quantile(values, HIGH) if len(values) >= setting.runs else None
        usual = None if high is None else _times_usual(setting, high, f"{len(values)} {what}")
        return setting.fixed or usual or setting.without_history

    def _usual(self, column: Sequence[float], at: datetime, enough: int, without: int) -> UsualValues | None:
        history, tonight = self.history, night_kind(self.date_of(at))
        known = [
            (value, night_kind(date.fromordinal(day) if day > 0 else self.date_of(datetime.fromtimestamp(when, UTC))))
            for number, day, when, value in zip(history.run_ids, history.days, history.at, column, strict=False)
            if number != without and value >= 0
        ][::-1]
        return usual_of([value for value, _ in known], [kind for _, kind in known], tonight, enough)


TEXT_LIMIT = 300


def placeholder_run(job_id: int, period_key: str, business_date: date, since: datetime) -> RunFacts:
    """A run that its source does not know."""
    return replace(_NO_RUN, job_id=job_id, period_key=period_key, business_date=business_date, observed_at=since)


_NO_RUN = RunFacts(0, 0, "", None, date.min, RunState.UNKNOWN, Proved.INFERRED)


def _times_usual(setting: JobRuleSetting, high: float, what: str) -> Threshold:
    return Threshold(float(round(max(high * setting.factor, high + setting.floor))), f"history ({what})")


def _counted(usual: UsualValues) -> str:
    return f"{len(usual.values)} {usual.what}"
