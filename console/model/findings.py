"""What the rules find about one job or run: frozen values with the figures behind them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class Rule(StrEnum):
    """The rules by the names that config, commands and alerts use."""

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
    def words(self) -> str:
        """ "too long", as people read it."""
        return self.value.replace("_", " ")


class Severity(StrEnum):
    """What comes of a finding by itself."""

    NOTE = "note"
    """It is written and shown."""
    ALERT = "alert"
    """It opens an incident where none explains it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The figures of a finding: what was seen, what it was compared with, and where that comes from."""

    seen: str
    threshold: str = ""
    """As people read it: "24m", "3 attempts"; empty where a rule has none."""
    source: str = ""
    """"history (18 Thursdays)", "declared in config (…)", "default"; empty where a rule has no threshold."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a rule says of a job, or of one of its runs. It holds no word that passing time would change."""

    rule: Rule
    job_id: int
    period_key: str
    """Of the run that it is about; empty where it is about the job."""
    run_id: int | None
    """None for the job, and for a run that the store has not seen."""
    bd: date
    since: datetime
    """From when on it holds."""
    words: str
    """One sentence with the figures, cleaned."""
    evidence: Evidence
    severity: Severity = Severity.NOTE

    @property
    def with_source(self) -> str:
        """The words, and the threshold with where it comes from: "…; threshold 24m, history (18 Thursdays)"."""
        if not self.evidence.threshold:
            return self.words
        return f"{self.words}; threshold {self.evidence.threshold}, {self.evidence.source}"

    @property
    def key(self) -> tuple[Rule, int, str]:
        """At most one of these is open."""
        return self.rule, self.job_id, self.period_key


@dataclass(frozen=True, slots=True)
class FindingFacts:
    """An open finding, as the store has it."""

    id: int
    finding: Finding


@dataclass(frozen=True, slots=True)
class FindingChange:
    """A finding that opens (`id` None), reads otherwise, or ends (`closed`: why)."""

    id: int | None
    finding: Finding
    closed: str = ""
