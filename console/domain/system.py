"""Targets as shown, with health and polling; drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.sdk.states import STOPPED
from console.domain.header import unseen_status
from console.domain.ids import EPOCH, utc_minute
from console.domain.switches import SystemPause
from console.domain.text import render
from console.timing.durations import format_duration

BACKOFF_CAP_SECONDS = 300.0
UNREACHABLE_CAP_SECONDS = 60.0
"""Longest interval between polls of an unreachable target, unless `poll_every` is longer. A target that refuses the
login keeps the longer cap, so that its account is not locked."""


def problem_and_fix(message: str) -> tuple[str, str]:
    """The two parts of a message of a connector, which writes "connection refused. Fix: check that it runs"; without
    a fix the second is empty."""
    problem, _, fix = message.partition(" Fix: ")
    return problem, fix


def with_fix(error: str, fix: str) -> str:
    """The two parts as one message again."""
    return f"{error} Fix: {fix}" if fix else error


def poll_interval_seconds(every_s: float, failures: int, error_kind: str) -> float:
    """Seconds to the next poll: doubled by each of the first four failures in a row, up to a cap."""
    cap = UNREACHABLE_CAP_SECONDS if error_kind == "unreachable" else BACKOFF_CAP_SECONDS
    return min(every_s * 2.0 ** min(failures, 4), max(cap, every_s))


RESTORED_FIRST = frozenset({"unreachable", STOPPED})
"""The kinds of problems of a target that are solved before its jobs are restarted: a rerun cannot be sent, or no start
by the clock follows it."""


@dataclass(frozen=True, slots=True)
class TargetView:
    """One polled target."""

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
    skipped_reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    version: str
    rights: tuple[dict[str, object], ...]
    """From the last probe: {"name", "held", "why", "fix", "needed_for", "is_grantable"}."""
    jobs: int
    capabilities: tuple[str, ...]
    missing: dict[str, str]
    lost: tuple[datetime, datetime] | None = None
    """The last window of which evidence is incomplete: no start in it is reported as missed."""
    last_try: datetime | None = None
    failures: int = 0
    """Failed polls in a row."""
    seen_until: datetime | None = None
    """Every start before it has been seen."""
    inventory: datetime | None = None
    """Last inventory."""
    booted: datetime | None = None
    pause: SystemPause | None = None
    requests: int | None = None
    """Of the last poll: HTTP requests, SSH commands, transactions; None if it makes none."""
    requests_minute: float | None = None
    allowed: str = ""
    """Remaining requests, by its API."""
    error_fix: str = ""
    """The fix that its connector names; empty if it names none."""

    @property
    def unseen_status(self) -> str:
        """As `header.unseen_status`: of its last poll."""
        return unseen_status(self.error_kind, is_failing=self.failing_since is not None)

    @property
    def next_try(self) -> datetime | None:
        """Earliest next poll of a failing target: later if its reply asks for it (Retry-After) or a poll takes long.
        None while polls succeed or are paused."""
        if not self.polls_fail or self.failing_since is None or self.last_try is None or self.pause is not None:
            return None
        return self.last_try + timedelta(
            seconds=poll_interval_seconds(self.poll_every_s, self.failures, self.error_kind)
        )

    def next_try_text(self, now: datetime) -> str:
        """Empty while polls are well."""
        if self.next_try is None:
            return ""
        ahead = (self.next_try - now).total_seconds()
        soon = f"in {format_duration(ahead)}" if ahead > 0 else "any moment"
        return f"{soon}, or after the delay that it asks for" if self.error_kind in _ANSWERING else soon

    @property
    def budget(self) -> str:
        """ "3 in the last poll, 12 a minute over 10 minutes; 4812 of 5000 left"."""
        if self.requests is None:
            return "not counted: nothing leaves this machine for it" if self.last_ok is not None else ""
        allowed = f"; {self.allowed}" if self.allowed else ""
        rate = f"{self.requests_minute or 0:.0f} a minute over 10 minutes"
        return f"{self.requests} in the last poll, {rate}{allowed}"

    @property
    def whole_error(self) -> str:
        return with_fix(self.error, self.error_fix)

    @property
    def problem(self) -> str:
        """Its worst problem; empty if there is none."""
        if self.pause is not None:
            return render(self.pause.text, utc_minute)
        if self.error:
            return f"{self.error_kind}: {self.whole_error}" if self.error_kind else self.whole_error
        lacking = [str(right.get("name", "")) for right in self.rights if right.get("held") is False]
        if lacking:
            return f"missing right: {', '.join(lacking)}"
        if self.is_incomplete:
            return f"evidence incomplete: {self.unread or 'starts were not read'}"
        if self.warnings:
            suffix = f" (+{len(self.warnings) - 1} more)" if len(self.warnings) > 1 else ""
            return f"{self.warnings[0]}{suffix}"
        if self.skew_s is not None and abs(self.skew_s) >= MIN_SKEW_SECONDS:
            return f"its clock is {self.skew_s:+.1f} s off"
        return f"{self.skipped} records skipped: {'; '.join(self.skipped_reasons[-1:])}" if self.skipped else ""

    def verdict(self, clock: Callable[[datetime], str]) -> str:
        """ "etl-hosts/db07: no successful poll since 03:12: connection refused. Fix: check that it runs"; empty while
        all is well. `clock` formats an instant."""
        name = f"{self.system}/{self.name}"
        if self.pause is not None:
            why = f": {self.pause.why}" if self.pause.why else ""
            paused = f"{name} not polled until {clock(self.pause.until)}, paused by {self.pause.by or 'somebody'}{why}"
            error = f"; last error: {self.whole_error}" if self.error else ""
            return f"{paused}; to poll it now: headway system pause {self.system} --off{error}"
        if self.is_stopped:
            return f"{name} starts nothing: {self.whole_error}"
        if self.error:
            since = f" since {clock(self.last_ok)}" if self.last_ok is not None else " yet"
            fix = f". Fix: {self.fix}" if self.fix and not self.error_fix else ""
            return f"{name}: no successful poll{since}: {self.whole_error}{fix}"
        return ""

    @property
    def is_stopped(self) -> bool:
        """True if it answers and its scheduler starts nothing."""
        return self.error_kind == STOPPED

    @property
    def polls_fail(self) -> bool:
        return self.failing_since is not None and not self.is_stopped

    @property
    def unread(self) -> str:
        """The evidence that was not read in the incomplete window; empty without one."""
        return next(reversed(self.skipped_reasons), "") if self.lost is not None else ""

    def incomplete_text(self, clock: Callable[[datetime], str]) -> str:
        """ "incomplete from 03:10 to 03:25: line 3: no time"; empty while evidence is complete. `clock` formats an
        instant."""
        if self.lost is None:
            return ""
        since, until = self.lost
        begin = f"from {clock(since)} to" if since > EPOCH else "until"
        return f"incomplete {begin} {clock(until)}{f': {self.unread}' if self.unread else ''}"

    @property
    def is_incomplete(self) -> bool:
        """True while its last polls leave something unread, so that they prove no missed run."""
        if self.lost is None or self.last_ok is None:
            return False
        return self.last_ok - self.lost[1] <= INCOMPLETE_POLLS * timedelta(seconds=self.poll_every_s)

    @property
    def fix(self) -> str:
        return _FIXES.get(self.error_kind, "") if self.error else ""

    @property
    def is_well(self) -> bool:
        return self.failing_since is None and self.pause is None and self.last_ok is not None


_ANSWERING = ("failing", "limited")
"""Errors of a target that answers with a status and may ask for a delay."""
_FIXES = {
    "unreachable": "check that it runs and is reachable from the engine's machine",
    "failing": "ask its operators, or those of a proxy: it answers with an error",
    "limited": "raise poll_every: its request limit is reached",
    "refused": "renew the credentials or the connection that headway check names",
    "forbidden": "grant the permission that headway check names",
    "unsupported": "check the address, and what must be installed there: this kind cannot read its answer",
    "broken": "see the engine's log: its answer could not be read, or Headway failed",
}
INCOMPLETE_POLLS = 2
"""Complete polls until a target is well again."""
MIN_SKEW_SECONDS = 2
"""A smaller clock skew is not reported."""


def split_right(right: Mapping[str, object]) -> tuple[str, str]:
    """("MAY NOT", "read pg_cron: GRANT …"): whether the right is held, and how to get it."""
    held = right.get("held")
    if held:
        return "may", str(right.get("name", ""))
    fix = str(right.get("fix") or right.get("why") or "")
    return "may?" if held is None else "MAY NOT", f"{right.get('name', '')}{fix and f': {fix}'}"


@dataclass(frozen=True, slots=True)
class DriftView:
    """A definition that changed at its source."""

    id: int
    """Changes with its content: accepting names the newest that was seen."""
    job: str
    what: str
    text: str
    seen: datetime
