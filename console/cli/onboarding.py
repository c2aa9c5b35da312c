"""`headway init`: find schedulers, write a config in shadow mode or add to one, read the history, propose a service."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.cli.commands import Handler, flag, option
from console.cli.engine_process import running_engine
from console.cli.exits import CommandError, Exit
from console.cli.init_dialog import (
    Secrets,
    ask_route,
    ask_systems,
    has_unknown_name,
    named_route,
    named_systems,
    print_commands,
    settings_problem,
    setup_commands,
    with_agent,
)
from console.cli.output import counted, print_lines, print_message, print_parts, terminal_width
from console.cli.prompts import prompt, prompt_or
from console.cli.reader import load_valid_config, stored, valid_config
from console.config.paths import NoStore, config_files, config_path, has_settings, store_url, user_config
from console.domain.service import ReportedDeadline
from console.domain.system import problem_and_fix
from console.onboarding.answers import KEY, dsn_address, with_own_key
from console.onboarding.config_writer import (
    ConfiguredScheduler,
    backup_path,
    default_route_text,
    extended_config_text,
    first_config_text,
    replace_if_unchanged,
    replace_with_backup,
    toml,
    write_new,
)
from console.onboarding.discovery import discover
from console.onboarding.first_service import JobHistory, ServiceProposal, propose, propose_reported, with_deadline
from console.onboarding.schedulers import (
    DetectedScheduler,
    Machine,
    WatchReadiness,
    fault_lines,
    is_configured,
    is_place,
    unique_name,
    with_unique_names,
    with_zones,
)
from console.text.charset import takes_utf8
from console.text.cleaning import clean_line

if TYPE_CHECKING:
    from console.config.sections import Config
    from console.store.queries import Queries


FIRST_POLL_SECONDS = 900.0


@dataclass
class Selection:
    """The findings, the chosen ones, and the results of their probes by key."""

    findings: list[DetectedScheduler]
    chosen: list[DetectedScheduler]
    why_not: dict[str, str] = field(default_factory=dict)
    """Why a system cannot be watched."""
    zones: dict[str, str] = field(default_factory=dict)
    """The zone of its jobs, where that is not UTC."""

    @property
    def active(self) -> list[DetectedScheduler]:
        return [finding for finding in self.chosen if finding.key not in self.why_not]

    def change(self, changed: Mapping[str, DetectedScheduler]) -> None:
        """Replaces findings, by their keys."""
        self.findings = [changed.get(finding.key, finding) for finding in self.findings]
        self.chosen = [changed.get(finding.key, finding) for finding in self.chosen]

    def add(self, systems: Sequence[DetectedScheduler]) -> None:
        """Adds chosen systems, each instead of the finding with its key or title. Of a name that two have, the finding
        that is not chosen takes another."""
        keys, titles = {system.key for system in systems}, {system.title for system in systems}
        self.chosen = [*(finding for finding in self.chosen if finding.key not in keys), *systems]
        remaining = [finding for finding in self.findings if finding.key not in keys]
        findings = [finding for finding in remaining if finding in self.chosen or finding.title not in titles]
        taken = {finding.name for finding in self.chosen}
        for at, finding in enumerate(findings):
            if finding.name and finding not in self.chosen:
                findings[at] = replace(finding, name=unique_name(finding.name, taken))
                taken.add(findings[at].name)
        self.findings = [*findings, *systems]

    def probe(self, machine: Machine, timeout: float) -> None:
        """Probes what is chosen; hosts of ~/.ssh/config that refuse their own key with that of Headway too."""
        self.why_not = probe_selection(self.chosen, timeout, self.zones)
        refused = (finding for finding in self.chosen if finding.key in self.why_not)
        if retried := list(with_own_key(machine, refused)):
            print_parts(["", f"No access with the key of ~/.ssh/config; trying {KEY}:"])
            refused_again = probe_selection(retried, timeout, self.zones)
            opened = {host.key: host for host in retried if host.key not in refused_again}
            self.change(opened)
            self.why_not = {key: reason for key, reason in self.why_not.items() if key not in opened}

    def probe_typed(self, timeout: float, system: DetectedScheduler) -> str:
        """Why a system that was typed does not let Headway in, or which rights it lacks; "" if neither."""
        return "; ".join(probe_selection([system], timeout, self.zones, watchable=("ok",)).values())


def run_init(arguments: argparse.Namespace) -> int:
    """Finds schedulers, asks, probes, writes the config or adds to it, polls and proposes a service. Ctrl-C leaves
    complete files, and prints which."""
    path = _config_file(arguments)
    secrets, before = Secrets(path), _bytes_of(path)
    try:
        return _run_init(arguments, path, secrets)
    except KeyboardInterrupt:
        own = "" if path == user_config() else f" --config {path}"
        if _bytes_of(path) != before:
            text = f"{path} is written and complete. Next: headway{own} check"
        elif secrets.files:
            text = f"no config was written; secrets were: {', '.join(secrets.files)}. Fix: delete them, or headway init"
        else:
            text = "nothing was written. Fix: headway init starts again"
        raise CommandError(Exit.INTERRUPTED, f"interrupted: {text}") from None


def _bytes_of(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _run_init(arguments: argparse.Namespace, path: Path, secrets: Secrets) -> int:
    is_interactive = sys.stdin.isatty() and not arguments.yes and not arguments.print
    extended = None if arguments.print else _config_to_extend(path, arguments, is_interactive)
    machine = Machine(Path.home(), os.environ)
    configured = configured_systems(config_path(arguments.config)) if extended is not None else {}
    databases = _configured_databases(configured.values(), machine.env)

    def is_new(finding: DetectedScheduler) -> bool:
        return finding.address not in databases and not is_configured(finding, configured.values())

    named = named_systems(arguments, machine)
    _require_same_users(named, configured, path)
    promised = list[str]()
    if extended is not None and not arguments.only and not named:
        promised = offer_reported(arguments, path, extended, is_interactive)
    detected = _find_schedulers(machine)
    selected = [] if named and not arguments.only else _select_findings(detected, arguments.only)
    selected_keys = {finding.key for finding in selected}
    findings = with_unique_names(filter(is_new, detected), configured)
    selection = Selection(findings, [finding for finding in findings if finding.key in selected_keys])
    new_keys = {system.key for system in named if is_new(system)}
    taken = [*configured, *(finding.name for finding in findings if finding.key not in new_keys)]
    selection.add(with_unique_names(filter(is_new, named), taken))
    if arguments.print:
        print(_config_text(machine, selection), end="")
        return Exit.OK
    detected_keys = {finding.key for finding in detected}
    _print_findings([finding for finding in selection.findings if finding.key in detected_keys])
    if configured:
        print_parts(["", f"Already configured in {path}, unchanged: {', '.join(configured)}."])
    if promised and not selection.chosen and not is_interactive:
        return Exit.OK
    if not is_interactive and (early := _without_terminal(arguments, path, selection, extended)) is not None:
        return early
    if is_interactive and not arguments.only and not named and any(finding.name for finding in selection.findings):
        answer = _ask_selection(selection.findings, selection.chosen, path)
        if answer is None:
            return Exit.OK if promised else _nothing_selected()
        selection.chosen = answer
    unopened = [finding for finding in selection.chosen if finding.key not in new_keys]
    selection.change({finding.key: with_agent(machine, finding, arguments.timeout) for finding in unopened})
    if selection.chosen:
        selection.probe(machine, arguments.timeout)
    refused = ", ".join(system.title for system in selection.chosen if system.key in new_keys & {*selection.why_not})
    if refused and not selection.active:
        raise CommandError(
            Exit.PROBLEM, f"no access to {refused}; nothing was written. Fix: see above, then repeat the command"
        )
    if is_interactive and not named:
        names = [*configured, *(finding.name for finding in selection.chosen)]
        titles = {finding.title for finding in selection.chosen}
        probe = partial(selection.probe_typed, arguments.timeout)
        selection.add(
            ask_systems(
                machine, secrets, arguments.timeout, probe, names,
                lambda system: system.title in titles or not is_new(system),
            )
        )  # fmt: skip
    if not selection.chosen:
        return Exit.OK if promised else _nothing_selected()
    if not selection.active:
        raise CommandError(
            Exit.PROBLEM, "no selected system grants Headway access; no config was written. --print shows the findings"
        )
    code = _write_and_poll(arguments, path, machine, secrets, selection, extended, is_interactive)
    if refused:
        fix = "Fix: see above, then repeat the command: it adds what is missing"
        raise CommandError(Exit.PROBLEM, f"no access yet to {refused}. {fix}")
    return code


def _without_terminal(
    arguments: argparse.Namespace, path: Path, selection: Selection, extended: Config | None
) -> Exit | None:
    """The exit code where nothing is to be done; None to go on. Raises CommandError without --yes."""
    if extended is None and not any(finding.name for finding in selection.findings):
        print_parts(
            [
                "No scheduler was found on this machine: no crontab, no Airflow home, no pg_cron, no AWS.",
                "If yours run elsewhere, name them: headway init --host db07 --dsn DWH_DSN --yes",
                f"Or write {path} by hand; config.example.toml has every setting.",
                "Any other job can report by curl: headway connector grants heartbeat",
                "To try it first: headway demo",
            ]
        )
        return Exit.PROBLEM
    if extended is not None and not selection.chosen:
        print_parts([f"Nothing to add; {path} was not changed."])
        return Exit.OK
    if not arguments.yes:
        keys = _finding_keys(selection.chosen) or "nothing"
        what = f"watch {keys} and write {path}, in shadow mode" if extended is None else f"add {keys} to {path}"
        print_parts(["", f"Would {what}."])
        raise CommandError(Exit.USAGE, "nothing was written. Fix: --yes writes it without a terminal, --print shows it")
    return None


def _write_and_poll(
    arguments: argparse.Namespace, path: Path, machine: Machine, secrets: Secrets, selection: Selection,
    extended: Config | None, is_interactive: bool,
) -> int:  # fmt: skip
    """Writes a new config and reads the history, or adds to the config `extended`; the exit code."""
    has_route = extended is not None and bool(extended.routes)
    route = None if has_route else _route(arguments, machine, secrets, is_interactive)
    selection.change({finding.key: finding for finding in with_zones(selection.findings, selection.zones)})
    systems, own = counted(selection.active, "system"), "" if path == user_config() else f" --config {path}"
    if extended is None:
        text = _config_text(machine, selection, route)
        done = f"Wrote {path}: {systems}, in shadow mode."
    else:
        added = [ConfiguredScheduler(finding, selection.why_not.get(finding.key, "")) for finding in selection.chosen]
        text = extended_config_text(path.read_text("utf-8-sig"), added, route)
        done = f"Added {systems} to {path}; a running engine applies it in ten seconds."
    texts = {path: text}
    if extended is not None and route is not None:
        texts |= _with_default_route(config_path(arguments.config), texts)
    config = valid_config(config_path(arguments.config), texts)
    backups = [backup for file, changed in texts.items() if (backup := write_config(file, changed)) is not None]
    print_parts(["", done, *(f"The previous config is kept as {backup}." for backup in backups)])
    is_polled = extended is None and not arguments.no_poll
    code = read_history(path, text, config.zone, is_interactive, FIRST_POLL_SECONDS) if is_polled else Exit.OK
    is_live = extended is not None and _is_live(arguments)
    if is_live:
        observe = f"headway{own} shadow on --system NAME"
        print_parts(["This estate is live: alerts of the new systems start now.", f"To observe first: {observe}"])
    print_parts([
        "",
        f"headway{own}          open the console; it starts the engine, which keeps running",
        f"headway{own} check    validate the config and probe every system",
        *([] if is_live else [f"headway{own} shadow   what would have been sent so far; `shadow off` goes live"]),
    ])  # fmt: skip
    return code


def _with_default_route(config: Path, texts: Mapping[Path, str]) -> dict[Path, str]:
    """The text of the config's file that has [alerts], with the new route as default there; where none has, of the
    changed file."""
    all_texts = {file: texts.get(file) or file.read_text("utf-8-sig") for file in config_files(config)}
    file = next((file for file, text in all_texts.items() if "alerts" in tomllib.loads(text)), next(iter(texts)))
    return {file: default_route_text(all_texts[file])}


def _is_live(arguments: argparse.Namespace) -> bool:
    """True if the estate of the store is live: a new system is live at once."""
    modes = stored(arguments, lambda reads: reads.estate.modes())
    return modes is not None and modes.has_mode and modes.estate_live


def _nothing_selected() -> int:
    print_parts(["Nothing selected; no config was written. Fix: --only KEY, or --host, --dsn, --airflow"])
    return Exit.REFUSED


def _route(
    arguments: argparse.Namespace, machine: Machine, secrets: Secrets, is_interactive: bool
) -> Mapping[str, object] | None:
    """The reference to the URL of the first route, to which a test message was sent; None without one."""
    from console.diagnosis.routes import send_test_message

    if arguments.route:
        return named_route(arguments.route, machine, secrets, send_test_message)
    return ask_route(machine, secrets, send_test_message) if is_interactive else None


def _find_schedulers(machine: Machine) -> list[DetectedScheduler]:
    print_message("Looking for schedulers on this machine: they are only read.")

    def overwrite(text: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    findings = discover(machine, lambda kind: overwrite(f"  looking for {kind} …"))
    overwrite("")
    return findings


def _config_file(arguments: argparse.Namespace) -> Path:
    """The file that is written: of a folder its first with settings, else headway.toml."""
    path = config_path(arguments.config)
    return next(filter(has_settings, config_files(path)), path / "headway.toml") if path.is_dir() else path


def _config_to_extend(path: Path, arguments: argparse.Namespace, is_interactive: bool) -> Config | None:
    """The config that stays, to which systems are added; None where a new one is written. Raises CommandError if it is
    not valid, or a person keeps it unchanged."""
    if not path.exists() or not has_settings(path):
        return None
    if is_interactive:
        print_parts([f"{path} exists already."])
        answer = prompt(
            f"[Enter] keep it unchanged · a add systems · n new (it is moved to {backup_path(path).name}): "
        )
        if answer.lower() == "n":
            return None
        if answer.lower() != "a":
            raise CommandError(Exit.REFUSED, f"{path} was not changed; nothing was written")
    return load_valid_config(arguments)


def _select_findings(findings: Sequence[DetectedScheduler], keys: Sequence[str]) -> list[DetectedScheduler]:
    if not keys:
        return [finding for finding in findings if finding.is_wanted]
    names = [name for key in keys for name in key.split(",") if name]
    offered = [finding for finding in findings if finding.name]
    known = {name for finding in offered for name in (finding.key, finding.kind)}
    if missing := sorted(set(names) - known):
        keys_found = _finding_keys(findings) or "nothing"
        raise CommandError(Exit.NOT_FOUND, f"--only {missing[0]}: no such finding; found: {keys_found}")
    return [finding for finding in offered if finding.key in names or finding.kind in names]


def _finding_keys(findings: Sequence[DetectedScheduler]) -> str:
    return ", ".join(finding.key for finding in findings if finding.name)


def _print_findings(findings: Sequence[DetectedScheduler]) -> None:
    """Those that cannot be selected last."""
    print_parts([""])
    offered = [finding for finding in findings if finding.name]
    numbered = [(f"{number:>3}", f"   [{finding.key}]", finding) for number, finding in enumerate(offered, 1)]
    numbered += [("  –", "", finding) for finding in findings if not finding.name]
    for number, key, finding in numbered:
        title = f"{number}  {clean_line(finding.full_title)}" + (f", {finding.count}" if finding.count else "")
        print_parts([title, f"     {finding.ready.value}{key}   {clean_line(finding.where)}"])
        _print_faults(finding.note, "     ")


def _print_faults(text: str, lead: str) -> None:
    for line, is_verbatim in fault_lines(text):
        print_lines([f"{lead}{line}"], wrapped=not is_verbatim)


def _ask_selection(
    findings: Sequence[DetectedScheduler], selected: Sequence[DetectedScheduler], path: Path
) -> list[DetectedScheduler] | None:
    """The selection; None at the end of input."""
    offered = [finding for finding in findings if finding.name]
    selected = [finding for finding in offered if finding in selected or finding.is_login]
    default = ", ".join(f"{clean_line(finding.key)} ({offered.index(finding) + 1})" for finding in selected) or "none"
    print_parts(["", f"Headway probes what you select and writes what grants access to {path}."])
    while True:
        answer = prompt_or(f"Which? Enter for {default}; or numbers like 1 3, all, none: ", "end").lower()
        if answer == "end":
            return None
        if answer in ("", "none", "all"):
            return {"": list(selected), "none": [], "all": offered}[answer]
        numbers = answer.replace(",", " ").split()
        if all(number.isascii() and number.isdigit() and 0 < int(number) <= len(offered) for number in numbers):
            return [offered[number - 1] for number in sorted(set(map(int, numbers)))]
        print_message(f'"{answer[:40]}" is not a choice; enter numbers from 1 to {len(offered)}, all or none')


def _config_text(machine: Machine, selection: Selection, route: Mapping[str, object] | None = None) -> str:
    """The config: selected systems, and as comments those that are not selected or cannot be watched yet."""

    def comment(finding: DetectedScheduler) -> str:
        """Why the finding is only a comment; empty if it is active."""
        reason = finding.note if finding.ready is WatchReadiness.NEEDS else "not selected"
        return selection.why_not.get(finding.key, "" if finding in selection.chosen else reason)

    systems = [ConfiguredScheduler(finding, comment(finding)) for finding in selection.findings]
    return first_config_text(machine.host, machine.host, datetime.now(UTC), systems, route)


WATCHABLE = ("ok", "missing rights")
"""Probe verdicts of systems that can be watched."""


def probe_selection(
    chosen: Sequence[DetectedScheduler], timeout: float, zones: dict[str, str], watchable: Sequence[str] = WATCHABLE
) -> dict[str, str]:
    """Probes every selected system and prints the results, with the commands that grant what is missing; key -> why it
    cannot be watched. Adds to `zones` each time zone that is not UTC."""
    from connectors.sdk.errors import AccessRefused
    from connectors.sdk.secrets import SecretStore
    from console.diagnosis.probes import probe_systems

    why_not = {finding.key: problem for finding in chosen if (problem := settings_problem(finding))}
    systems = [ConfiguredScheduler(finding) for finding in chosen if finding.key not in why_not]
    path = Path("/headway.toml")  # not a file: settings of findings have no relative paths
    print_parts(["", *(f"  {finding.name}: {why_not[finding.key]}" for finding in chosen if finding.key in why_not)])
    if not systems:
        return why_not
    config = valid_config(path, {path: first_config_text("init", "", datetime.now(UTC), systems)})
    by_name = {finding.name: finding for finding in chosen}
    for result in probe_systems(config, SecretStore(), timeout):
        print_parts([f"  {result.target}: {result.verdict}" + (f", {result.version}" if result.version else "")])
        finding = by_name[result.target.partition("/")[0]]
        if is_place(result.zone):
            zones[finding.key] = result.zone
        missing = [right for right in result.rights if right["held"] is False and right["needed_for"] == "view"]
        if result.verdict != "ok":
            is_grantable = any(right["is_grantable"] for right in missing)
            grants_help = is_grantable if result.rights else result.grants_help and not has_unknown_name(finding)
            commands = list(setup_commands(finding)) if grants_help else []
            notes = [text for text in result.notes if problem_and_fix(text)[1]]
            granted = [text for text in notes if _without_fix(text, commands) != text]
            for text in (*result.text, *(granted if commands else notes)):
                _print_faults(_without_fix(text, commands), "    ")
            is_refused = result.verdict == AccessRefused.kind  # its login may be mistyped, or not exist yet
            print_commands("If this login does not exist yet:" if is_refused else "To grant access:", commands)
            left_out = [text for text in notes if text not in granted] if commands else []
            print_parts(["  This does not grant:"] if left_out else [])
            for text in left_out:
                _print_faults(text, "    ")
            if "url" in finding.settings and not any(problem_and_fix(text)[1] for text in result.text):
                print_parts(
                    ["    Fix: start it, or correct the URL: the one that opens it in a browser on this machine"]
                )
        else:
            for text in result.notes:
                _print_faults(text if problem_and_fix(text)[1] else "", "    ")
        if result.verdict not in watchable:
            why_not[finding.key] = "\n".join([result.verdict, *result.text])
    return why_not


def _without_fix(text: str, commands: Sequence[str]) -> str:
    """The text without a fix that is among the commands, or runs the script of one of them."""
    home = f"{Path.home()}/"  # a config's paths are expanded
    problem, fix = problem_and_fix(text)
    script = re.search(r"headway connector grants \w+", fix)
    same = [command for command in commands if fix == command.replace("~/", home) or (script and script[0] in command)]
    return problem if same else text


def configured_systems(path: Path) -> dict[str, Any]:
    """The tables of all systems in a valid config, by name."""
    texts = (file.read_text("utf-8-sig") for file in config_files(path))
    return {name: table for text in texts for name, table in tomllib.loads(text).get("systems", {}).items()}


def _configured_databases(systems: Iterable[Mapping[str, Any]], env: Mapping[str, str]) -> set[str]:
    """The addresses of the databases whose DSN is in a variable that is set, or in a file that can be read."""
    addresses: set[str] = set()
    for reference in (system.get("dsn") for system in systems):
        if not isinstance(reference, Mapping):
            continue
        with suppress(OSError, ValueError):
            dsn = env.get(str(reference.get("env")), "")
            if "file" in reference:
                dsn = Path(str(reference["file"])).expanduser().read_text("utf-8").strip()
            addresses |= {dsn_address(dsn)[0]} if dsn else set()
    return addresses


def _require_same_users(named: Iterable[DetectedScheduler], configured: Mapping[str, Any], path: Path) -> None:
    """Raises CommandError for a host that is configured with other users: init changes no configured system."""
    for system in named:
        for name, table in configured.items():
            users = list(table.get("users", ()))
            added = [user for user in system.settings.get("users", ()) if user not in users]
            if users and added and is_configured(system, [table]):
                both = {**system.settings, "users": [*users, *added]}
                *_, grants = setup_commands(replace(system, settings=both))
                raise CommandError(
                    Exit.REFUSED,
                    f"{system.title} is configured as {name}, with the jobs of {', '.join(users)}, and is not changed;"
                    " nothing was written."
                    f" Fix: users = {toml(both['users'])} in [systems.{name}] of {path}, then {grants}",
                )


def write_config(path: Path, text: str) -> Path | None:
    """Writes the config; the path to which an existing one was moved. Raises CommandError on an I/O error."""
    backup = backup_path(path) if path.exists() else None
    try:
        if backup is not None:
            replace_with_backup(path, backup, text)
        else:
            write_new(path, text)
    except OSError as error:
        raise CommandError(Exit.USAGE, f"{error.filename or path}: {error.strerror}; nothing was written") from None
    return backup


def read_history(path: Path, text: str, zone: str, is_interactive: bool, seconds: float) -> int:
    """Polls until all history is read, then proposes a service; the exit code."""
    try:
        url = store_url(path)
    except NoStore as error:
        raise CommandError(Exit.USAGE, str(error)) from None
    if os.path.exists(url):
        print_message(f"{url} exists already: its history and mode, shadow or live, are kept")
    log = Path(url).parent / "engine.log"
    print_parts(["", "The first poll reads the history of each source:"])
    with running_engine(url, path, log, "--only-if-free") as engine:
        stages = FirstPollProgress(url, engine, log, seconds).run()
    code = _first_poll_exit(stages, log)
    if any(not stage.error for stage in stages):
        propose_service(url, path, text, zone, is_interactive)
    return code


def _first_poll_exit(stages: list[FirstPollStage], log: Path) -> int:
    """Prints the result of the first poll; PROBLEM if a target could not be read."""
    if not stages:
        print_message(f"no target was polled; see the engine's log: {log}")
        return Exit.PROBLEM
    late = [stage.name for stage in stages if not stage.is_over]
    if late:
        print_message(f"not finished: {', '.join(late)}; the engine continues when it is started")
    errors = [f"{stage.name}: {stage.error}" for stage in stages if stage.error]
    for error in errors:
        print_message(error)
    jobs, runs_by_system = sum(stage.jobs for stage in stages), {stage.system: stage.runs for stage in stages}
    print_parts([f"Found {counted(jobs, 'job')}, {counted(sum(runs_by_system.values()), 'run')}."])
    return Exit.PROBLEM if late or errors else Exit.OK


POLL_CHECK_SECONDS = 0.25
BAR_WIDTH = 12
POLL_STEPS = ("polling", "answered", "reading history", "done")
"""The steps of a target's first poll."""


