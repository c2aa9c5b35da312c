"""Whether something that was sent may still arrive: a server works on requests whose sender is long gone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.contract import SENT_AT, Absent, CannotTell, LookUp, Preview, SystemUnreachable

SEND_SECONDS = 120.0
"""After its intent, for how long an act may connect and send: the engine's deadline of one, and a wait before."""
IN_FLIGHT_SECONDS = SEND_SECONDS + 60
"""For how long an act may still arrive, through proxies, retries below us and a busy server's queue; the clocks of two
engines' hosts may differ by the rest."""


def sent_at(plan: Mapping[str, Any]) -> datetime | None:
    """When the intent was written down, by our clock; None for a plan that nobody sent."""
    try:
        return datetime.fromisoformat(str(plan[SENT_AT])).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None


def unless_on_its_way(answer: LookUp, preview: Preview, now: datetime | None = None) -> LookUp:
    """The answer, but CannotTell in place of Absent until IN_FLIGHT_SECONDS after it was sent: so long the source may
    still be working on a request that it has. `now` is ours."""
    sent = sent_at(preview.plan)
    if not isinstance(answer, Absent) or sent is None:
        return answer
    until = sent + timedelta(seconds=IN_FLIGHT_SECONDS)
    if (now or datetime.now(UTC)) > until:
        return answer
    return CannotTell(f"it is not there; what was sent may still be worked on until {until:%H:%M:%S} UTC")


def time_to_send(preview: Preview, timeout_seconds: float, now: datetime | None = None) -> float:
    """How long its sending may take: `timeout_seconds`, and no longer than until SEND_SECONDS after its intent was
    written down. Raises SystemUnreachable when that is over: whoever looks it up may have called it absent."""
    sent = sent_at(preview.plan)
    if sent is None:
        return timeout_seconds
    left = SEND_SECONDS - ((now or datetime.now(UTC)) - sent).total_seconds()
    if left <= 0:
        raise SystemUnreachable(f"{SEND_SECONDS:.0f} s have passed since it was to be sent: too late, ask again")
    return min(timeout_seconds, left)
