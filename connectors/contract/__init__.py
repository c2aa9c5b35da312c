"""What every connector promises, and the words that both sides of the door speak: the one place to import them from.

A connector speaks to ONE target of a system (a host, a database, an API) by plain blocking calls, each within the
`timeout_seconds` it is given for the whole call. It reports facts (`records`), does what it is asked for under our key
(`acts`), fails in five ways (`errors`), and never decides what any of it means for anybody else: `promise` has the
calls. `console` imports this package; this package imports nothing but the standard library and its own words
(`connectors.words`).
"""

from __future__ import annotations

from connectors.contract.acts import (
    ACTION_KEY,
    HOLD_MARK,
    SENT_AT,
    STARTED_LATER,
    Absent,
    Ask,
    CannotTell,
    Found,
    HoldMark,
    LookUp,
    NativeBackfill,
    NativeHold,
    Preview,
    Receipt,
)
from connectors.contract.errors import (
    AccessRefused,
    AnswerUnfit,
    ConnectorError,
    NotSupported,
    OutcomeUnknown,
    RecordUnreadable,
    RightMissing,
    SystemUnreachable,
    TooBusy,
)
from connectors.contract.promise import (
    CONTRACT_VERSION,
    Connector,
    ConnectorKind,
    Listener,
    Probe,
    Right,
    Secrets,
    Shell,
)
from connectors.contract.records import (
    Clock,
    Gap,
    Inventory,
    JobRecord,
    LogChunk,
    Poll,
    RunRecord,
    RunRef,
    Schedule,
    Skipped,
    instant_key,
)
from connectors.words import (
    OPEN_STATES,
    RED_STATES,
    Capability,
    Evidence,
    Proof,
    State,
    Verb,
)

__all__ = [
    "ACTION_KEY",
    "CONTRACT_VERSION",
    "HOLD_MARK",
    "OPEN_STATES",
    "RED_STATES",
    "SENT_AT",
    "STARTED_LATER",
    "Absent",
    "AccessRefused",
    "AnswerUnfit",
    "Ask",
    "CannotTell",
    "Capability",
    "Clock",
    "Connector",
    "ConnectorError",
    "ConnectorKind",
    "Evidence",
    "Found",
    "Gap",
    "HoldMark",
    "Inventory",
    "JobRecord",
    "Listener",
    "LogChunk",
    "LookUp",
    "NativeBackfill",
    "NativeHold",
    "NotSupported",
    "OutcomeUnknown",
    "Poll",
    "Preview",
    "Probe",
    "Proof",
    "Receipt",
    "RecordUnreadable",
    "Right",
    "RightMissing",
    "RunRecord",
    "RunRef",
    "Schedule",
    "Secrets",
    "Shell",
    "Skipped",
    "State",
    "SystemUnreachable",
    "TooBusy",
    "Verb",
    "instant_key",
]