@dataclass(frozen=True, slots=True)
class FirstPollStage:
    """One target and how far it is."""

    name: str
    step: int
    jobs: int
    runs: int
    error: str = ""

    @property
    def is_over(self) -> bool:
        return bool(self.error) or self.step == len(POLL_STEPS) - 1

    @property
    def system(self) -> str:
        return self.name.partition("/")[0]

    @property
    def text(self) -> str:
        if self.error:
            return f"failed: {self.error}"
        counts = f", {counted(self.jobs, 'job')}, {counted(self.runs, 'run')}"
        return POLL_STEPS[self.step] + (counts if self.step else "")


@dataclass
class FirstPollProgress:
    """Reports the progress of all targets: as bars on a terminal, else as a line for each step."""

    url: str
    engine: subprocess.Popen[bytes]
    log: Path
    seconds: float
    _reported: dict[str, int] = field(default_factory=dict)
    _lines: int = 0
    _runs: Counter[str] = field(default_factory=Counter)
    _last_counted: int = 0

    def run(self) -> list[FirstPollStage]:
        """The final stages: all over, or the state at the timeout or at the engine's end."""
        until = time.monotonic() + self.seconds
        while True:
            stages = self._read_stages()
            self._report(stages)
            if (stages and all(stage.is_over for stage in stages)) or time.monotonic() > until:
                return stages
            if self.engine.poll() is not None:
                print_message(f"the engine exited; see {self.log}")
                return stages
            time.sleep(POLL_CHECK_SECONDS)

    def _read_stages(self) -> list[FirstPollStage]:
        """Every target in the store; none before there is one. Counts only runs that are new since the last call."""
        from console.store.errors import StoreError
        from console.store.queries import open_queries

        try:
            with open_queries(self.url) as reads:
                targets = reads.estate.systems()
                self._last_counted, run_counts = reads.run_table.runs_read_after(self._last_counted)
        except StoreError:
            return []
        self._runs.update(run_counts)
        stages = []
        for target in targets:
            runs = self._runs[target.system]
            # rights and version are probed once all pages of the first poll are stored
            step = 0 if target.last_ok is None else 3 if target.rights or target.version else 2 if runs else 1
            error = clean_line(target.whole_error) if target.polls_fail else ""
            stages.append(FirstPollStage(f"{target.system}/{target.name}", step, target.jobs, runs, error))
        return stages

    def _report(self, stages: list[FirstPollStage]) -> None:
        if sys.stderr.isatty():
            self._paint(stages)
            return
        for stage in stages:
            step = len(POLL_STEPS) if stage.error else stage.step
            if self._reported.get(stage.name, -1) < step:
                self._reported[stage.name] = step
                print_message(f"  {stage.name}: {stage.text}")

    def _paint(self, stages: list[FirstPollStage]) -> None:
        width = (terminal_width(sys.stderr) or 80) - 1
        names = max((len(stage.name) for stage in stages), default=0)
        lines = [_stage_line(stage, min(names, 30), width) for stage in stages]
        up = f"\x1b[{self._lines}A" if self._lines else ""
        sys.stderr.write(up + "".join(f"\r\x1b[K{line}\n" for line in lines))
        sys.stderr.flush()
        self._lines = len(lines)


