"""Whether an action that was sent may still arrive: a server can work on a request long after its sender is gone."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.sdk.contract import SENT_AT, ActionAbsent, ActionUnknown, LookUpResult, Preview
from connectors.sdk.errors import SystemUnreachable

SEND_SECONDS = 120.0
"""How long after its intent an action may connect and send: the engine's deadline, and a wait before."""
IN_FLIGHT_SECONDS = SEND_SECONDS + 60
"""How long an action may still arrive, through proxies, retries and a busy server's queue; the clocks of two engines'
hosts may differ by the rest."""


def sent_at(plan: Mapping[str, Any]) -> datetime | None:
    """When the intent was stored, by our clock; None for a plan that was not sent."""
    try:
        return datetime.fromisoformat(str(plan[SENT_AT])).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None


def wait_seconds(seconds: float) -> None:
    """Waits, like `time.sleep`, also in a process where that call is refused: libfaketime lets it fail."""
    threading.Event().wait(seconds)


CLOCK_SKEW = timedelta(minutes=2)
"""Difference between our clock and the source's, at most."""


def arrival_window(plan: Mapping[str, Any]) -> tuple[datetime, datetime | None]:
    """From when until when the source may have received the action, by its clock; for a plan that was not sent the
    last day, without an end."""
    sent = sent_at(plan)
    if sent is None:
        return datetime.now(UTC) - timedelta(days=1) - CLOCK_SKEW, None
    return sent - CLOCK_SKEW, sent + timedelta(seconds=IN_FLIGHT_SECONDS) + CLOCK_SKEW


SEARCH_BACK = timedelta(hours=1)
"""How long before it was sent the mark of an action is searched for on a host: the clocks may differ."""


def host_window(plan: Mapping[str, Any]) -> tuple[int, int]:
    """From when the mark of an action is searched for on a host, and until when it may be sent: epoch seconds by the
    host's clock, which is `plan["skew"]` seconds ahead of ours."""
    sent, skew = sent_at(plan), float(plan["skew"])
    since = (sent or datetime.now(UTC) - timedelta(days=1)) - SEARCH_BACK + timedelta(seconds=min(0.0, skew))
    until = (sent or datetime.now(UTC)) + timedelta(seconds=skew + SEND_SECONDS)
    return int(since.timestamp()), int(until.timestamp())


def unless_in_flight(answer: LookUpResult, preview: Preview, now: datetime | None = None) -> LookUpResult:
    """The answer, with ActionUnknown instead of ActionAbsent until IN_FLIGHT_SECONDS after it was sent: the source may
    still work on the request. `now`: by our clock."""
    sent = sent_at(preview.plan)
    if not isinstance(answer, ActionAbsent) or sent is None:
        return answer
    until = sent + timedelta(seconds=IN_FLIGHT_SECONDS)
    if (now or datetime.now(UTC)) > until:
        return answer
    return ActionUnknown(f"it is not there; the source may still work on it until {until:%H:%M:%S} UTC")


def send_timeout(preview: Preview, timeout_seconds: float, now: datetime | None = None) -> float:
    """The timeout of a send: `timeout_seconds`, but no longer than SEND_SECONDS after its intent. Raises
    SystemUnreachable after that, when `look_up` may have returned absent."""
    sent = sent_at(preview.plan)
    if sent is None:
        return timeout_seconds
    remaining = SEND_SECONDS - ((now or datetime.now(UTC)) - sent).total_seconds()
    if remaining <= 0:
        raise SystemUnreachable(f"{SEND_SECONDS:.0f} s have passed since it was to be sent: too late, send it again")
    return min(timeout_seconds, remaining)
