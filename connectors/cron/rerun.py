"""A rerun: the host finds the line again by its hash and runs it once as its own user, under our mark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.contract import (
    AccessRefused,
    Ask,
    NotSupported,
    OutcomeUnknown,
    Preview,
    Receipt,
    SystemUnreachable,
)
from connectors.cron.client import CronClient, safe_name
from connectors.cron.crontab import Line
from connectors.cron.parse import Section
from connectors.transport.ssh import SshFailed

SHOWN = 160
NO_PERIOD = "the line runs once more, now, with its crontab's shell and variables; it is not told for which period"
LATE_SECONDS = 120.0  # how long after we sent it the host may still start it


@dataclass(frozen=True, slots=True)
class Order:
    """Which line of which user on which host, by hash; the preview's plan."""

    host: str
    job: str
    path: str
    kind: str
    user: str
    hash: str
    ordinal: int
    skew_seconds: float
    overlap: bool

    @staticmethod
    def of(host: str, job: str, line: Line, skew_seconds: float, overlap: bool) -> Order:
        kind = "system" if line.is_system else "user"
        return Order(host, job, line.path, kind, line.user, line.hash, line.ordinal, skew_seconds, overlap)

    def as_plan(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @staticmethod
    def from_plan(plan: Mapping[str, Any]) -> Order:
        """The order again. NotSupported where the plan is not one of ours."""
        try:
            return Order(**{name: plan[name] for name in Order.__slots__})
        except KeyError as error:
            raise NotSupported(f"this plan was not made for a crontab line: it lacks {error}") from error

    def arguments(self, key: str, spool: str, mode: str, now: datetime) -> tuple[str, ...]:
        """The arguments of run_once in act.sh."""
        late = now + timedelta(seconds=self.skew_seconds + LATE_SECONDS)
        numbers = (str(self.ordinal), key, spool, str(int(late.timestamp())), mode)
        return (self.path, self.kind, self.user, self.hash, *numbers)


def sudoers_line(login: str, user: str) -> str:
    """The rule that lets `login` rerun lines of `user`."""
    return f"{login} ALL=({user}) NOPASSWD: /bin/sh -s"


def preview(order: Order, line: Line, ask: Ask, overlap: str | None, refused: str | None) -> Preview:
    """What `act` will do, for people."""
    command = line.command if len(line.command) <= SHOWN else line.command[:SHOWN] + "…"
    call = f"ssh {order.host} sh -s: as {order.user}, run line {order.hash[:12]} of {order.path} once"
    return Preview(
        verb="run once",
        words=f"run this crontab line once on {order.host} as {order.user}: {command}",
        scope=f"1 run of {ask.run.job}; jobs that follow it are not started",
        overlap=overlap,
        native_calls=(call,),
        notes=(NO_PERIOD,),
        refused=refused,
        plan=order.as_plan(),
    )


def find_line(client: CronClient, order: Order, login: str, timeout_seconds: float) -> str | None:
    """Why the host would not run that line now; None when it would. Starts nothing."""
    now = datetime.now(UTC)
    arguments = order.arguments("-", client.options.spool, "look", now)
    parts = client.run_line(safe_name(order.user), arguments, timeout_seconds, once=False)
    return None if _kind(parts, "LINE") else str(_refusal(parts, order, login, client))


def send(client: CronClient, order: Order, key: str, login: str, timeout_seconds: float) -> Receipt:
    """Starts the line under `key`. OutcomeUnknown when the host was reached and did not answer."""
    arguments = order.arguments(key, client.options.spool, "run", datetime.now(UTC))
    try:
        parts = client.run_line(safe_name(order.user), arguments, timeout_seconds, once=True)
    except SshFailed as error:
        if error.touched:
            raise OutcomeUnknown(f"{error} Whether {order.job} was started is looked up by its mark.") from error
        raise
    except SystemUnreachable as error:  # an answer came, cut short: the script had begun
        raise OutcomeUnknown(f"{error} Whether {order.job} was started is looked up by its mark.") from error
    if _kind(parts, "STARTED"):
        return Receipt(key, f"started on {order.host} as {order.user}")
    if _kind(parts, "EXISTS"):
        return Receipt(key, f"was started before on {order.host} under this key")
    raise _refusal(parts, order, login, client)


def _kind(parts: list[Section], kind: str) -> Section | None:
    return next((part for part in parts if part.kind == kind), None)


def _refusal(parts: list[Section], order: Order, login: str, client: CronClient) -> AccessRefused | NotSupported:
    """The host's no, with the mend."""
    said = parts[0]
    words = said.rest[:SHOWN]
    if said.kind == "REFUSED":
        return AccessRefused(
            f"{order.host}: {login} may not run jobs as {order.user} ({words or 'refused'}). "
            f"Add to its sudoers: {sudoers_line(login, order.user)}"
        )
    if said.kind == "SPOOL":
        return AccessRefused(
            f"{order.host}: {order.user} cannot write {words}, where the mark of a rerun belongs. "
            f"As root: install -d -o root -g adm -m 3773 {client.options.spool}"
        )
    if said.kind == "GONE":
        seen = f" ({words})" if words else ""
        return NotSupported(
            f"{order.job}: this line is no longer in {order.path} on {order.host}{seen}. Look at the preview again."
        )
    if said.kind == "RUNS":
        return NotSupported(f"{order.job}: a rerun of it runs on {order.host} as process {words}. Wait for its end.")
    if said.kind == "LATE":
        return NotSupported(f"{order.job}: the request reached {order.host} too late and was not started. Ask again.")
    return NotSupported(f"{order.job}: {order.host} did not start it: {said.kind} {words}")