def _stage_line(stage: FirstPollStage, names: int, width: int) -> str:
    filled = 0 if stage.error else round(BAR_WIDTH * stage.step / (len(POLL_STEPS) - 1))
    full, empty, cut = ("█", "░", "…") if takes_utf8(sys.stderr.encoding, os.environ) else ("#", ".", ">")
    line = f"  {clean_line(stage.name, names):<{names}}  {full * filled}{empty * (BAR_WIDTH - filled)}  {stage.text}"
    return line if len(line) <= width else line[: width - 1] + cut


MAX_HISTORY_JOBS = 400
"""Jobs whose history is read for a proposal, the first by name."""


def job_histories(reads: Queries) -> list[JobHistory]:
    """The history of each job after the first poll, without tasks."""
    from console.domain.filter import JobFilter

    rows = reads.jobs.jobs_first_page(JobFilter(), "name", MAX_HISTORY_JOBS)
    views = [reads.jobs.job(row.id) for row in rows if not row.is_task and not row.gone]
    return [
        JobHistory(
            view.row.name,
            tuple(name for name, _ in view.upstreams),
            tuple(
                (date.fromisoformat(run.business_date), run.ended)
                for run in view.runs
                if run.ended is not None and run.state == "succeeded"
            ),
            view.row.next,
        )
        for view in views
    ]


