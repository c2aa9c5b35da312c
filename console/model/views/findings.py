"""What the rules found, as it is shown."""

from __future__ import annotations

from datetime import datetime

from console.model.frozen import dataclass


@dataclass(frozen=True, slots=True)
class FindingView:
    """One thing that a rule says of a job or run."""

    id: int
    rule: str
    severity: str
    """"note" (shown), "alert" (opens an incident where none explains it)."""
    job: str
    job_id: int
    period_key: str
    """Empty where it is about the job."""
    run_id: int | None
    since: datetime
    opened: datetime
    closed: datetime | None
    close_reason: str
    words: str
    seen: str
    threshold: str
    source: str
    """Where the threshold comes from: "history (18 Thursdays)", "declared in config, …", "default"."""

    @property
    def with_source(self) -> str:
        """The words, with the threshold and its source where there is one."""
        return f"{self.words}; threshold {self.threshold}, {self.source}" if self.threshold else self.words
