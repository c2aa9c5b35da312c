"""Rerun and start: the host finds a crontab line by its hash and runs it once as its own user, under Headway's mark.
Cancel: SIGTERM to the session of one attempt, once pid, start and boot prove that it is still that attempt's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from connectors.cron import anacron, hold
from connectors.cron.anacron import AnacronJob
from connectors.cron.attempts import TICKS, CronAttempt, instant, referenced_attempts
from connectors.cron.client import CronClient, absent, not_after, order_from_plan, safe_name, section, shown
from connectors.cron.crontab import CronDaemon, CrontabLine
from connectors.cron.expressions import read_times
from connectors.cron.inventory import native_id
from connectors.cron.parse import CronProcesses
from connectors.cron.runs import HostPoll, denied_text
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
from connectors.sdk.errors import AccessRefused, ConnectorError, NotSupported
from connectors.sdk.settle import sent_at
from connectors.sdk.states import RunState, Verb
from connectors.sdk.transport.hosts import sent_once
from connectors.sdk.transport.script_output import HostNow, ScriptSection

STARTS_NOW = "the line runs once, now, with its crontab's shell and variables; it gets no period"
BY_ANACRON = (
    "under anacron's own lock, as root, with its table's variables; anacron mails its output, and its next period is"
    " counted from today"
)
ANACRON = "anacron"
"""`kind` of an order for a line of anacron's table."""
IS_HELD = "the line is held: it runs this once and stays held"
RERUN_REFUSALS = {
    "TOOL": "anacron is not installed on {host} ({text} is not found)",
    "RUNS": "a rerun of it runs on {host} as process {text}. Wait for its end.",
    "FAILED": "it could not be started on {host}",
}
"""By the kind of answer of act.sh."""


@dataclass(frozen=True, slots=True)
class RerunOrder:
    """A crontab line on a host, by hash; the plan of the preview."""

    host: str
    job: str
    path: str
    kind: str
    user: str
    hash: str
    ordinal: int
    skew_seconds: float
    overlap: bool

    def arguments(self, key: str, spool: str, mode: str, sent: datetime | None = None) -> tuple[str, ...]:
        numbers = (str(self.ordinal), key, spool, str(not_after(self.skew_seconds, sent)), mode)
        return (self.path, self.kind, self.user, self.hash, *numbers)


NEAR_SECONDS = 30.0  # between a start in the log and the process that must be its own
MAY_CONTINUE = "a job that ignores SIGTERM, or what left its session, goes on; it is not sent twice"
STARTS_AGAIN = "cron starts the line again at its next time"
CANCEL_REFUSALS = {
    "ENDED": "process {pid} on {host} has ended meanwhile; nothing was sent",
    "SHARED": (
        "process {pid} on {host} does not lead a session of its own, so what belongs to it is not proved. End it on its"
        " host."
    ),
}
"""By the kind of answer of cancel.sh."""


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
                raise NotSupported(f"{run.job}: that run has ended ({attempt.state}); there is nothing to cancel")
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


def preview_cancel(order: CancelOrder, refused: str | None, count: str) -> Preview:
    """The preview of SIGTERM; `count` processes are in the session now."""
    named = f"session {order.pid} of {order.user}"
    return Preview(
        verb="SIGTERM",
        summary=f"send SIGTERM to the {count or '?'} processes of {named} on {order.host}, all of this one run",
        scope=f"1 run of {order.job}",
        native_calls=(f"on {order.host}, sh -s as {order.user}: kill -s TERM -{order.pid} if born at {order.birth}",),
        notes=(MAY_CONTINUE, STARTS_AGAIN),
        refused=refused,
        plan=asdict(order),
    )


MINUTE = timedelta(minutes=1)


