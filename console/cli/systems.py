"""Systems: polling health, probe, pause, drift of native schedules, and a shell on a target."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.cli.arguments import JOB_HELP, positive_number
from console.cli.clock_format import clock_text, timestamp
from console.cli.commands import JSON, Handler, flag, option
from console.cli.exits import CommandError, Exit
from console.cli.output import (
    PLAIN,
    Part,
    ValueColumn,
    print_message,
    print_page,
    print_result,
    table,
)
from console.cli.prompts import require_confirmation
from console.cli.reader import fresh_store_reader, load_valid_config, store_reader, store_url_of
from console.cli.requests import request_answer, require_engine, wait_for_answer
from console.cli.status import health_text
from console.domain.finding import accept_command
from console.domain.plan import unpolled_warning
from console.domain.switches import DEFAULT_PAUSE, pause_length_fault
from console.domain.system import DriftView, TargetView, split_right
from console.engine.api.client import EngineClient
from console.engine.api.requests import AcceptDrift, ProbeSystem
from console.store.errors import NotFound
from console.timing.durations import format_duration, parse_duration
from console.timing.formats import age_text

if TYPE_CHECKING:
    from connectors.sdk.contract import ShellSession
    from console.config.sections import Config, SystemConfig


MAX_SHOWN_NAMES = 10


def run_systems(arguments: argparse.Namespace) -> int:
    with fresh_store_reader(arguments) as reads:
        system = "" if arguments.name is None else reads.names.system_named(arguments.name.partition("/")[0])
        targets = [target for target in reads.estate.systems() if system in ("", target.system)]
        if arguments.name not in (None, system):
            name = target_named(arguments.name, targets)
            targets = [target for target in targets if target.name == name]
        drift, now, is_alive = reads.estate.drift(), reads.now(), reads.estate.engine().alive
    document = [
        {**asdict(target), "health": health_text(target, now, is_alive), "drift": _drift_of(target, drift)}
        for target in targets
    ]
    parts: list[Part]
    if arguments.name is None:
        target_table = table(
            targets,
            ValueColumn("system", lambda target: f"{target.system}/{target.name}", 16, middle=True),
            ValueColumn("health", lambda target: health_text(target, now, is_alive), 10),
            ValueColumn("kind", lambda target: f"{target.kind} {target.version}".strip(), drop=4),
            ValueColumn("polled", lambda target: age_text(target.last_ok, now)),
            ValueColumn("every", lambda target: format_duration(target.poll_every_s), drop=2),
            ValueColumn("poll time", lambda target: _poll_time(target) or "–", drop=1),
            ValueColumn("jobs", lambda target: f"{target.jobs:,}", drop=3),
            ValueColumn("skipped", lambda target: str(target.skipped or "–"), drop=1),
            ValueColumn("message", lambda target: target.problem or "–", 12),
        )
        parts = [target_table]
    else:
        parts = [
            [*([""] if number else []), *_target_lines(target, drift, now, is_alive)]
            for number, target in enumerate(targets)
        ]
    is_bad = any(target.error_kind or target.pause for target in targets)
    return print_page(arguments, document, *parts, code=Exit.PROBLEM if is_bad else Exit.OK)


def _poll_time(target: TargetView) -> str:
    return "" if target.poll_ms is None else f"{target.poll_ms:.0f} ms"


def target_named(name: str, of_system: Sequence[TargetView]) -> str:
    """The target in "system/target". Raises NotFound with all targets of the system for an unknown one."""
    target_name = name.partition("/")[2]
    if target_name not in {target.name for target in of_system}:
        raise NotFound(name, tuple(f"{target.system}/{target.name}" for target in of_system))
    return target_name


def _drift_of(target: TargetView, drift: Sequence[DriftView]) -> list[DriftView]:
    return [change for change in drift if change.job.startswith(f"{target.system}/")]


def _target_lines(target: TargetView, drift: Sequence[DriftView], now: datetime, is_alive: bool) -> Iterator[str]:
    verdict = target.verdict(lambda at: clock_text(at, near=now))
    yield verdict or f"{target.system}/{target.name}: {health_text(target, now, is_alive)}"
    yield from (f"  {label:<10} {text}" for label, text in _target_facts(target, now) if text)
    changes = _drift_of(target, drift)
    facts = [
        *map(split_right, target.rights),
        *(("cannot", f"{verb.replace('_', ' ')}: {why}") for verb, why in target.missing.items()),
        *(("warning", text) for text in target.warnings),
        *(("skipped", text) for text in target.skipped_reasons),
        *(("drift", f"{change.job}: {change.text or change.what}") for change in changes[:MAX_SHOWN_NAMES]),
    ]
    if len(changes) > MAX_SHOWN_NAMES:
        facts.append(("drift", f"and {len(changes) - MAX_SHOWN_NAMES} more: headway system drift"))
    yield from (f"  {label:<10}{text}" for label, text in facts)


def _target_facts(target: TargetView, now: datetime) -> Iterator[tuple[str, str]]:
    every = timedelta(seconds=target.poll_every_s)
    lag = now - target.last_ok - every if target.last_ok else timedelta(0)
    tried, answered = target.last_ok, ""
    if target.next_try is not None:
        tried, answered = target.last_try, f"; last answered {age_text(target.last_ok, now)}"
    failing = target.failing_since
    listed = f", listed {age_text(target.inventory, now)}" if target.inventory else ""
    yield "kind", f"{target.kind} {target.version}".strip()
    yield "polled", f"{age_text(tried, now)}, every {format_duration(target.poll_every_s)}{answered}"
    yield "next", target.next_try_text(now)
    yield "lag", format_duration(lag.total_seconds()) if lag > every else ""
    yield "took", _poll_time(target)
    yield "requests", target.budget
    polls = f", {target.failures} polls in a row" if target.polls_fail else ""
    yield "stopped" if target.is_stopped else "failing", f"since {timestamp(failing)}{polls}" if failing else ""
    yield "seen", f"all starts before {timestamp(target.seen_until)}" if target.seen_until else ""
    yield "jobs", f"{target.jobs:,}{listed}"
    yield "clock", "" if target.skew_s is None else f"{target.skew_s:+.1f} s from this machine"
    yield "zone", target.zone
    yield "evidence", target.incomplete_text(timestamp)
    yield "skipped", f"{target.skipped:,} records skipped" if target.skipped else ""
    yield "can", " ".join(verb.replace("_", " ") for verb in target.capabilities)


def run_probe(arguments: argparse.Namespace) -> int:
    system, _, target = arguments.name.partition("/")
    with store_reader(arguments) as reads:
        reads.names.system_named(system)
        if target:
            target_named(arguments.name, [view for view in reads.estate.systems() if view.system == system])
    probes: list[dict[str, Any]] = request_answer(arguments, ProbeSystem(system, target))["targets"]
    lines = [line for probe in probes for line in _probe_lines(probe)]
    code = Exit.OK if all(probe["reachable"] for probe in probes) else Exit.PROBLEM
    return print_result(arguments, {"targets": probes}, lines, code=code)


def _probe_lines(probe: Mapping[str, Any]) -> list[str]:
    failure = f"NO ANSWER: {probe['error'] or 'no answer'}"
    answer = f"answers in {probe['took_ms']} ms" if probe["reachable"] else failure
    rights = map(split_right, probe["rights"])
    return [
        f"{probe['target']}: {answer}{', ' + probe['version'] if probe['version'] else ''}",
        *(f"  {status:<8} {text}" for status, text in rights),
    ]


PAUSE_USAGE = """%(prog)s SYSTEM --why TEXT [--for TIME] [options]
       %(prog)s SYSTEM --off [--why TEXT] [options]"""


def run_pause(arguments: argparse.Namespace) -> int:
    if arguments.off and arguments.length:
        raise CommandError(Exit.USAGE, "--for and --off exclude each other; nothing was changed")
    length = timedelta(0) if arguments.off else _pause_duration(arguments.length)
    with store_reader(arguments) as reads:
        reads.names.system_named(arguments.name)
        plans = reads.plans.list_plans(ended=False)
    running = (plan for plan in plans if plan.state == "running" and unpolled_warning(plan, [arguments.name]))
    pause = EngineClient(store_url_of(arguments)).pause_polling(arguments.name, length.total_seconds(), arguments.why)
    lines = [f"{pause.system}: polling resumed"]
    if not arguments.off:
        lines = [
            f"{pause.system}: polling paused until {clock_text(pause.until, near=pause.at)}",
            "  until then its runs are shown as unknown, and actions are verified only afterwards",
            *(f"  plan {plan.id} is running: it waits there until polling resumes" for plan in running),
            f"  resume now: headway system pause {pause.system} --off",
        ]
    return print_result(arguments, {"system": pause.system, "paused": not arguments.off, "pause": pause}, lines)


def _pause_duration(text: str | None) -> timedelta:
    if text is None:
        return DEFAULT_PAUSE
    try:
        length: timedelta = parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise CommandError(Exit.USAGE, f"--for: {error}; nothing was paused") from None
    if fault := pause_length_fault(length):
        raise CommandError(Exit.USAGE, f"--for {text}: {fault}; nothing was paused")
    return length


def list_drift(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        changes, now = reads.estate.drift(), reads.now()
    rows = table(
        changes,
        ValueColumn("job", lambda change: change.job, 20, middle=True),
        ValueColumn("change", lambda change: str(change.id)),
        ValueColumn("field", lambda change: change.what),
        ValueColumn("first seen", lambda change: age_text(change.seen, now), drop=1),
        ValueColumn("difference", lambda change: change.text, 20),
    )
    return print_result(arguments, changes, rows, code=Exit.PROBLEM if changes else Exit.OK)


def accept_drift(arguments: argparse.Namespace) -> int:
    """Accepts the named change, or those confirmed at the terminal, as the new expectation."""
    with store_reader(arguments) as reads:
        job = reads.jobs.job(arguments.name)
    name, newest = job.row.name, max((change.id for change in job.drift), default=0)
    requests = require_engine(arguments)
    if not newest and arguments.change is None:
        raise CommandError(Exit.REFUSED, f"{name} has no drift")
    if arguments.change is None:
        _confirm_drift(arguments, name, job.drift, newest)
    wait_for_answer(arguments, requests, requests.ask(AcceptDrift(job.row.id, arguments.change or newest)))
    return print_result(arguments, {"job": name, "accepted": True}, [f"{name}: accepted"])


def _confirm_drift(arguments: argparse.Namespace, name: str, drift: Sequence[DriftView], newest: int) -> None:
    """Prints the changes and asks; several are accepted without a terminal by the number of the newest only."""
    for change in drift:
        print_message(f"change {change.id}  {change.what}: {change.text}")
    if len(drift) > 1 and (arguments.yes or not sys.stdin.isatty()):
        line = accept_command(name, newest)
        raise CommandError(Exit.USAGE, f"nothing was accepted. Fix: name the newest of {len(drift)} changes: {line}")
    question = f"{name}: accept {'this' if len(drift) == 1 else 'these'}?"
    require_confirmation(arguments, question, "nothing was accepted", "accept it")


PACKAGES = {"ssh": "openssh-client", "psql": "postgresql-client"}
"""Program -> its Debian package."""
REDIRECTING_VARIABLES = ("PG", "SSH_ASKPASS")
"""Prefixes of environment variables that would redirect psql or ssh away from Headway's target."""


