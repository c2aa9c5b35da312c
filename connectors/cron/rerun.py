"""A rerun or a start: the host finds the line again by its hash and runs it once as its own user, under our mark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.contract import AccessRefused, Ask, NotSupported, Preview, Receipt, Verb
from connectors.cron import anacron
from connectors.cron.anacron import AnacronJob
from connectors.cron.client import CronClient, safe_name
from connectors.cron.crontab import Line
from connectors.cron.sending import SHOWN, answered, from_plan, not_after, refusal, section, shown
from connectors.cron.tables import Daemon
from connectors.transport.answer import Section

NO_PERIOD = "the line runs once more, now, with its crontab's shell and variables; it is not told for which period"
STARTS_NOW = "the line runs once, now, with its crontab's shell and variables; it is not told for which period"
BY_ANACRON = (
    "under anacron's own lock, as root, with its table's variables; what it prints goes where anacron mails it, and its"
    " next turn is counted from today"
)
ANACRON = "anacron"
"""What kind of table it stands in."""
IS_HELD = "the line is held: it is run this once all the same, and stays held"


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
        kind = "system" if line.is_system else "busybox" if line.daemon is Daemon.BUSYBOX else "user"
        return Order(host, job, line.path, kind, line.user, line.hash, line.ordinal, skew_seconds, overlap)

    @staticmethod
    def of_anacron(host: str, job: str, one: AnacronJob, skew_seconds: float) -> Order:
        """It never overlaps: anacron keeps a lock."""
        return Order(host, job, one.path, ANACRON, anacron.USER, one.hash, 1, skew_seconds, overlap=False)

    def as_plan(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @staticmethod
    def from_plan(plan: Mapping[str, Any]) -> Order:
        """The order again. NotSupported where the plan is not one of ours."""
        return from_plan(Order, tuple(Order.__slots__), plan)

    def arguments(self, key: str, spool: str, mode: str, sent: datetime | None = None) -> tuple[str, ...]:
        """The arguments of run_once in act.sh."""
        numbers = (str(self.ordinal), key, spool, str(not_after(self.skew_seconds, sent)), mode)
        return (self.path, self.kind, self.user, self.hash, *numbers)


def preview(order: Order, line: Line, ask: Ask, overlap: str | None, refused: str | None) -> Preview:
    """What `act` will do, for people."""
    call = f"ssh {order.host} sh -s: as {order.user}, run line {order.hash[:12]} of {order.path} once"
    notes = (NO_PERIOD if ask.verb == Verb.RERUN else STARTS_NOW, *((IS_HELD,) if line.mark else ()))
    return Preview(
        verb="run once",
        words=f"run this crontab line once on {order.host} as {order.user}: {shown(line.command)}",
        scope=f"1 run of {ask.run.job}; jobs that follow it are not started",
        overlap=overlap,
        native_calls=(call,),
        notes=notes,
        refused=refused,
        plan={**order.as_plan(), "verb": ask.verb.value},
    )


def preview_of_anacron(order: Order, one: AnacronJob, ask: Ask, refused: str | None) -> Preview:
    """What `act` will have anacron do, for people."""
    call = f"ssh {order.host} sh -s: as {order.user}, anacron -d -f -n -t {order.path} {one.name}"
    return Preview(
        verb="run once by anacron",
        words=f"let anacron run its job {one.name} on {order.host} now: {shown(one.command)}",
        scope=f"1 run of {ask.run.job}; jobs that follow it are not started",
        native_calls=(call,),
        notes=(BY_ANACRON,),
        refused=refused,
        plan={**order.as_plan(), "verb": ask.verb.value},
    )


def find_line(client: CronClient, order: Order, login: str, timeout_seconds: float) -> str | None:
    """Why the host would not run that line now; None when it would. Starts nothing."""
    arguments = order.arguments("-", client.options.spool, "look")
    parts = client.run_line(safe_name(order.user), arguments, timeout_seconds, once=False)
    return None if section(parts, "LINE") else str(_refusal(parts, order, login, client))


def send(
    client: CronClient, order: Order, key: str, login: str, timeout_seconds: float, sent: datetime | None
) -> Receipt:
    """Starts the line under `key`. OutcomeUnknown when the host was reached and did not answer."""
    arguments = order.arguments(key, client.options.spool, "run", sent)
    user = safe_name(order.user)
    parts = answered(
        lambda: client.run_line(user, arguments, timeout_seconds, once=True),
        f"Whether {order.job} was started is looked up by its mark.",
    )
    if section(parts, "STARTED"):
        return Receipt(key, f"started on {order.host} as {order.user}")
    if section(parts, "EXISTS"):
        return Receipt(key, f"was started before on {order.host} under this key")
    raise _refusal(parts, order, login, client)


def _refusal(parts: list[Section], order: Order, login: str, client: CronClient) -> AccessRefused | NotSupported:
    """The host's no, with the mend."""
    said = parts[0]
    if said.kind == "TOOL":
        return NotSupported(f"{order.job}: there is no anacron on {order.host} ({said.rest[:SHOWN]} is not found)")
    if said.kind == "RUNS":
        words = said.rest[:SHOWN]
        return NotSupported(f"{order.job}: a rerun of it runs on {order.host} as process {words}. Wait for its end.")
    return refusal(said, order.host, order.job, order.path, order.user, login, client.options.spool)