def propose_service(url: str, path: Path, text: str, zone: str, is_interactive: bool) -> ServiceProposal | None:
    """Proposes a service, asks if `is_interactive`, and adds it to the config; the proposal if it is active now."""
    from console.store.queries import open_queries

    with open_queries(url) as reads:
        proposal = propose(job_histories(reads), zone)
    if proposal is None:
        print_parts(
            ["No job has a typical finish yet, so no service is proposed. The config shows how to declare one."]
        )
        return None
    due = f"{proposal.title}, due {proposal.deadline} ({zone})"
    print_parts(["", f"Proposed service: {due}", f"  reason: {proposal.reason}"])
    accepted = _ask_service(proposal) if is_interactive else proposal
    block = "\n".join((accepted or proposal).lines(active=accepted is not None))
    if not replace_if_unchanged(path, f"{text}\n{block}\n", text):
        print_message(f"{path} was edited meanwhile, so the service was not added:")
        print_parts([block])
        return None
    return accepted


def offer_reported(arguments: argparse.Namespace, path: Path, config: Config, is_interactive: bool) -> list[str]:
    """Offers a service for each deadline in Airflow's OpenLineage events that no service has; the names of the added
    ones. Raises CommandError."""
    reported = stored(arguments, lambda reads: reads.lineage.reported_deadlines()) or {}
    promised = {job for service in config.services.values() for job in service.delivered_by}
    taken, added = {*config.services}, list[str]()
    for job in sorted(reported.keys() - promised):
        if (system := config.systems.get(job.partition("/")[0])) is None:
            continue
        zone, cutoff = system.settings.timezone, system.settings.cutoff
        proposal = propose_reported(job, ReportedDeadline.parse(reported[job]), zone, cutoff)
        if proposal is None:
            continue
        long = f"{job.partition('/')[0]}-{proposal.name}"
        names = chain((proposal.name, long), (f"{long}-{number}" for number in count(2)))
        proposal = replace(proposal, name=next(name for name in names if name not in taken))
        print_parts(["", f"Proposed service: {proposal.title}, due {proposal.due} ({proposal.zone})"])
        print_parts([f"  reason: {proposal.reason}", *([] if is_interactive or arguments.yes else ["  --yes adds it"])])
        accepted = _ask_service(proposal, "n leaves it out") if is_interactive else proposal if arguments.yes else None
        if accepted is not None:
            _add_service(arguments, path, accepted)
            added.append(accepted.name)
            taken.add(accepted.name)
    return added