def run_shell(arguments: argparse.Namespace) -> int:
    system, target = _target_of(load_valid_config(arguments), arguments.name)
    shell = _shell_command(system, target)
    program, name = shell.argv[0], f"{system.name}/{target}"
    if shutil.which(program) is None:
        fix = f"Debian: apt-get install {PACKAGES.get(program)}"
        raise CommandError(Exit.USAGE, f"{program} is not installed here ({fix})")
    _authorize_and_audit(arguments, name)
    print_message(f"{program} on {name}, signed in as Headway; Ctrl-D or exit leaves")
    code = _run_session(shell)
    if code:
        print_message(f"{program} ended with {code}")
    return Exit.PROBLEM if code else Exit.OK


def _target_of(config: Config, typed: str) -> tuple[SystemConfig, str]:
    """Raises CommandError for an unknown or ambiguous name."""
    name, _, target = typed.partition("/")
    system = config.systems.get(name)
    if system is None:
        known = ", ".join(config.systems) or "none is configured"
        raise CommandError(Exit.NOT_FOUND, f'no system "{name}"; known: {known}')
    if system.kind.shell is None:
        raise CommandError(Exit.USAGE, f"{name} ({system.kind.title}) is reached by its API alone; it has no shell")
    targets = ", ".join(f"{name}/{candidate}" for candidate in system.targets)
    if not target and len(system.targets) > 1:
        raise CommandError(Exit.USAGE, f"{name} has several targets; name one: {targets}")
    if target and target not in system.targets:
        raise CommandError(Exit.NOT_FOUND, f'no target "{target}" in {name}; known: {targets}')
    return system, target or system.targets[0]


