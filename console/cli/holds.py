"""Holds: place and release them, list them, and gate a command on the upstreams of a job."""

from __future__ import annotations

import argparse
import os
import re
import signal
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

from connectors.sdk.states import Verb
from console.cli.actions import send_step
from console.cli.arguments import JOB_HELP, duration, timeout
from console.cli.clock_format import clock_cell, clock_text, clocked, timestamp, until_text
from console.cli.commands import JSON, Handler, flag, option
from console.cli.exits import CommandError, Exit, refusal_text
from console.cli.output import ValueColumn, print_message, print_result, table
from console.cli.prompts import require_confirmation
from console.cli.reader import fresh_store_reader, load_valid_config, store_reader, store_url_of
from console.cli.requests import sending
from console.cli.runs import job_to_change
from console.domain.hold import HoldView, hold_length_fault
from console.domain.ids import new_action_key
from console.engine.api.action_request import ActionRequest
from console.engine.api.origin import hold_owner
from console.store.errors import ItemNotFound, NotAllowed, NotFound, StoreError, StoreTooNew
from console.text.redact import sanitize
from console.timing.durations import format_duration

if TYPE_CHECKING:
    from connectors.sdk.contract import Connector
    from connectors.sdk.secrets import SecretStore
    from console.config.sections import Config, SystemConfig
    from console.control.holds.gate import GateVerdict
    from console.engine.api.emergency import EmergencyAccess, ReportedHold
    from console.store.queries import Queries


DEFAULT_HOLD = timedelta(hours=6)


