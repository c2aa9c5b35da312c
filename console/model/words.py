"""Our own words, without the records: what screens need before their first paint. `console.model.values` has all."""

from __future__ import annotations

from enum import StrEnum


class Timeliness(StrEnum):
    """Ours, apart from state and evidence: how a run or service stands against its deadline."""

    NO_ESTIMATE = "no_estimate"
    ON_TIME = "on_time"
    AT_RISK = "at_risk"
    WILL_MISS = "will_miss"
    BREACHED = "breached"
    MET_LATE = "met_late"
    MET = "met"


class Safety(StrEnum):
    """Whether a job may simply be rerun, as its owner declared."""

    SAFE = "safe"
    ASK = "ask"
    NEVER = "never"


class Origin(StrEnum):
    """Who says that a dependency exists."""

    NATIVE = "native"
    DECLARED = "declared"


class AlertKind(StrEnum):
    """What a notice tells about its incident."""

    OPENED = "opened"
    UPDATED = "updated"
    RECOVERED = "recovered"