def _add_service(arguments: argparse.Namespace, path: Path, proposal: ServiceProposal) -> None:
    """Raises CommandError."""
    text = path.read_text("utf-8")
    extended = "\n".join([text.removeprefix("\ufeff").rstrip("\n"), "", *proposal.lines(active=True), ""])
    valid_config(config_path(arguments.config), {path: extended})
    if not replace_if_unchanged(path, extended, text):
        raise CommandError(Exit.REFUSED, f"{path} was edited meanwhile. Fix: repeat the command")
    print_parts([f"Added service {proposal.name} to {path}."])


def _ask_service(proposal: ServiceProposal, otherwise: str = "n adds it as a comment") -> ServiceProposal | None:
    """The proposal as accepted, with the deadline that was typed, or None."""
    question = f"Add it? Enter for {proposal.deadline}, or another time like 07:00; {otherwise}: "
    while True:
        answer = prompt_or(question, "n").lower()
        if answer in ("", "y", "yes"):
            return proposal
        if answer in ("n", "no"):
            return None
        if changed := with_deadline(proposal, answer):
            return changed
        print_message(f'"{answer[:40]}" is not a time of day; enter 07:00, or n')


HANDLERS = {
    "init": Handler(
        run_init,
        flag("--yes", "do not ask: take everything that can be watched, and the proposed service"),
        option("--only", "only this finding, by its key in the list; repeatable", "KEY", action="append", default=[]),
        option("--host", "cron host: db07, or user@host:port; repeatable", "HOST", action="append", default=[]),
        option("--user", "on the hosts, only cron jobs of this user; repeatable", "NAME", action="append", default=[]),
        option("--dsn", "variable with a PostgreSQL DSN; repeatable", "VARIABLE", action="append", default=[]),
        option("--airflow", "Airflow, with AIRFLOW_PASSWORD; repeatable", "URL", action="append", default=[]),
        option("--route", "where alerts go: variable with an apprise URL, or mail address", "TO", default=""),
        flag("--print", "print the config instead of writing it; do not ask"),
        flag("--no-poll", "write the config without a first poll"),
        option("--timeout", "timeout per probe (20)", "SECONDS", type=float, default=20.0),
    )
}
