"""Findings of the detection rules, the settings of the rules, and a finding's row."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from console.domain.text import Text

TOO_LONG_FACTOR, TOO_LONG_FLOOR = 1.5, 120.0
"""A run takes too long from this factor on its usual duration on, and at least from so many seconds more than that."""


class DetectionRule(StrEnum):
    NOT_STARTED = "not_started"
    LATE_START = "late_start"
    TOO_LONG = "too_long"
    TOO_SHORT = "too_short"
    STUCK_WAITING = "stuck_waiting"
    TOO_LONG_SINCE_SUCCESS = "too_long_since_success"
    N_IN_A_ROW = "n_in_a_row"
    OUTPUT_SHRANK = "output_shrank"
    RETRY_STORM = "retry_storm"
    OVERLAP = "overlap"
    OVER_BUDGET = "over_budget"
    DRIFT = "drift"

    @property
    def text(self) -> str:
        return rule_text(self.value)

    @property
    def predicate(self) -> str:
        """The rule as the predicate of a sentence about a job."""
        return _PREDICATES[self][0]

    @property
    def past_predicate(self) -> str:
        """The predicate once the finding no longer holds."""
        return _PREDICATES[self][1]


def rule_text(rule: str) -> str:
    """The rule as people read it: "late start"."""
    return "repeated failures" if rule == DetectionRule.N_IN_A_ROW else rule.replace("_", " ")


def accept_command(job: str, change: int) -> str:
    """The command that accepts the drift of this job. `change`: number of the newest of several changes, which must be
    named; 0 if there is one."""
    return f"headway system drift accept {shlex.quote(job)}{f' --change {change}' if change else ''}"


def drift_fix(job: str, change: int) -> str:
    """The fix for drift of this job, as one line, however long the name is. `change`: as `accept_command` has it."""
    return f"{accept_command(job, change)}, or undo the change at its scheduler"


_PREDICATES = {
    DetectionRule.NOT_STARTED: ("has not started", "had not started"),
    DetectionRule.LATE_START: ("starts late", "started late"),
    DetectionRule.TOO_LONG: ("is running too long", "was running too long"),
    DetectionRule.TOO_SHORT: ("ended too soon", "ended too soon"),
    DetectionRule.STUCK_WAITING: ("is stuck waiting", "was stuck waiting"),
    DetectionRule.TOO_LONG_SINCE_SUCCESS: ("is overdue", "was overdue"),
    DetectionRule.N_IN_A_ROW: ("fails again and again", "failed again and again"),
    DetectionRule.OUTPUT_SHRANK: ("has less output than usual", "had less output than usual"),
    DetectionRule.RETRY_STORM: ("is retried too often", "was retried too often"),
    DetectionRule.OVERLAP: ("overlaps itself", "overlapped itself"),
    DetectionRule.OVER_BUDGET: ("is over its budget", "was over its budget"),
    DetectionRule.DRIFT: ("has drifted", "had drifted"),
}


class FindingSeverity(StrEnum):
    NOTE = "note"
    """Recorded and shown."""
    ALERT = "alert"
    """Opens an incident unless one explains it."""


@dataclass(frozen=True, slots=True)
class FindingEvidence:
    """The threshold of a rule, and its source."""

    threshold: str = ""
    """ "24m", "3 attempts"; empty without a threshold."""
    source: str = ""
    """ "history (18 Thursdays)", "declared in config (…)", "default"."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of a rule about a job or one of its runs. Its text does not change as time passes."""

    rule: DetectionRule
    job_id: int
    period_key: str
    """Period of its run; empty for the job."""
    run_id: int | None
    """None for the job, and for a run that the store has not seen."""
    business_date: date
    since: datetime
    text: Text
    """One sentence with the figures, cleaned."""
    evidence: FindingEvidence
    severity: FindingSeverity = FindingSeverity.NOTE

    @property
    def with_source(self) -> Text:
        """The text, and its threshold with source: "…; threshold 24m, history (18 Thursdays)"."""
        return *self.text, _threshold_text(self.evidence.threshold, self.evidence.source)

    @property
    def key(self) -> tuple[DetectionRule, int, str]:
        """At most one finding with this key is open."""
        return self.rule, self.job_id, self.period_key


class StoredFinding(NamedTuple):
    """An open finding, as the store has it."""

    id: int
    finding: Finding


class FindingChange(NamedTuple):
    """A finding that opens (`id` None), changes, or ends (`closed`: why)."""

    id: int | None
    finding: Finding
    closed: str = ""


@dataclass(frozen=True, slots=True)
class RuleThresholds:
    """Settings of a rule in one table of config. None: not set there."""

    on: bool | None = None
    """False: it finds nothing."""
    notify: bool | None = None
    """True: a finding opens an incident. The default depends on the rule."""
    threshold: float | None = None
    """Seconds, a count, or a share, as the rule counts; fixed, whatever history says."""
    factor: float | None = None
    """Multiple of the usual value."""
    runs: int | None = None
    """The fewest past runs on which a limit may rest."""


@dataclass(frozen=True, slots=True)
class RuleException:
    """One `[[rules.NAME.where]]`: overrides for the jobs that match every selector that is set."""

    said: RuleThresholds
    jobs: tuple[str, ...] = ()
    """Patterns of "system/native-id"; * for any text."""
    systems: tuple[str, ...] = ()
    tiers: tuple[int, ...] = ()
    """Of the most important service downstream."""


@dataclass(frozen=True, slots=True)
class RuleSetting:
    """One `[rules.NAME]` with its exceptions; a later match wins."""

    rule: DetectionRule
    said: RuleThresholds = RuleThresholds()
    where: tuple[RuleException, ...] = ()


@dataclass(frozen=True, slots=True)
class FindingView:
    """A finding as shown."""

    id: int
    rule: str
    severity: str
    job: str
    job_id: int
    period_key: str
    """Empty for the job."""
    run_id: int | None
    since: datetime
    opened: datetime
    closed: datetime | None
    close_reason: str
    text: Text
    threshold: str
    source: str
    fix: str = ""
    """Commands that end it, while it is open; empty where none does."""

    @property
    def with_source(self) -> Text:
        """The text with its threshold and source, and with its fix."""
        return *self.text, _threshold_text(self.threshold, self.source), f". Fix: {self.fix}" if self.fix else ""


def _threshold_text(threshold: str, source: str) -> str:
    return f"; threshold {threshold}, {source}" if threshold else ""
