"""`headway check` and `headway version`: problems of the config and the installation, each with its fix."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from shlex import quote
from typing import TYPE_CHECKING

from console.cli.arguments import timeout
from console.cli.commands import JSON, NOUNS, Handler, flag
from console.cli.exits import CommandError, Exit
from console.cli.output import ValueColumn, counted, print_message, print_result, set_document, table
from console.config.paths import config_path

if TYPE_CHECKING:
    from console.diagnosis.installation import Problem


def run_check(arguments: argparse.Namespace) -> int:
    from console import diagnosis
    from console.diagnosis.installation import Installation
    from console.diagnosis.store import config_in_use
    from console.store.errors import StoreTooNew

    path, store = config_path(arguments.config), arguments.store
    checked = Installation(path, datetime.now(UTC), store or "", arguments.timeout, not arguments.no_probe)
    set_document(arguments, {"config": str(path), "faults": checked.faults, "targets": [], "problems": []})

    def run(checks: Iterable[diagnosis.Check]) -> list[Problem]:
        return [problem for check in checks for problem in check(checked)]

    def lines(problems: Iterable[Problem]) -> list[str]:
        return [with_options(f"{problem.level:<7} {problem.line}", arguments.config, store) for problem in problems]

    if not arguments.installation:
        if isinstance(checked.store_error, StoreTooNew):
            raise checked.store_error
        if checked.faults:
            texts = [f"{counted(checked.faults, 'problem')} in the config", *map(str, checked.faults)]
            raise CommandError(Exit.USAGE, "\n".join([*texts, *lines(config_in_use(checked))]))
    problems = run(diagnosis.STORE_CHECKS)
    if not checked.faults:
        systems, services = checked.config.systems, checked.config.services
        problems += run(diagnosis.CONFIG_CHECKS)
        size = f"{counted(systems, 'system')}, {counted(services, 'service')}"
        print_message(f"config {path}: {size}, {_problem_count(problem.is_fault for problem in problems)}")
        problems += run(diagnosis.TARGET_CHECKS)
    if results := checked.probes:
        faulty = _problem_count(result.is_fault or bool(result.faults) for result in results)
        print_message(f"{counted(results, 'probe')}, {faulty}")
    problems += run(diagnosis.INSTALLATION_CHECKS) if arguments.installation else []
    rows = table(
        results,
        ValueColumn("target", lambda result: result.target, 24),
        ValueColumn("verdict", lambda result: result.verdict),
        ValueColumn("version", lambda result: result.version or "–", 8),
    )
    faults = [problem for problem in problems if problem.is_fault]
    return print_result(
        arguments,
        arguments.document | {"targets": results, "problems": problems},
        lines(faults),
        *([rows] if results else []),
        lines(problem for problem in problems if not problem.is_fault),
        code=Exit.PROBLEM if faults else Exit.OK,
    )


def _problem_count(faults: Iterable[bool]) -> str:
    return counted(number, "problem") if (number := sum(faults)) else "no problems"


_COMMAND = re.compile(rf"\bheadway (?=(?:{'|'.join(NOUNS)})\b)")


def _may_hold_a_secret(store: str) -> bool:
    """True for a URL with a password, or with parameters that may hold one."""
    _, _, address = store.partition("://")
    return "?" in address or ":" in address.rpartition("@")[0]


def with_options(text: str, config: str | None, store: str | None) -> str:
    """The text with this --config and --store in each headway command of it; a store's URL with a password as URL."""
    options = f" --config {quote(config)}" if config else ""
    if store:
        options += f" --store {'URL' if _may_hold_a_secret(store) else quote(store)}"
    return _COMMAND.sub(lambda _: f"headway{options} ", text)


def run_version(arguments: argparse.Namespace) -> int:
    """Prints the version, also for `headway --version`, which has no --json."""
    number = version("headway")
    if getattr(arguments, "json", False):
        set_document(arguments, {"version": number})
    else:
        print(f"headway {number}")
    return Exit.OK


HANDLERS = {
    "check": Handler(
        run_check,
        flag("--installation", "check store, engine, clocks and this machine too"),
        flag("--no-probe", "do not connect to systems"),
        timeout("timeout per target", 20),
        JSON,
    ),
    "version": Handler(run_version, JSON),
}
