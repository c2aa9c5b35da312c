"""Actions on a host: run a crontab line once, cancel a run. Each is previewed, then sent once.

Rerun and start: the host finds the line by its hash and runs it once as its own user, under our mark. Cancel: SIGTERM
to the session of one attempt, once pid, start and boot prove that it is still that attempt's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Protocol

from connectors.cron import dialects, hold
from connectors.cron.attempts import TICKS, CronAttempt, instant
from connectors.cron.client import (
    SHOWN,
    CronClient,
    absent,
    not_after,
    order_from_plan,
    refusal,
    safe_name,
    section,
    shown,
)
from connectors.cron.crontab import CronDaemon, CrontabLine
from connectors.cron.dialects import AnacronJob, read_times
from connectors.cron.parse import CronProcesses
from connectors.cron.polling import HostPoll, denied_text
from connectors.cron.records import native_id, referenced_attempts
from connectors.sdk.contract import (
    ActionFound,
    ActionSpec,
    ActionUnknown,
    LookUpResult,
    NativeHold,
    Preview,
    Receipt,
    check_action_key,
)
from connectors.sdk.errors import AccessRefused, NotSupported
from connectors.sdk.settle import sent_at
from connectors.sdk.states import RunState, Verb
from connectors.sdk.transport.hosts import sent_once
from connectors.sdk.transport.script_output import HostNow, ScriptSection

NO_PERIOD = "the line runs once more, now, with its crontab's shell and variables; it gets no period"
STARTS_NOW = "the line runs once, now, with its crontab's shell and variables; it gets no period"
BY_ANACRON = (
    "under anacron's own lock, as root, with its table's variables; what it prints goes where anacron mails it, and its"
    " next turn is counted from today"
)
ANACRON = "anacron"
"""`kind` of an order for a line of anacron's table."""
IS_HELD = "the line is held: it runs this once and stays held"


@dataclass(frozen=True, slots=True)
class RerunOrder:
    """The line of a user on a host, by hash; the plan of the preview."""

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
    def of(host: str, job: str, line: CrontabLine, skew_seconds: float, overlap: bool) -> RerunOrder:
        kind = "system" if line.is_system else "busybox" if line.daemon is CronDaemon.BUSYBOX else "user"
        return RerunOrder(host, job, line.path, kind, line.user, line.hash, line.ordinal, skew_seconds, overlap)

    @staticmethod
    def of_anacron(host: str, job: str, item: AnacronJob, skew_seconds: float) -> RerunOrder:
        """An order that never overlaps, since anacron holds a lock."""
        return RerunOrder(host, job, item.path, ANACRON, dialects.USER, item.hash, 1, skew_seconds, overlap=False)

    def arguments(self, key: str, spool: str, mode: str, sent: datetime | None = None) -> tuple[str, ...]:
        """The arguments of run_once in act.sh."""
        numbers = (str(self.ordinal), key, spool, str(not_after(self.skew_seconds, sent)), mode)
        return (self.path, self.kind, self.user, self.hash, *numbers)


def preview_rerun(
    order: RerunOrder, line: CrontabLine, spec: ActionSpec, overlap: str | None, refused: str | None
) -> Preview:
    """The preview of a run of the line."""
    call = f"ssh {order.host} sh -s: as {order.user}, run line {order.hash[:12]} of {order.path} once"
    notes = (NO_PERIOD if spec.verb == Verb.RERUN else STARTS_NOW, *((IS_HELD,) if line.mark else ()))
    return Preview(
        verb="run once",
        summary=f"run this crontab line once on {order.host} as {order.user}: {shown(line.command)}",
        scope=f"1 run of {spec.run.job}; jobs that follow it are not started",
        overlap=overlap,
        native_calls=(call,),
        notes=notes,
        refused=refused,
        plan={**asdict(order), "verb": spec.verb.value},
    )


def preview_of_anacron(order: RerunOrder, job: AnacronJob, spec: ActionSpec, refused: str | None) -> Preview:
    """The preview of a run by anacron."""
    call = f"ssh {order.host} sh -s: as {order.user}, anacron -d -f -n -t {order.path} {job.name}"
    return Preview(
        verb="run once by anacron",
        summary=f"let anacron run its job {job.name} on {order.host} now: {shown(job.command)}",
        scope=f"1 run of {spec.run.job}; jobs that follow it are not started",
        native_calls=(call,),
        notes=(BY_ANACRON,),
        refused=refused,
        plan={**asdict(order), "verb": spec.verb.value},
    )