def _shell_command(system: SystemConfig, target: str) -> ShellSession:
    from connectors.sdk.errors import ConnectorError
    from connectors.sdk.secrets import SecretStore

    assert system.kind.shell is not None
    try:
        return system.kind.shell(system.options, target, SecretStore())
    except ConnectorError as error:
        raise CommandError(Exit.REFUSED, str(error)) from None


def _authorize_and_audit(arguments: argparse.Namespace, place: str) -> None:
    """Audits the session. Without a store the session is allowed, and a message says so. Raises NotAllowed."""
    from console.store.errors import NotAllowed, StoreError

    try:
        EngineClient(store_url_of(arguments)).opens_shell(place)
    except NotAllowed:
        raise
    except (CommandError, StoreError) as error:
        print_message(f"this session is not in the audit: {error}")


def _run_session(shell: ShellSession) -> int:
    """The program in this terminal; its exit code. Ctrl-C and Ctrl-\\ are the program's own meanwhile."""
    with _private_files(shell.files) as paths, _ignore_signal(signal.SIGINT, signal.SIGQUIT):
        named = {f"{{{name}}}": str(path) for name, path in paths.items()}
        argv = [named.get(argument, argument) for argument in shell.argv]
        added = {name: named.get(value, value) for name, value in shell.environment.items()}
        own = {name: value for name, value in os.environ.items() if not name.startswith(REDIRECTING_VARIABLES)}
        return subprocess.run(argv, env={**own, **added}, check=False).returncode  # noqa: S603 - as config says


