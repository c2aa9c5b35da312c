"""What a connector may fail with, sorted by what happens next.

ConnectorError
├── SystemUnreachable   poll again later
│   ├── AnswerUnfit     it answers, with a fault
│   └── TooBusy         it answers that it is asked too much
├── AccessRefused       a person must act (credentials, host key, settings)
│   └── RightMissing    signed in, and not allowed
├── RecordUnreadable    skip this record, count it, keep the rest
├── NotSupported        never: this kind or this server cannot do it
└── OutcomeUnknown      the wire was touched and the answer lost: look it up, never repeat
"""

from __future__ import annotations


class ConnectorError(Exception):
    """An expected failure at a scheduler. The message has place, value and mend, and no secret. `kind`: what a target
    that ends its polls so is called."""

    kind = "failing"


class SystemUnreachable(ConnectorError):
    """No useful answer now. `retry_after_seconds` is what the source asked for, if it did."""

    kind = "unreachable"

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class AnswerUnfit(SystemUnreachable):
    """It answered: with a fault of its own, or with what is cut, garbled or too large."""

    kind = "failing"


class TooBusy(SystemUnreachable):
    """It answered that it is asked too much, or has too much to do."""

    kind = "limited"


class AccessRefused(ConnectorError):
    """Credentials or a host key are refused; retrying changes nothing."""

    kind = "refused"


class RightMissing(AccessRefused):
    """Whoever signs in is let in, and may not do this."""

    kind = "forbidden"


class RecordUnreadable(ConnectorError):
    """One record of a reply cannot be read."""


class NotSupported(ConnectorError):
    """This kind, or this server, cannot do it."""

    kind = "unsupported"


class OutcomeUnknown(ConnectorError):
    """The request may have arrived; the answer was lost."""