def find_line(client: CronClient, order: RerunOrder, login: str, timeout_seconds: float) -> str | None:
    """Why the host would refuse to run the line now; None when it would run it. Starts nothing."""
    arguments = order.arguments("-", client.options.spool, "look")
    parts = client.run_line(safe_name(order.user), arguments, timeout_seconds, once=False)
    return None if section(parts, "LINE") else str(_rerun_refusal(parts, order, login, client))


def send_rerun(
    client: CronClient, order: RerunOrder, key: str, login: str, timeout_seconds: float, sent: datetime | None
) -> Receipt:
    """Starts the line under `key`. Raises OutcomeUnknown when the host was reached and did not answer."""
    arguments = order.arguments(key, client.options.spool, "run", sent)
    user = safe_name(order.user)
    parts = sent_once(
        lambda: client.run_line(user, arguments, timeout_seconds, once=True),
        f"Whether {order.job} was started is looked up by its mark.",
    )
    if section(parts, "STARTED"):
        return Receipt(key, f"started on {order.host} as {order.user}")
    if section(parts, "EXISTS"):
        return Receipt(key, f"was started before on {order.host} under this key")
    raise _rerun_refusal(parts, order, login, client)


def _rerun_refusal(
    parts: list[ScriptSection], order: RerunOrder, login: str, client: CronClient
) -> AccessRefused | NotSupported:
    """The error for a refusal of the host, with its fix."""
    part = parts[0]
    if part.kind == "TOOL":
        return NotSupported(f"{order.job}: there is no anacron on {order.host} ({part.rest[:SHOWN]} is not found)")
    if part.kind == "RUNS":
        pid = part.rest[:SHOWN]
        return NotSupported(f"{order.job}: a rerun of it runs on {order.host} as process {pid}. Wait for its end.")
    return refusal(part, order.host, order.job, order.path, order.user, login, client.options.spool)