class CronActions:
    def __init__(
        self, client: CronClient, target: str, running: Callable[[], HostPoll], crontabs: Callable[[], HostPoll]
    ) -> None:
        """`running` reads running jobs, `crontabs` the crontabs only."""
        self._client, self._target = client, target
        self._running, self._crontabs = running, crontabs

    def preview(self, spec: ActionSpec) -> Preview:
        """As the contract says. Raises NotSupported for verbs that cron lacks and for missing lines."""
        if spec.verb in (Verb.RERUN, Verb.START):
            return self._preview_run(spec)
        if spec.verb in (Verb.HOLD, Verb.RELEASE):
            return self._preview_hold(spec)
        if spec.verb == Verb.CANCEL:
            return self._preview_cancel(spec)
        raise NotSupported(f'cron has no "{spec.verb}"; it has: rerun, start, cancel, hold, release')

    def act(self, preview: Preview, key: str) -> Receipt:
        check_action_key(key)
        verb, sent = preview.plan.get("verb", Verb.RERUN), sent_at(preview.plan)
        if verb in (Verb.HOLD, Verb.RELEASE):
            return hold.send_hold(self._client, order_from_plan(hold.HoldOrder, preview.plan), key, sent)
        if verb == Verb.CANCEL:
            return self._cancel(order_from_plan(CancelOrder, preview.plan), key, sent)
        return self._run(preview, key, sent)

    def look_up(self, preview: Preview, key: str) -> LookUpResult:
        """Whether it arrived: a hold by the crontabs, other actions by their mark in the spool."""
        check_action_key(key)
        verb = preview.plan.get("verb", Verb.RERUN)
        if verb in (Verb.HOLD, Verb.RELEASE):
            return self._look_up_hold(preview, key)
        plan, is_cancel = preview.plan, verb == Verb.CANCEL
        order = order_from_plan(CancelOrder, plan) if is_cancel else order_from_plan(RerunOrder, plan)
        parts = self._client.mark(safe_name(order.user), key)
        answer, status = parts[1].fields(2)
        if answer == "found":
            label = "it" if verb == Verb.CANCEL else "exit status"
            return ActionFound(key, f"its mark is on {self._target}" + (f", {label} {status}" if status else ""))
        if answer == "absent":
            now = float(parts[0].rest) if parts[0].rest.isdigit() else 0.0
            return absent(preview.plan, order.skew_seconds, now, self._target)
        folder = f"{self._client.options.spool}/{order.user}/actions"
        return ActionUnknown(f"{self._target}: {folder} cannot be read by {self._client.login}")

    # -- run once -----------------------------------------------------------------------------------------------------
    def _preview_run(self, spec: ActionSpec) -> Preview:
        snapshot, job = self._running(), spec.run.job
        if of_anacron := self._of_anacron(snapshot, job):
            return self._preview_anacron(snapshot, of_anacron, spec)
        line = self._line(snapshot, job)
        overlap = _overlap(snapshot, spec)
        kind = "system" if line.is_system else "busybox" if line.daemon is CronDaemon.BUSYBOX else "user"
        place = (line.path, kind, line.user, line.hash, line.ordinal)
        order = RerunOrder(self._target, job, *place, _skew(snapshot), overlap is not None)
        period = str(spec.parameters.get("period_at", "")) if spec.verb == Verb.START else ""
        refused = _ran_already(snapshot, line, job, period)
        refused = refused or self._line_refusal(order)
        return Preview(
            verb="run once",
            summary=f"run this crontab line once on {self._target} as {order.user}: {shown(line.command)}",
            scope=f"1 run of {job}; downstream jobs are not started",
            overlap=overlap,
            native_calls=(
                f"on {self._target}, sh -s as {order.user}: run line {order.hash[:12]} of {order.path} once",
            ),
            notes=(STARTS_NOW, *((IS_HELD,) if line.mark else ())),
            refused=refused,
            plan={**asdict(order), "verb": spec.verb.value, "period_at": period},
        )

    def _preview_anacron(self, snapshot: HostPoll, item: AnacronJob, spec: ActionSpec) -> Preview:
        job, place = spec.run.job, (item.path, ANACRON, anacron.USER, item.hash, 1)
        order = RerunOrder(self._target, job, *place, _skew(snapshot), overlap=False)  # anacron holds a lock
        pid, refused = _runs(snapshot, job), None
        if anacron.PATTERN.search(item.name):
            refused = f"anacron reads the name {item.name} as a pattern for several jobs: rename it in {item.path}"
        elif pid is not None:
            refused = f"it runs now, by anacron, process {pid}: anacron's lock keeps a second one away"
        return Preview(
            verb="run once by anacron",
            summary=f"let anacron run its job {item.name} on {self._target} now: {shown(item.command)}",
            scope=f"1 run of {job}; downstream jobs are not started",
            native_calls=(f"on {self._target}, sh -s as {order.user}: anacron -d -f -n -t {item.path} {item.name}",),
            notes=(BY_ANACRON,),
            refused=refused or self._line_refusal(order),
            plan={**asdict(order), "verb": spec.verb.value},
        )

    def _run(self, preview: Preview, key: str, sent: datetime | None) -> Receipt:
        order = order_from_plan(RerunOrder, preview.plan)
        safe_name(order.user)
        period = str(preview.plan.get("period_at", ""))
        if period or not order.overlap:
            snapshot = self._running()
            pid = _runs(snapshot, order.job)
            if pid is not None and not order.overlap:
                raise NotSupported(
                    f"{order.job} started meanwhile on {self._target} as process {pid}. Refresh the preview."
                )
            line = None if order.kind == ANACRON else self._line(snapshot, order.job)
            if line and (refused := _ran_already(snapshot, line, order.job, period)):
                raise NotSupported(refused)
        unknown = f"Whether {order.job} was started is looked up by its mark."
        parts = sent_once(lambda: self._run_line(order, key, "run", sent), unknown)
        if section(parts, "STARTED"):
            return Receipt(key, f"started on {order.host} as {order.user}")
        if section(parts, "EXISTS"):
            return Receipt(key, f"was started before on {order.host} under this key")
        raise self._rerun_refusal(parts[0], order)

    def _run_line(self, order: RerunOrder, key: str, mode: str, sent: datetime | None = None) -> list[ScriptSection]:
        arguments = order.arguments(key, self._client.options.spool, mode, sent)
        return self._client.run_line(safe_name(order.user), arguments, once=mode == "run")

    def _line_refusal(self, order: RerunOrder) -> str | None:
        """Why the host would refuse to run the line now; None when it would run it. Starts nothing."""
        parts = self._run_line(order, "-", "look")
        return None if section(parts, "LINE") else str(self._rerun_refusal(parts[0], order))

    def _rerun_refusal(self, part: ScriptSection, order: RerunOrder) -> ConnectorError:
        return self._client.refusal(part, RERUN_REFUSALS, asdict(order))

    # -- hold ---------------------------------------------------------------------------------------------------------
    def _preview_hold(self, spec: ActionSpec) -> Preview:
        snapshot = self._crontabs()
        line = self._line(snapshot, spec.run.job)
        order = hold.HoldOrder.of(spec, self._target, line, self._client.login, _skew(snapshot))
        refused, bare = hold.check_line(self._client, order)
        return hold.preview_hold(order, line, refused, bare)

    def holds(self, snapshot: HostPoll) -> tuple[NativeHold, ...]:
        """All holds on the host. Raises AccessRefused where a crontab is denied: an incomplete list proves nothing."""
        crontabs = snapshot.crontabs
        if crontabs.denied:
            raise AccessRefused(denied_text(crontabs.denied, self._target, self._client.login))
        return tuple(hold.marks_in(self._target, crontabs.tables))

    def _look_up_hold(self, preview: Preview, key: str) -> LookUpResult:
        order = order_from_plan(hold.HoldOrder, preview.plan)
        snapshot = self._crontabs()
        why = {**snapshot.crontabs.tables.unread, **dict(snapshot.crontabs.denied)}.get(order.path)
        if why is not None:
            return ActionUnknown(f"{order.where} cannot be read by {self._client.login}: {why}")
        now = snapshot.answer.host.now.timestamp()
        existing = hold.look_up_hold(order, key, snapshot.crontabs.tables)
        return existing or absent(preview.plan, order.skew_seconds, now, self._target)

    # -- cancel -------------------------------------------------------------------------------------------------------
    def _preview_cancel(self, spec: ActionSpec) -> Preview:
        snapshot = self._running()
        attempt = attempt_of(spec, snapshot.cursor.book.attempts)
        processes, host = snapshot.answer.processes, snapshot.answer.host
        process = (attempt.job, attempt.user, attempt.pid, processes.births.get(attempt.pid, ""), host.boot)
        order = CancelOrder("cancel", self._target, *process, _skew(snapshot))
        refused, count = unproved(attempt, processes, host), ""
        if refused is None:
            parts = self._end_run(order, "-", "look")
            if running := section(parts, "RUNS"):
                count = running.fields(2)[1].strip()
            else:
                refused = str(self._cancel_refusal(parts[0], order))
        return preview_cancel(order, refused, count)

    def _cancel(self, order: CancelOrder, key: str, sent: datetime | None) -> Receipt:
        """Sends SIGTERM under `key`. Raises OutcomeUnknown when the host was reached and did not answer."""
        unknown = f"Whether SIGTERM was sent to {order.job} is looked up by its mark."
        parts = sent_once(lambda: self._end_run(order, key, "run", sent), unknown)
        if section(parts, "ENDING"):
            return Receipt(key, f"SIGTERM sent on {order.host} to process {order.pid} and its session")
        if section(parts, "EXISTS"):
            return Receipt(key, f"SIGTERM was sent before on {order.host} under this key")
        raise self._cancel_refusal(parts[0], order)

    def _end_run(self, order: CancelOrder, key: str, mode: str, sent: datetime | None = None) -> list[ScriptSection]:
        user, latest = safe_name(order.user), str(not_after(order.skew_seconds, sent))
        arguments = (user, str(order.pid), order.birth, order.boot, key, self._client.options.spool, latest, mode)
        return self._client.end_run(user, arguments, once=mode == "run")

    def _cancel_refusal(self, part: ScriptSection, order: CancelOrder) -> ConnectorError:
        return self._client.refusal(part, CANCEL_REFUSALS, {**asdict(order), "path": "its crontab"})

    def _of_anacron(self, snapshot: HostPoll, job: str) -> AnacronJob | None:
        items = snapshot.crontabs.tables.anacron
        return next((item for item in items if anacron.anacron_id(self._target, item.name) == job), None)

    def _line(self, snapshot: HostPoll, job: str) -> CrontabLine:
        lines = (line for line in snapshot.crontabs.tables.lines if native_id(self._target, line) == job)
        if (line := next(lines, None)) is not None:
            return line
        if of_anacron := self._of_anacron(snapshot, job):
            raise NotSupported(f"{anacron.NO_HOLD} {of_anacron.name}")
        denied = snapshot.crontabs.denied
        if denied:
            raise AccessRefused(denied_text(denied, self._target, self._client.login))
        raise NotSupported(
            f"{job} is in no crontab of {self._target} any more: removed, renamed, commented out by hand"
        )


