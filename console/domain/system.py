"""Systems and targets as shown: health, polling, engine, header, drift."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.sdk.states import NOTHING_STARTS
from console.domain.switches import SystemPause, poll_interval_seconds
from console.timing.durations import format_duration


@dataclass(frozen=True, slots=True)
class TargetView:
    """What is polled on its own, and how it is."""

    system: str
    kind: str
    name: str
    last_ok: datetime | None
    failing_since: datetime | None
    error: str
    error_kind: str
    skew_s: float | None
    zone: str
    poll_ms: float | None
    poll_every_s: float
    skipped: int
    skipped_words: tuple[str, ...]
    warnings: tuple[str, ...]
    version: str
    rights: tuple[dict[str, object], ...]
    """As the last probe told them: {"name", "held", "why", "fix", "needed_for"}."""
    jobs: int
    capabilities: tuple[str, ...]
    missing: dict[str, str]
    lost: tuple[datetime, datetime] | None = None
    """The last window whose evidence is lost for good."""
    last_try: datetime | None = None
    failures: int = 0
    """Polls failed in a row."""
    seen_until: datetime | None = None
    """Every start before it has been seen: how far its cursor has come."""
    inventory: datetime | None = None
    """When its jobs were last listed anew."""
    booted: datetime | None = None
    pause: SystemPause | None = None
    """Its polls are paused by a person."""
    requests: int | None = None
    """Of the last poll: HTTP requests, commands over SSH, transactions; None where none leaves through our doors."""
    requests_minute: float | None = None
    allowed: str = ""
    """How many its API says are left."""

    @property
    def next_try(self) -> datetime | None:
        """Of one that fails, when it is asked again at the earliest: later where it asked for that (Retry-After),
        or its poll takes long. None while polls are well or paused."""
        if self.failing_since is None or self.last_try is None or self.pause is not None:
            return None
        return self.last_try + timedelta(seconds=poll_interval_seconds(self.poll_every_s, self.failures))

    def next_try_text(self, now: datetime) -> str:
        """ "in 40s, or when the wait is over that it asked for"; empty while polls are well."""
        if self.next_try is None:
            return ""
        ahead = (self.next_try - now).total_seconds()
        soon = f"in {format_duration(ahead)}" if ahead > 0 else "any moment"
        return f"{soon}, or when the wait is over that it asked for"

    @property
    def budget(self) -> str:
        """ "3 a poll, 12 a minute; 4812 of 5000 left"."""
        if self.requests is None:
            return "not counted: nothing leaves this machine for it" if self.last_ok is not None else ""
        allowed = self.allowed or "its API names no limit"
        return f"{self.requests} a poll, {self.requests_minute or 0:.0f} a minute; {allowed}"

    @property
    def problem(self) -> str:
        """What keeps it from being seen whole, the worst first; empty where nothing does."""
        if self.pause is not None:
            return self.pause.text
        if self.error:
            return f"{self.error_kind}: {self.error}" if self.error_kind else self.error
        if self.stopped_reason:
            return f"{NOTHING_STARTS}{self.stopped_reason}"
        lacking = [str(right.get("name", "")) for right in self.rights if right.get("held") is False]
        if lacking:
            return f"missing right: {', '.join(lacking)}"
        if self.warnings:
            more = f" (+{len(self.warnings) - 1} more)" if len(self.warnings) > 1 else ""
            return f"{self.warnings[0]}{more}"
        if self.skew_s is not None and abs(self.skew_s) >= MIN_SKEW_SECONDS:
            return f"its clock is {self.skew_s:+.1f} s off"
        return f"{self.skipped} records skipped: {'; '.join(self.skipped_words[-1:])}" if self.skipped else ""

    @property
    def stopped_reason(self) -> str:
        """Why none of its jobs starts, though it answers; empty where its scheduler runs, or nobody can tell."""
        told = (warning.removeprefix(NOTHING_STARTS) for warning in self.warnings if warning.startswith(NOTHING_STARTS))
        return next(told, "")

    @property
    def fix(self) -> str:
        """What to do about its error; empty without one."""
        return _FIXES.get(self.error_kind, "") if self.error else ""

    @property
    def is_well(self) -> bool:
        seen = self.failing_since is None and self.pause is None and self.last_ok is not None
        return seen and not self.stopped_reason


_FIXES = {
    "unreachable": "nobody answers there, and it is polled on: is it up, and reachable from the engine's machine?",
    "failing": "it answers, but with a fault or a broken answer; it is polled on: ask who runs it, or a proxy",
    "limited": "it answers that it is asked too much; it is polled on, less often: a longer poll_every helps",
    "refused": "a person must act: what signs in there is refused, or the way to it. headway check says which",
    "forbidden": "a person must act: it lets us in, and a right is missing there. headway check names it, grants how",
    "unsupported": "it answers, and this kind cannot read it: is the address right, and what it needs installed there?",
    "broken": "its answer could not be read, or our side broke: the engine's log has the details",
}
MIN_SKEW_SECONDS = 2
"""A clock that is so far off is told."""


def split_right(right: Mapping[str, object]) -> tuple[str, str]:
    """("MAY NOT", "read pg_cron: GRANT …"): whether we have a right at a source, as it told, and how to get it."""
    held = right.get("held")
    if held:
        return "may", str(right.get("name", ""))
    mend = str(right.get("fix") or right.get("why") or "")
    return "may?" if held is None else "MAY NOT", f"{right.get('name', '')}{mend and f': {mend}'}"


@dataclass(frozen=True, slots=True)
class DriftView:
    """A definition that changed at its source."""

    id: int
    """Another one as soon as it says something else: who accepts names the newest that they saw."""
    job: str
    what: str
    words: str
    seen: datetime