NEAR_SECONDS = 30.0  # between a start in the log and the process that must be its own
MAY_CONTINUE = "a job that ignores SIGTERM, or what left its session, goes on; it is not sent twice"
STARTS_AGAIN = "cron starts the line again at its next time"


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Exactly one process on a host; the plan of the preview."""

    verb: str
    host: str
    job: str
    user: str
    pid: int
    birth: str
    boot: str
    skew_seconds: float


def attempt_of(spec: ActionSpec, known: list[CronAttempt]) -> CronAttempt:
    """The attempt of the request. Raises NotSupported where it is not known to run."""
    run = spec.run
    for attempt in (*known, *referenced_attempts((run,), ())):
        if (attempt.job, attempt.key) == (run.job, run.attempt_key):
            if attempt.state is not RunState.RUNNING:
                raise NotSupported(f"{run.job}: that run is over ({attempt.state}); there is nothing to cancel")
            return attempt
    raise NotSupported(f"{run.job}: no process is known of this run; end it on its host")


def unproved(attempt: CronAttempt, processes: CronProcesses, host: HostNow) -> str | None:
    """Why the process of that pid is not proved to be the attempt; None when it is."""
    birth = processes.births.get(attempt.pid)
    if attempt.is_of_anacron:
        return f"process {attempt.pid} is anacron itself, which runs other jobs too: end the job on its host"
    if birth is None:
        return f"process {attempt.pid} is gone: the run has ended, or its end is not visible"
    if attempt.birth not in ("", "-"):
        return None if attempt.birth == birth else f"process {attempt.pid} belongs to another run now"
    if attempt.pid not in processes.jobs:
        return f"process {attempt.pid} is not a job of cron"
    born = host.now.timestamp() - host.uptime_seconds + int(birth) / TICKS
    if abs(born - attempt.started) > NEAR_SECONDS:
        return f"process {attempt.pid} did not start when this run did: not proved to be the same"
    return None


def order_of(
    attempt: CronAttempt, target: str, processes: CronProcesses, host: HostNow, skew_seconds: float
) -> CancelOrder:
    birth = processes.births.get(attempt.pid, "")
    return CancelOrder("cancel", target, attempt.job, attempt.user, attempt.pid, birth, host.boot, skew_seconds)


def preview_cancel(order: CancelOrder, refused: str | None, count: str) -> Preview:
    """The preview of SIGTERM; `count` processes are in the session now."""
    named = f"session {order.pid} of {order.user}"
    return Preview(
        verb="SIGTERM",
        summary=f"send SIGTERM to the {count or '?'} processes of {named} on {order.host}, all of this one run",
        scope=f"1 run of {order.job}",
        native_calls=(f"ssh {order.host} sh -s: as {order.user}, kill -s TERM -{order.pid} if born at {order.birth}",),
        notes=(MAY_CONTINUE, STARTS_AGAIN),
        refused=refused,
        plan=asdict(order),
    )


def check_process(client: CronClient, order: CancelOrder, login: str, timeout_seconds: float) -> tuple[str | None, str]:
    """Why the host would refuse to end it now (None when it would end it), and its number of processes."""
    parts = _cancel_call(client, order, "-", "look", timeout_seconds)
    result = section(parts, "RUNS")
    return (None, result.fields(2)[1].strip()) if result else (str(_cancel_refusal(parts[0], order, login, client)), "")


def send_cancel(
    client: CronClient, order: CancelOrder, key: str, login: str, timeout_seconds: float, sent: datetime | None
) -> Receipt:
    """Sends SIGTERM under `key`. Raises OutcomeUnknown when the host was reached and did not answer."""
    parts = sent_once(
        lambda: _cancel_call(client, order, key, "run", timeout_seconds, sent),
        f"Whether SIGTERM was sent to {order.job} is looked up by its mark.",
    )
    if section(parts, "ENDING"):
        return Receipt(key, f"SIGTERM sent on {order.host} to process {order.pid} and its session")
    if section(parts, "EXISTS"):
        return Receipt(key, f"SIGTERM was sent before on {order.host} under this key")
    raise _cancel_refusal(parts[0], order, login, client)


def _cancel_call(
    client: CronClient, order: CancelOrder, key: str, mode: str, timeout_seconds: float, sent: datetime | None = None
) -> list[ScriptSection]:
    latest = str(not_after(order.skew_seconds, sent))
    user = safe_name(order.user)
    arguments = (user, str(order.pid), order.birth, order.boot, key, client.options.spool, latest, mode)
    return client.end_run(user, arguments, timeout_seconds, mode == "run")


def _cancel_refusal(
    message: ScriptSection, order: CancelOrder, login: str, client: CronClient
) -> AccessRefused | NotSupported:
    """The error for a refusal of the host, with its fix."""
    if message.kind == "ENDED":
        return NotSupported(f"{order.job}: process {order.pid} on {order.host} has ended meanwhile; nothing was sent")
    if message.kind == "SHARED":
        return NotSupported(
            f"{order.job}: process {order.pid} on {order.host} does not lead a session of its own, so what belongs to "
            "it is not proved. End it on its host."
        )
    return refusal(message, order.host, order.job, "its crontab", order.user, login, client.options.spool)


MINUTE = timedelta(minutes=1)


class HostObserver(Protocol):
    """The snapshots that previews need."""

    def running(self, until: float) -> HostPoll:
        """The end of log and records: what runs now."""
        ...

    def crontabs_now(self, until: float) -> HostPoll:
        """The crontabs only."""
        ...


class CronActions:
    """The actions of one host; `login` is the user that we sign in as."""

    def __init__(self, client: CronClient, target: str, login: str, observer: HostObserver) -> None:
        self._client, self._target, self._login, self._observer = client, target, login, observer

    def preview(self, spec: ActionSpec, until: float) -> Preview:
        """What `act` would send. Raises NotSupported for verbs that cron lacks and for missing lines."""
        if spec.verb in (Verb.RERUN, Verb.START):
            return self._preview_run(spec, until)
        if spec.verb in (Verb.HOLD, Verb.RELEASE):
            return self._preview_hold(spec, until)
        if spec.verb == Verb.CANCEL:
            return self._preview_cancel(spec, until)
        raise NotSupported(f'cron has no "{spec.verb}"; what it has is: rerun, start, cancel, hold, release')

    def act(self, preview: Preview, key: str, until: float) -> Receipt:
        """Sends it once."""
        check_action_key(key)
        verb = preview.plan.get("verb", Verb.RERUN)
        if verb in (Verb.HOLD, Verb.RELEASE):
            order = order_from_plan(hold.HoldOrder, preview.plan)
            return hold.send_hold(self._client, order, key, self._login, until - monotonic(), sent_at(preview.plan))
        if verb == Verb.CANCEL:
            ending = order_from_plan(CancelOrder, preview.plan)
            return send_cancel(self._client, ending, key, self._login, until - monotonic(), sent_at(preview.plan))
        return self._run(preview, key, until)

    def look_up(self, preview: Preview, key: str, until: float) -> LookUpResult:
        """Whether it arrived: a hold by the crontabs, other actions by their mark in the spool."""
        check_action_key(key)
        verb = preview.plan.get("verb", Verb.RERUN)
        if verb in (Verb.HOLD, Verb.RELEASE):
            return self._look_up_hold(preview, key, until)
        order: CancelOrder | RerunOrder = (
            order_from_plan(CancelOrder, preview.plan)
            if verb == Verb.CANCEL
            else order_from_plan(RerunOrder, preview.plan)
        )
        parts = self._client.mark(safe_name(order.user), key, until - monotonic())
        answer, status = parts[1].fields(2)
        if answer == "found":
            label = "it" if verb == Verb.CANCEL else "exit status"
            return ActionFound(key, f"its mark is on {self._target}" + (f", {label} {status}" if status else ""))
        if answer == "absent":
            now = float(parts[0].rest) if parts[0].rest.isdigit() else 0.0
            return absent(preview.plan, order.skew_seconds, now, self._target)
        folder = f"{self._client.options.spool}/{order.user}/actions"
        return ActionUnknown(f"{self._target}: {folder} cannot be read by {self._login}")

    # -- run once -----------------------------------------------------------------------------------------------------
    def _preview_run(self, spec: ActionSpec, until: float) -> Preview:
        snapshot = self._observer.running(until)
        if of_anacron := self._of_anacron(snapshot, spec.run.job):
            return self._preview_anacron(snapshot, of_anacron, spec, until)
        line = self._line(snapshot, spec.run.job)
        overlap = _overlap(snapshot, spec)
        order = RerunOrder.of(self._target, spec.run.job, line, _skew(snapshot), overlap is not None)
        period = str(spec.parameters.get("period_at", "")) if spec.verb == Verb.START else ""
        refused = _ran_already(snapshot, line, spec.run.job, period)
        refused = refused or find_line(self._client, order, self._login, until - monotonic())
        preview = preview_rerun(order, line, spec, overlap, refused)
        return replace(preview, plan={**preview.plan, "period_at": period})

    def _preview_anacron(self, snapshot: HostPoll, job: AnacronJob, spec: ActionSpec, until: float) -> Preview:
        order = RerunOrder.of_anacron(self._target, spec.run.job, job, _skew(snapshot))
        pid, refused = _runs(snapshot, spec.run.job), None
        if dialects.PATTERN.search(job.name):
            refused = f"anacron reads the name {job.name} as a pattern, which fits other jobs: rename it in {job.path}"
        elif pid is not None:
            refused = f"it runs now, by anacron, process {pid}: anacron's lock keeps a second one away"
        refused = refused or find_line(self._client, order, self._login, until - monotonic())
        return preview_of_anacron(order, job, spec, refused)

    def _run(self, preview: Preview, key: str, until: float) -> Receipt:
        order = order_from_plan(RerunOrder, preview.plan)
        safe_name(order.user)
        period = str(preview.plan.get("period_at", ""))
        if period or not order.overlap:
            snapshot = self._observer.running(until)
            pid = _runs(snapshot, order.job)
            if pid is not None and not order.overlap:
                raise NotSupported(
                    f"{order.job} started meanwhile on {self._target} as process {pid}. Refresh the preview."
                )
            refused = order.kind != ANACRON and _ran_already(
                snapshot, self._line(snapshot, order.job), order.job, period
            )
            if refused:
                raise NotSupported(refused)
        return send_rerun(self._client, order, key, self._login, until - monotonic(), sent_at(preview.plan))

    # -- hold ---------------------------------------------------------------------------------------------------------
    def _preview_hold(self, spec: ActionSpec, until: float) -> Preview:
        snapshot = self._observer.crontabs_now(until)
        line = self._line(snapshot, spec.run.job)
        order = hold.HoldOrder.of(spec, self._target, line, self._login, _skew(snapshot))
        refused, bare = hold.check_line(self._client, order, self._login, until - monotonic())
        return hold.preview_hold(order, line, refused, bare)

    def holds(self, snapshot: HostPoll) -> tuple[NativeHold, ...]:
        """All holds on the host. Raises AccessRefused where a crontab is denied: an incomplete list proves nothing."""
        crontabs = snapshot.crontabs
        if crontabs.denied:
            raise AccessRefused(denied_text(crontabs.denied, self._target, self._login))
        return tuple(hold.marks_in(self._target, crontabs.tables))

    def _look_up_hold(self, preview: Preview, key: str, until: float) -> LookUpResult:
        order = order_from_plan(hold.HoldOrder, preview.plan)
        snapshot = self._observer.crontabs_now(until)
        why = next((why for path, why in snapshot.crontabs.denied if path == order.path), None)
        if why is not None:
            return ActionUnknown(f"{order.where} cannot be read by {self._login}: {why}")
        now = snapshot.answer.host.now.timestamp()
        existing = hold.look_up_hold(order, key, snapshot.crontabs.tables)
        return existing or absent(preview.plan, order.skew_seconds, now, self._target)

    # -- cancel -------------------------------------------------------------------------------------------------------
    def _preview_cancel(self, spec: ActionSpec, until: float) -> Preview:
        snapshot = self._observer.running(until)
        attempt = attempt_of(spec, snapshot.memory.book.attempts)
        processes, host = snapshot.answer.processes, snapshot.answer.host
        order = order_of(attempt, self._target, processes, host, _skew(snapshot))
        refused, count = unproved(attempt, processes, host), ""
        if refused is None:
            refused, count = check_process(self._client, order, self._login, until - monotonic())
        return preview_cancel(order, refused, count)

    def _of_anacron(self, snapshot: HostPoll, job: str) -> AnacronJob | None:
        named = (
            item for item in snapshot.crontabs.tables.anacron if dialects.anacron_id(self._target, item.name) == job
        )
        return next(named, None)

    def _line(self, snapshot: HostPoll, job: str) -> CrontabLine:
        lines = (line for line in snapshot.crontabs.tables.lines if native_id(self._target, line) == job)
        if (line := next(lines, None)) is not None:
            return line
        if of_anacron := self._of_anacron(snapshot, job):
            raise NotSupported(f"{dialects.NO_HOLD} {of_anacron.name}")
        denied = snapshot.crontabs.denied
        if denied:
            raise AccessRefused(denied_text(denied, self._target, self._login))
        raise NotSupported(
            f"{job} is in no crontab of {self._target} any more: removed, renamed, commented out by hand"
        )


def _skew(snapshot: HostPoll) -> float:
    return snapshot.answer.clock(snapshot.ours, "").skew_seconds


def _overlap(snapshot: HostPoll, spec: ActionSpec) -> str | None:
    pid = _runs(snapshot, spec.run.job)
    if pid is not None:
        return f"it runs now as process {pid}; cron itself never keeps two runs of a line apart"
    if snapshot.answer.processes.hidden:
        return "the host hides other users' processes (hidepid), so whether it runs cannot be seen"
    return None


def _runs(snapshot: HostPoll, job: str) -> int | None:
    """Process id of a run of that job that runs now."""
    attempts = (attempt for attempt in snapshot.memory.book.attempts if attempt.job == job and not attempt.gone)
    return next((attempt.pid for attempt in attempts if attempt.state is RunState.RUNNING), None)


def _ran_already(snapshot: HostPoll, line: CrontabLine, job: str, period: str) -> str | None:
    """Why a start for that period (ISO instant, or "") would be the second: cron started it already."""
    due = read_times(line.expression)
    if not period or due is None:
        return None
    try:
        at = _minute(datetime.fromisoformat(period).astimezone(UTC))
    except ValueError as error:
        raise NotSupported(f"{job}: the period is not an ISO instant: {period[:40]!r}") from error
    for attempt in snapshot.memory.book.attempts:
        started = instant(attempt.started)
        if attempt.job != job or attempt.action or started is None or _minute(started) < at:
            continue
        back = due.minutes_since_due(_minute(started).astimezone(snapshot.zone).replace(tzinfo=None))
        if at in (_minute(started), _minute(started) - (back or 0) * MINUTE):
            return f"cron itself started {job} for that period, at {started:%H:%M:%S} UTC"
    return None


def _minute(instant_: datetime) -> datetime:
    return instant_.replace(second=0, microsecond=0)