@contextmanager
def _private_files(texts: Mapping[str, str]) -> Iterator[dict[str, Path]]:
    """These texts as files readable only by this user, deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="headway-shell-") as folder:
        paths = {name: Path(folder, name) for name in texts}
        for name, path in paths.items():
            path.touch(mode=0o700)
            path.write_text(texts[name])
        yield paths


@contextmanager
def _ignore_signal(*signals: signal.Signals) -> Iterator[None]:
    """Installs a handler that does nothing; unlike SIG_IGN it is not inherited by the program."""
    handlers = {number: signal.signal(number, lambda *_: None) for number in signals}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


HANDLERS = {
    "system": Handler(run_systems, option("name", "show one system, or system/target", "NAME", nargs="?"), PLAIN, JSON),
    "system probe": Handler(
        run_probe, option("name", "a system, or system/target for one of its targets", "SYSTEM"), JSON
    ),
    "system pause": Handler(
        run_pause,
        option("name", "system, with all its targets", "SYSTEM"),
        option(
            "--for",
            f"duration ({format_duration(DEFAULT_PAUSE.total_seconds())}); polling resumes afterwards",
            "TIME",
            dest="length",
        ),
        flag("--off", "resume polling now"),
        option("--why", "reason, shown in the banner and kept in the audit log", "TEXT", default=""),
        JSON,
        usage=PAUSE_USAGE,
    ),
    "system drift": Handler(list_drift, JSON),
    "system drift accept": Handler(
        accept_drift,
        option("name", JOB_HELP, "JOB"),
        option(
            "--change",
            "number of the newest change you reviewed; refused if a newer one exists",
            "N",
            type=positive_number,
        ),
        flag("--yes", "accept the only change without asking"),
        JSON,
    ),
    "system shell": Handler(
        run_shell,
        option("name", "a system, or system/target where it has several", "SYSTEM"),
        epilog="example: headway system shell etl-hosts/db07",
    ),
}