def _skew(snapshot: HostPoll) -> float:
    return snapshot.answer.host.clock(snapshot.our_time).skew_seconds


def _overlap(snapshot: HostPoll, spec: ActionSpec) -> str | None:
    pid = _runs(snapshot, spec.run.job)
    if pid is not None:
        return f"it runs now as process {pid}; cron itself never keeps two runs of a line apart"
    if snapshot.answer.processes.hidden:
        return "the host hides other users' processes (hidepid), so whether it runs cannot be seen"
    return None


def _runs(snapshot: HostPoll, job: str) -> int | None:
    """Process id of a running run of that job."""
    attempts = (attempt for attempt in snapshot.cursor.book.attempts if attempt.job == job and not attempt.missed_at)
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
    for attempt in snapshot.cursor.book.attempts:
        started = instant(attempt.started)
        if attempt.job != job or attempt.action or started is None or _minute(started) < at:
            continue
        back = due.minutes_since_due(_minute(started).astimezone(snapshot.zone).replace(tzinfo=None))
        if at in (_minute(started), _minute(started) - (back or 0) * MINUTE):
            return f"cron itself started {job} for that period, at {started:%H:%M:%S} UTC"
    return None


def _minute(instant_: datetime) -> datetime:
    return instant_.replace(second=0, microsecond=0)
