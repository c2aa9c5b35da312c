"""GitHub's two limits of requests: what an answer says of them, and when to ask again.

The primary limit is an hour's requests of a token (x-ratelimit-*); an answer 304 is free. The secondary limits are of
requests at once or a minute, and are told by Retry-After, or by words alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from connectors.contract import SystemUnreachable
from connectors.transport.http import Reply
from connectors.transport.http_reply import RETRY_AFTER_CEILING_SECONDS, retry_after

WITHOUT_A_TIME_SECONDS = 60.0  # "wait for at least one minute", REST docs, rate limits


@dataclass(slots=True)
class Budget:
    """Requests that are left until the hour of the limit is over, as the last answer told."""

    kept: int
    """Left to people and acts."""
    left: int | None = None
    until: datetime | None = None
    """By our clock."""

    def note(self, reply: Reply) -> None:
        """Takes what an answer says."""
        left, reset = _number(reply.headers.get("x-ratelimit-remaining")), _reset_in(reply)
        if left is not None and reset is not None:
            self.left, self.until = left, datetime.now(UTC) + timedelta(seconds=reset)

    def spare(self) -> None:
        """Raises SystemUnreachable where only the requests that are kept are left."""
        now = datetime.now(UTC)
        if self.left is None or self.until is None or now >= self.until or self.left > self.kept:
            return
        seconds = min((self.until - now).total_seconds(), RETRY_AFTER_CEILING_SECONDS)
        raise SystemUnreachable(
            f"GitHub: {self.left} requests of this token are left until {self.until:%H:%M:%S} UTC; requests_kept"
            f" = {self.kept} are for people and acts, so nothing is polled until then",
            seconds,
        )


def exceeded(reply: Reply) -> SystemUnreachable | None:
    """Why an answer 403 or 429 is about a limit, and for how long; None where it is about a right."""
    if reply.status not in (403, 429):
        return None
    seconds = retry_after(reply.headers.get("retry-after"), reply.clock)
    if seconds is None and reply.headers.get("x-ratelimit-remaining") == "0":
        seconds = _reset_in(reply)
    if seconds is None and "rate limit" in reply.said.lower():
        seconds = WITHOUT_A_TIME_SECONDS
    if seconds is None and reply.status == 403:
        return None
    said = f": {reply.said}" if reply.said else ""
    return SystemUnreachable(f"{reply.place} says that a limit of requests is reached{said}", seconds)


def _reset_in(reply: Reply) -> float | None:
    """Seconds until the limit's hour is over, by GitHub's own clock."""
    reset = _number(reply.headers.get("x-ratelimit-reset"))
    if reset is None:
        return None
    now = reply.clock.target.timestamp() if reply.clock else datetime.now(UTC).timestamp()
    return min(max(reset - now, 0.0), 3600.0)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 12 else None
