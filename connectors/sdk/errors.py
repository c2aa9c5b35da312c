"""Errors of a connector, by what happens next.

ConnectorError
├── SystemUnreachable          poll again later
│   ├── InvalidAnswer          it answers, with a fault
│   └── RateLimited            it receives too many requests
├── AccessRefused              a person must act (credentials, host key, settings)
│   ├── EncryptionRefused      TLS or the way of signing in: no right changes that
│   └── PermissionMissing      signed in, and not allowed
├── RecordUnreadable           skip this record, count it, keep the rest
├── NotSupported               never: this kind or this server cannot do it
│   └── ActionRefused          not now: the run or job is not as the action needs it
└── OutcomeUnknown             the request left, and may have arrived: look it up, never repeat it
    └── AnswerLost             no answer came
"""

from __future__ import annotations


class ConnectorError(Exception):
    """An expected failure at a scheduler. The message has place, value and fix, and no secret. `kind`: the status of a
    target whose poll ended with it."""

    kind = "failing"
    grants_help = True
    """False where no right of the account changes it."""


class SystemUnreachable(ConnectorError):
    """No useful answer now. `retry_after_seconds`: as the source requested; None where it did not."""

    kind = "unreachable"
    grants_help = False

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class InvalidAnswer(SystemUnreachable):
    """It answered with an internal fault, or with a truncated, garbled or too large answer."""

    kind = "failing"


class RateLimited(SystemUnreachable):
    """It answered that it receives too many requests, or is overloaded."""

    kind = "limited"


class AccessRefused(ConnectorError):
    """Credentials or a host key are refused; retrying changes nothing."""

    kind = "refused"


class EncryptionRefused(AccessRefused):
    """One side refuses the other's TLS, certificate or way of signing in."""

    grants_help = False


class DatabaseMissing(AccessRefused):
    """The server has no database of that name."""

    grants_help = False


class PermissionMissing(AccessRefused):
    """The account may sign in, and may not do this."""

    kind = "forbidden"


class RecordUnreadable(ConnectorError):
    """One record of a reply cannot be read."""


class NotSupported(ConnectorError):
    """This kind, or this server, cannot do it."""

    kind = "unsupported"


class ActionRefused(NotSupported):
    """The run or job is not as the action needs it: a preview is refused for it, and `act` sends nothing."""


class OutcomeUnknown(ConnectorError):
    """The request may have arrived."""


class AnswerLost(OutcomeUnknown):
    """The request was sent and no answer came."""

    def __init__(self, call: str, why: str) -> None:
        super().__init__(
            f"{call} was sent and its answer was lost ({why}). It is looked up before anything is sent again."
        )
