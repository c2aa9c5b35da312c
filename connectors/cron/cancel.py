"""A cancel: SIGTERM to the session of one attempt, after pid, start and boot are proved to be still that attempt's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.contract import AccessRefused, Ask, NotSupported, Preview, Receipt, State
from connectors.cron.attempts import Attempt
from connectors.cron.client import CronClient, safe_name
from connectors.cron.parse import Processes
from connectors.cron.records import attempts_asked_for
from connectors.cron.sending import answered, from_plan, not_after, refusal, section
from connectors.cron.settle import TICKS
from connectors.transport.answer import HostNow, Section

NEAR_SECONDS = 30.0  # between a start in the log and the process that must be its own
MAY_GO_ON = "a job that ignores SIGTERM, or what left its session, goes on; it is not sent twice"
STARTS_AGAIN = "cron starts the line again at its next time"


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Which process on which host, so that no other can be meant; the preview's plan."""

    verb: str
    host: str
    job: str
    user: str
    pid: int
    birth: str
    boot: str
    skew_seconds: float

    def as_plan(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @staticmethod
    def from_plan(plan: Mapping[str, Any]) -> CancelOrder:
        """The order again. NotSupported where the plan is not one of ours."""
        return from_plan(CancelOrder, tuple(CancelOrder.__slots__), plan)


def attempt_of(ask: Ask, known: list[Attempt]) -> Attempt:
    """The attempt that is meant. NotSupported where nothing is known to run."""
    run = ask.run
    for one in (*known, *attempts_asked_for((run,), ())):
        if (one.job, one.key) == (run.job, run.attempt_key):
            if one.state is not State.RUNNING:
                raise NotSupported(f"{run.job}: that run is over ({one.state}); there is nothing to cancel")
            return one
    raise NotSupported(f"{run.job}: no process is known of this run; end it on its host")


def unproved(attempt: Attempt, processes: Processes, host: HostNow) -> str | None:
    """Why the process of that pid is not proved to be the attempt's; None when it is."""
    birth = processes.births.get(attempt.pid)
    if attempt.is_of_anacron:
        return f"process {attempt.pid} is anacron itself, which runs other jobs too: end the job on its host"
    if birth is None:
        return f"process {attempt.pid} is gone: the run has ended, or its end cannot be seen"
    if attempt.birth not in ("", "-"):
        return None if attempt.birth == birth else f"process {attempt.pid} is another one by now"
    if attempt.pid not in processes.jobs:
        return f"process {attempt.pid} is no job of cron's"
    born = host.now.timestamp() - host.uptime_seconds + int(birth) / TICKS
    if abs(born - attempt.started) > NEAR_SECONDS:
        return f"process {attempt.pid} did not start when this run did: not proved to be the same"
    return None


def order_of(attempt: Attempt, target: str, processes: Processes, host: HostNow, skew_seconds: float) -> CancelOrder:
    birth = processes.births.get(attempt.pid, "")
    return CancelOrder("cancel", target, attempt.job, attempt.user, attempt.pid, birth, host.boot, skew_seconds)


def preview(order: CancelOrder, refused: str | None, count: str) -> Preview:
    """What `act` will do, for people; `count` processes are in the session now."""
    named = f"session {order.pid} of {order.user}"
    return Preview(
        verb="SIGTERM",
        words=f"send SIGTERM to the {count or '?'} processes of {named} on {order.host}, all of this one run",
        scope=f"1 run of {order.job}",
        native_calls=(f"ssh {order.host} sh -s: as {order.user}, kill -s TERM -{order.pid} if born at {order.birth}",),
        notes=(MAY_GO_ON, STARTS_AGAIN),
        refused=refused,
        plan=order.as_plan(),
    )


def look(client: CronClient, order: CancelOrder, login: str, timeout_seconds: float) -> tuple[str | None, str]:
    """Why the host would not end it now (None when it would), and of how many processes it consists."""
    parts = _call(client, order, "-", "look", timeout_seconds)
    found = section(parts, "RUNS")
    return (None, found.fields(2)[1].strip()) if found else (str(_refusal(parts[0], order, login, client)), "")


def send(
    client: CronClient, order: CancelOrder, key: str, login: str, timeout_seconds: float, sent: datetime | None
) -> Receipt:
    """Sends SIGTERM under `key`. OutcomeUnknown when the host was reached and did not answer."""
    parts = answered(
        lambda: _call(client, order, key, "run", timeout_seconds, sent),
        f"Whether SIGTERM was sent to {order.job} is looked up by its mark.",
    )
    done = section(parts, "ENDING")
    if done:
        return Receipt(key, f"SIGTERM sent on {order.host} to process {order.pid} and its session")
    if section(parts, "EXISTS"):
        return Receipt(key, f"SIGTERM was sent before on {order.host} under this key")
    raise _refusal(parts[0], order, login, client)


def _call(
    client: CronClient, order: CancelOrder, key: str, mode: str, timeout_seconds: float, sent: datetime | None = None
) -> list[Section]:
    late = str(not_after(order.skew_seconds, sent))
    user = safe_name(order.user)
    arguments = (user, str(order.pid), order.birth, order.boot, key, client.options.spool, late, mode)
    return client.end_run(user, arguments, timeout_seconds, mode == "run")


def _refusal(said: Section, order: CancelOrder, login: str, client: CronClient) -> AccessRefused | NotSupported:
    """The host's no, with the mend."""
    if said.kind == "ENDED":
        return NotSupported(f"{order.job}: process {order.pid} on {order.host} has ended meanwhile; nothing was sent")
    if said.kind == "SHARED":
        return NotSupported(
            f"{order.job}: process {order.pid} on {order.host} does not lead a session of its own, so what belongs to "
            "it is not proved. End it on its host."
        )
    return refusal(said, order.host, order.job, "its crontab", order.user, login, client.options.spool)