def run_hold(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        job = job_to_change(reads, arguments.name, arguments).row
        held, now = reads.holds.hold_of_job(job.id), reads.now()
    if held is not None:
        raise CommandError(Exit.REFUSED, f"{held.status_text}: {_hold_line(held, now)}; nothing was sent")
    until = (now + arguments.hold_for).replace(microsecond=0)
    parameters = {"by": hold_owner(), "until": until.isoformat().replace("+00:00", "Z")}
    return send_step(arguments, job.name, ActionRequest(Verb.HOLD, job_id=job.id, parameters=parameters))


def run_release(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        hold = reads.holds.hold(arguments.name) or _hold_of_job(reads, arguments)
        if hold.state not in ("held", "foreign"):
            raise CommandError(Exit.REFUSED, f"{hold.status_text}: {_hold_line(hold, reads.now())}; nothing was sent")
        notes = _unfinished_upstreams(reads, hold)
    request = ActionRequest(Verb.RELEASE, job_id=hold.job_id, parameters={"hold": hold.key})
    return send_step(arguments, hold.job, request, notes=notes)


def _hold_of_job(reads: Queries, arguments: argparse.Namespace) -> HoldView:
    job = job_to_change(reads, arguments.name, arguments).row
    if (hold := reads.holds.hold_of_job(job.id)) is None:
        raise ItemNotFound(job.name, f"{job.name} is not held; headway hold lists what is")
    return hold


def _hold_duration(text: str) -> timedelta:
    length = duration(text)
    if fault := hold_length_fault(length):
        raise argparse.ArgumentTypeError(f"{text}: {fault}")
    return length


def _unfinished_upstreams(reads: Queries, hold: HoldView) -> list[str]:
    """A note if the start that follows would read unfinished input: one that the hold missed, or the next one while an
    upstream is red; else nothing."""
    from console.control.holds.gate import GateStatus, judge_gate  # local: start-up time

    try:
        view = reads.holds.gate(hold.job, hold.period_key)
    except NotFound:
        return []  # no run is expected
    if not view.business_date:
        return []
    now = reads.now()
    verdict = judge_gate(view, True, now)
    is_ahead = view.at > now
    if verdict.status is GateStatus.SATISFIED or (is_ahead and verdict.status is not GateStatus.RED):
        return []
    start = f"its clock starts it {clock_text(view.at, now)}" if is_ahead else "a missed start runs anyway"
    return [f"{verdict.text}: {start}, on unfinished input"]


def _hold_line(hold: HoldView, now: datetime) -> str:
    return f"{clocked(hold.explanation, now)} (hold {hold.key}, until {timestamp(hold.until)})"


def run_holds(arguments: argparse.Namespace) -> int:
    if arguments.release and not arguments.from_native:
        raise CommandError(Exit.USAGE, "--release needs --from-native; to release one hold: headway hold release JOB")
    unused = [f"--{name}" for name in ("why", "anyway", "yes") if getattr(arguments, name) and not arguments.release]
    if unused:
        raise CommandError(Exit.USAGE, f"{unused[0]} needs --from-native --release; nothing was released")
    return _list_from_native(arguments) if arguments.from_native else _list_from_store(arguments)


def _list_from_store(arguments: argparse.Namespace) -> int:
    with fresh_store_reader(arguments) as reads:
        holds = reads.holds.list_holds() + (reads.holds.list_holds(ended=True) if arguments.all else [])
        now, modes = reads.now(), reads.estate.modes()
    print_result(
        arguments,
        holds,
        table(
            holds,
            ValueColumn("job", lambda hold: hold.job, 18, middle=True),
            ValueColumn("state", lambda hold: hold.state_label),
            ValueColumn("kind", lambda hold: hold.kind_label, drop=2),
            ValueColumn("start", lambda hold: clock_cell(hold.due, now) if hold.due else "every start", drop=3),
            ValueColumn("until", lambda hold: until_text(hold.until, now)),
            ValueColumn("by", lambda hold: hold.held_by, drop=4),
            ValueColumn("hold", lambda hold: hold.key, drop=1),
            ValueColumn("last seen", lambda hold: clock_cell(hold.seen, now), drop=2),
            ValueColumn("why", lambda hold: clocked(hold.explanation, now), 12),
        ),
    )
    if modes.frozen is not None and holds and not arguments.json:
        print_message("frozen: holds are not released. Fix: headway freeze --off")
    return Exit.OK


@dataclass(frozen=True, slots=True)
class MarkedJob:
    """A job with the hold mark at its source; or why a target could not be read (then `job` is empty)."""

    target: str
    job: str
    hold: str
    by: str
    until: datetime | None
    where: str
    bare: bool = False
    """True if the job is enabled: only its mark is removed; a pause placed meanwhile by a person stays."""
    error: str = ""

    @property
    def state(self) -> str:
        return "mark left" if self.bare else "held"

    def state_after(self, done: bool) -> str:
        if not done:
            return f"still {self.state}"
        return "mark removed" if self.bare else "released"

    def reported(self) -> ReportedHold:
        from console.engine.api.emergency import ReportedHold

        system, _, target = self.target.partition("/")
        return ReportedHold(system, target, self.job, self.hold)


def _list_from_native(arguments: argparse.Namespace) -> int:
    from concurrent.futures import ThreadPoolExecutor

    from connectors.sdk.secrets import SecretStore
    from connectors.sdk.states import Capability

    config, secrets = load_valid_config(arguments), SecretStore()
    targets = [
        (system, target)
        for system in config.systems.values()
        if Capability.HOLD in system.capabilities
        for target in system.targets
    ]
    with ThreadPoolExecutor(min(16, len(targets) or 1)) as pool:
        of_targets = pool.map(lambda place: _marks_of_target(place[0], place[1], secrets, arguments.timeout), targets)
        jobs = [job for marks in of_targets for job in marks]
    held = [job for job in jobs if not job.error]
    print_result(
        arguments,
        jobs,
        table(
            held,
            ValueColumn("target", lambda job: job.target, 12),
            ValueColumn("job", lambda job: job.job, 16, middle=True),
            ValueColumn("state", lambda job: job.state),
            ValueColumn("until", lambda job: timestamp(job.until)),
            ValueColumn("by", lambda job: job.by, drop=2),
            ValueColumn("hold", lambda job: job.hold, drop=1),
            ValueColumn("where", lambda job: job.where, 12, drop=3),
        ),
        [f"{job.target} could not be read: {job.error}" for job in jobs if job.error],
    )
    if not arguments.release:
        return Exit.PROBLEM if len(held) < len(jobs) else Exit.OK
    question = f"release {len(held)} holds? Headway starts none of the jobs."
    if held:
        require_confirmation(arguments, question, "nothing was released", "release")
    audit = _ReleaseAudit(arguments)
    outcomes = [_release_if_allowed(config, secrets, job, arguments.timeout, audit) for job in held]
    return Exit.OK if all(outcomes) and len(held) == len(jobs) else Exit.PROBLEM


def _marks_of_target(system: SystemConfig, target: str, secrets: SecretStore, timeout: float) -> list[MarkedJob]:
    name = f"{system.name}/{target}"
    try:
        with closing(system.kind.open(system.options, target, secrets)) as connector:
            return [
                MarkedJob(name, hold.job, hold.mark.id, hold.mark.by, hold.mark.until, hold.where, hold.bare)
                for hold in connector.holds(timeout)
            ]
    except Exception as error:  # noqa: BLE001 - one target that breaks must not hide the marks of the others
        return [MarkedJob(name, "", "", "", None, "", error=sanitize(f"{error}", secrets.mask) or type(error).__name__)]


class _ReleaseAudit:
    """Permissions and audit log of the store; without a store, only the scheduler's own permissions apply."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._is_missing = False

    def refusal(self, job: MarkedJob) -> str:
        """Why the release is refused, which is audited; empty if it is allowed. Raises StoreTooNew."""
        try:
            self._emergency().ask_release(job.reported(), self._arguments.why, self._arguments.anyway)
        except NotAllowed as error:
            return refusal_text(error)
        except StoreTooNew:
            raise
        except (StoreError, CommandError) as error:
            if not self._is_missing:
                print_message(f"store not available ({error}): released without the audit log")
            self._is_missing = True
        return ""

    def record(self, job: MarkedJob, done: bool, message: str) -> None:
        if self._is_missing:
            return
        try:
            self._emergency().record_release(job.reported(), done, message)
        except StoreError as error:
            print_message(f"the audit log could not be written: {error}")

    def _emergency(self) -> EmergencyAccess:
        from console.engine.api.emergency import EmergencyAccess

        return EmergencyAccess(store_url_of(self._arguments))


def _release_if_allowed(
    config: Config, secrets: SecretStore, job: MarkedJob, timeout: float, audit: _ReleaseAudit
) -> bool:
    """Removes the mark if it is still there and the store permits it; prints the outcome. True if it is removed."""
    if refusal := audit.refusal(job):
        print_message(f"{job.target} {job.job}: {job.state_after(False)}: {refusal}")
        return False
    system, _, target = job.target.partition("/")
    kind, options = config.systems[system].kind, config.systems[system].options
    try:
        with closing(kind.open(options, target, secrets)) as connector:
            message, done = _release_mark(connector, job, timeout)
    except Exception as error:  # noqa: BLE001 - the others are released all the same
        message, done = sanitize(f"{error}", secrets.mask) or type(error).__name__, False
    print_message(f"{job.target} {job.job}: {job.state_after(done)}: {message}")
    audit.record(job, done, message)
    return done


def _release_mark(connector: Connector, job: MarkedJob, timeout: float) -> tuple[str, bool]:
    from connectors.sdk.contract import ActionSpec
    from connectors.sdk.records import RunRef
    from connectors.sdk.states import RunState

    parameters = {"hold": job.hold} | ({"enable": "no"} if job.bare else {})
    spec = ActionSpec(Verb.RELEASE, RunRef(job.job, "", "", ""), RunState.HELD, parameters)
    preview = connector.preview(spec, timeout)
    if preview.refused:
        return preview.refused, False
    receipt = connector.act(preview, new_action_key(), timeout)
    return receipt.message or preview.summary, True


GATE_POLL_SECONDS = 2.0
GATE_UNKNOWN_SECONDS = 60.0
"""How long the status must be unknown before `--if-unknown open` opens; long enough to restart an engine."""
_GATE_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _gate_period(text: str) -> str:
    if not _GATE_DATE.fullmatch(text):
        return text
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!a} is not a date; write 2026-11-19") from None


def run_gate(arguments: argparse.Namespace) -> int:
    """The exit code without a command, or if it was not started; else the command replaces this process."""
    from console.control.holds.gate import GateStatus  # local: start-up time

    verdict = _wait_for_gate(arguments)
    is_open, message = verdict.status is GateStatus.SATISFIED, verdict.text
    if verdict.status is GateStatus.UNKNOWN and arguments.if_unknown == "open":
        is_open, message = True, f"{message}; opened because of --if-unknown open"
    print_message(f"headway gate {arguments.name}: {'open' if is_open else 'closed'}: {message}")
    if not is_open:
        return {GateStatus.RED: Exit.RED, GateStatus.UNKNOWN: Exit.NO_ENGINE}.get(verdict.status, Exit.TIMEOUT)
    return _exec_command(arguments.argv) if arguments.argv else Exit.OK


def _wait_for_gate(arguments: argparse.Namespace) -> GateVerdict:
    from console.control.holds.gate import GateStatus, GateVerdict  # local: start-up time

    timeout = arguments.timeout.total_seconds()
    known_at = time.monotonic()
    until = known_at + timeout
    while True:
        verdict = _gate_status(arguments)
        now = time.monotonic()
        if verdict.status is not GateStatus.UNKNOWN:
            known_at = now
        if verdict.status is GateStatus.SATISFIED or (verdict.status is GateStatus.RED and arguments.fail_fast):
            return verdict
        if arguments.if_unknown == "open" and now - known_at >= GATE_UNKNOWN_SECONDS:
            return verdict
        if now >= until:
            return GateVerdict(verdict.status, f"{verdict.text} after {format_duration(timeout)}")
        time.sleep(min(GATE_POLL_SECONDS, max(until - now, 0.05)))


def _gate_status(arguments: argparse.Namespace) -> GateVerdict:
    """UNKNOWN if the store cannot be read. Raises CommandError for an unknown job."""
    from console.control.holds.gate import GateStatus, GateVerdict, business_date_at, judge_gate  # local: start-up time

    period = arguments.period
    business_date = period if _GATE_DATE.fullmatch(period) else ""
    try:
        with store_reader(arguments) as reads:
            view = reads.holds.gate(arguments.name, "" if business_date else period, business_date)
            if not view.business_date:
                zone, cutoff = reads.holds.gate_zone(view.job_id)
                view = reads.holds.gate(arguments.name, "", business_date_at(reads.now(), zone, cutoff))
            return judge_gate(view, reads.estate.engine().alive, reads.now(), reads.declared())
    except CommandError as stop:
        if stop.code is Exit.NOT_FOUND:
            raise
        return GateVerdict(GateStatus.UNKNOWN, str(stop))


def _exec_command(argv: list[str]) -> NoReturn:
    """Replaces this process by the command: its own arguments, no shell, the same streams, default signal handlers."""
    handlers = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGPIPE, signal.SIGXFSZ)}
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - without a shell is what is wanted
    except OSError as error:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        raise CommandError(Exit.USAGE, f"{argv[0]} could not be started: {error.strerror}") from None


HANDLERS = {
    "hold add": Handler(
        run_hold,
        option("name", JOB_HELP, "JOB"),
        option(
            "--for",
            "release after this time (6h; at most 30d)",
            "TIME",
            dest="hold_for",
            type=_hold_duration,
            default=DEFAULT_HOLD,
        ),
        *sending(120),
    ),
    "hold release": Handler(run_release, option("name", f"{JOB_HELP}; or the key of a hold", "JOB|KEY"), *sending(120)),
    "hold": Handler(
        run_holds,
        flag("--all", "include ended holds"),
        flag("--from-native", "ask the schedulers; needs the config, no store"),
        flag("--release", "with --from-native: release all of them"),
        option("--why", "with --release: reason for the audit log", "TEXT", default=""),
        flag("--anyway", "with --release: even while frozen or without approval"),
        flag("--yes", "release without asking"),
        timeout("timeout per target", 20),
        JSON,
    ),
    "gate": Handler(
        run_gate,
        option("name", f"job about to run: {JOB_HELP}", "JOB"),
        option(
            "--for", "business date or period key (present)", "PERIOD", dest="period", type=_gate_period, default=""
        ),
        option("--timeout", "how long to wait (45m)", type=duration, default=timedelta(minutes=45)),
        flag("--fail-fast", "exit at once if an upstream failed"),
        option(
            "--if-unknown",
            "if the status is unknown: stay closed (default) or open",
            choices=("closed", "open"),
            default="closed",
        ),
        usage="headway gate [options] JOB [-- COMMAND ...]",
        epilog="COMMAND replaces this process when the gate opens. Without COMMAND, read the exit code.",
    ),
}
