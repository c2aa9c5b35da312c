"""Connector kinds: list, try, scaffold, the grants they need, and the cron wrapper."""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.sdk.states import RunState
from console.cli.arguments import timeout
from console.cli.commands import JSON, Handler, flag, option, titled
from console.cli.exits import CommandError, Exit
from console.cli.output import ValueColumn, print_parts, print_result, table
from console.cli.reader import load_valid_config, stored
from console.text.redact import sanitize

if TYPE_CHECKING:
    from connectors.sdk.contract import Connector, Probe
    from connectors.sdk.records import Inventory, Poll
    from connectors.sdk.registry import KindEntry
    from console.config.document import ConfigFault


NOT_STATED = "not stated"


def new_connector(arguments: argparse.Namespace) -> int:
    from connectors.sdk.scaffold import ScaffoldError, write, write_profile

    try:
        if arguments.profile:
            path = write_profile(arguments.name, Path(arguments.into or ".").expanduser())
            next_steps = f'correct it, run headway connector check {path}, and write kind = "{path}" in a system'
            return print_result(arguments, {"written": [str(path)]}, [str(path), f"Next: {next_steps}"])
        folder = Path(arguments.into or f"headway-{arguments.name}").expanduser()
        written = write(arguments.name, folder)
    except ScaffoldError as error:
        raise CommandError(Exit.REFUSED, str(error)) from None
    return print_result(
        arguments,
        {"written": [str(path) for path in written]},
        [*map(str, written), f"Next: pip install -e {folder}, pytest {folder}, and read README.md"],
    )


def check_profile(arguments: argparse.Namespace) -> int:
    from console.config.profiles import compare_profile, profile_warnings, read_profile

    path, compared, counts = Path(arguments.file).expanduser(), [], None
    kind, faults = read_profile(path)
    if kind is not None and arguments.api:
        try:
            comparison, faults, undescribed, notes = compare_profile(path, Path(arguments.api).expanduser())
        except ValueError as error:
            raise CommandError(Exit.PROBLEM, str(error)) from None
        calls, names = comparison.calls, comparison.names
        counts = {"calls": calls, "names": names, "undescribed": _as_rows(undescribed), "notes": _as_rows(notes)}
        summary = f"faults: {len(faults)}, not described: {len(undescribed)}"
        checked = f"{arguments.api}: {calls} calls, {names} parameters and fields; {summary}"
        compared = [*map(str, undescribed), *(f"note: {item}" for item in notes), checked]
    report: dict[str, Any] = {
        "file": str(path),
        "warnings": [],
        "faults": _as_rows(faults),
        "compared": counts,
    }
    if kind is None or faults:
        return print_result(arguments, report, [*map(str, faults), *compared], code=Exit.PROBLEM)
    warnings = profile_warnings(path)
    report["warnings"] = _as_rows(warnings)
    can = ", ".join(sorted(capability.value for capability in kind.capabilities)) or "observe only"
    texts = [f"{path}: kind {kind.kind} ({kind.title}): {can}", *(f"warning: {item}" for item in warnings)]
    return print_result(arguments, report, [*texts, *compared])


def _as_rows(faults: Iterable[ConfigFault]) -> list[dict[str, Any]]:
    return [{"line": fault.line, "key": fault.key, "problem": fault.problem} for fault in faults]


def try_connector(arguments: argparse.Namespace) -> int:
    """Polls in this process and stores nothing: a mapping can be verified before an engine uses it."""
    from connectors.sdk.errors import ConnectorError
    from connectors.sdk.secrets import SecretStore

    name, _, target_name = arguments.system.partition("/")
    systems = load_valid_config(arguments).systems
    system = systems.get(name)
    targets = [target for target in system.targets if target_name in ("", target)] if system else []
    if system is None or not targets:
        known = ", ".join(sorted(systems)) if system is None else ", ".join(system.targets)
        raise CommandError(Exit.NOT_FOUND, f'no system or target "{arguments.system}"; known: {known}')
    engine = stored(arguments, lambda reads: reads.estate.engine())
    secrets, trials, is_watched = SecretStore(), [], engine is not None and engine.alive
    for target in targets:
        try:
            connector = system.kind.open(system.options, target, secrets)
        except ConnectorError as error:
            raise CommandError(Exit.PROBLEM, sanitize(str(error), secrets.mask)) from None
        with closing(connector):
            trials.append(try_target(connector, f"{name}/{target}", arguments.timeout, is_watched))
    texts = [[sanitize(line, secrets.mask) for line in trial_lines(trial)] for trial in trials]
    report = [
        {"target": trial.target, "understood": trial.is_understood, "lines": text}
        for trial, text in zip(trials, texts, strict=True)
    ]
    code = Exit.OK if all(trial.is_understood for trial in trials) else Exit.PROBLEM
    return print_result(arguments, {"system": name, "targets": report}, *texts, code=code)


SHOWN = 10
"""Jobs and runs that are shown of each."""
MAX_REQUEST_CHARACTERS = 500


@dataclass
class TrialResult:
    """The answers of one target, up to `error`."""

    target: str
    probe: Probe | None = None
    inventory: Inventory | None = None
    poll: Poll | None = None
    error: str = ""
    requests: Counter[str] = field(default_factory=Counter)
    """HTTP request, or SQL statement, -> how often it was sent."""
    states: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(native state, our state) -> number of runs."""
    is_mapped: bool = False
    """Whether a mapping of ours, in the config or in a profile, reads the runs: it names the states."""
    fields: Collection[str] = ()
    """For each field that a mapping names and no row has, a sentence."""

    @property
    def is_understood(self) -> bool:
        """True where every answer was readable."""
        parts = [item for item in (self.inventory, self.poll) if item is not None]
        unread = any(not part.complete or any(not item.is_relation for item in part.skipped) for part in parts)
        rights = self.probe.rights if self.probe is not None else ()
        lacking = any(right.held is False and right.needed_for == "view" for right in rights)
        return (
            not self.error and not unread and not lacking and all(state != RunState.UNKNOWN for _, state in self.states)
        )


def try_target(connector: Connector, target: str, timeout_seconds: float, works: bool = True) -> TrialResult:
    """Probes, lists the jobs, and reads up to two pages of runs from the beginning. `error` holds an expected failure.
    `works`: an engine runs; without one, a listener that it would open is not polled."""
    from connectors.sdk.errors import ConnectorError
    from connectors.sdk.field_mapping import FieldTally, tallying
    from connectors.sdk.transport.call_limits import RequestTally, counting

    result, tally = TrialResult(target), FieldTally()
    try:
        with counting(RequestTally(calls=result.requests)), tallying(tally):
            result.probe = connector.probe(timeout_seconds)
            result.inventory = connector.inventory("", timeout_seconds)
            if works or not result.probe.opens_with_engine:
                result.poll = first = connector.poll("", (), timeout_seconds)
                if first.more:  # the second page has the token of the first
                    second = connector.poll(first.cursor, (), timeout_seconds)
                    result.poll = replace(
                        second,
                        runs=first.runs + second.runs,
                        skipped=first.skipped + second.skipped,
                        gaps=first.gaps + second.gaps,
                        inventory=second.inventory or first.inventory,
                        complete=first.complete and second.complete,
                        warnings=(*dict.fromkeys(first.warnings + second.warnings),),
                    )
        if result.poll is not None and result.poll.inventory is not None:
            result.inventory = result.poll.inventory
    except ConnectorError as error:
        result.error = str(error)
    result.fields, result.is_mapped = [*tally.missing()], tally.rows["runs"] > 0
    for run in result.poll.runs if result.poll else ():
        result.states[run.native_state, run.state] += 1
    return result


def trial_lines(result: TrialResult) -> Iterator[str]:
    from connectors.sdk.records import instant_key
    from console.timing.schedule import unreadable_schedules

    for request, count in result.requests.most_common(SHOWN):
        text = request if len(request) <= MAX_REQUEST_CHARACTERS else f"{request[:MAX_REQUEST_CHARACTERS]}…"
        yield f"  request  {text}{f' × {count}' if count > 1 else ''}"
    if len(result.requests) > SHOWN:
        yield f"  request  {len(result.requests) - SHOWN} more"
    if result.probe is not None:
        silent = "; ".join(result.probe.notes) or "unreachable"
        version = f", {result.probe.version}" if result.probe.version else ""
        yield f"{result.target}: {f'answers{version}' if result.probe.reachable else silent}"
        for right in result.probe.rights:
            held = {True: "held", False: "MISSING", None: "unknown"}[right.held]
            why = right.why if right.held is False else ""
            yield "; ".join(filter(None, (f"  right    {right.name}: {held}", why, right.fix)))
    if result.inventory is not None:
        yield f"  jobs     {len(result.inventory.jobs)}{'' if result.inventory.complete else ', not all could be read'}"
        for job in result.inventory.jobs[:SHOWN]:
            clock = f"{job.schedule.dialect} {job.schedule.expression!r} {job.schedule.zone}"
            named = f"next start {instant_key(job.schedule.next_at)}" if job.schedule.next_at else "no schedule"
            schedule = clock if job.schedule.expression else named
            title = f"  {job.title!r}" if job.title not in job.native_id else ""
            yield f"    {_one_line(job.native_id)}{title}  {schedule}{'  paused' if job.paused else ''}"
        count = sum(len(job.upstreams) for job in result.inventory.jobs)
        yield from [f"  native dependencies {count}"] if count else []
        yield from _skipped(result.inventory)
        unread = unreadable_schedules((job.native_id, job.schedule) for job in result.inventory.jobs if not job.paused)
        yield from (f"  warning  {text}" for text in unread[:SHOWN])
        yield from [f"  warning  {len(unread) - SHOWN} more schedules cannot be read"] if len(unread) > SHOWN else []
    if result.poll is not None:
        yield f"  runs     {len(result.poll.runs)} read{', more to come' if result.poll.more else ''}"
        for run in result.poll.runs[-SHOWN:]:
            began, ended = (instant_key(at) if at else "–" for at in (run.started_at, run.ended_at))
            exit_code = f"  exit {run.exit_code}" if run.exit_code is not None else ""
            message = f"  {run.message[:60]!r}" if run.message else ""
            state = f"{run.native_state!r} -> {run.state}"
            ids = f"{_one_line(run.attempt_key)}  {_one_line(run.job)}"
            yield f"    {ids}  {state}  {began} … {ended}{exit_code}{message}"
        yield from _skipped(result.poll)
        for (native, state), count in result.states.items():
            hint = ": unknown; name it in states" if state == RunState.UNKNOWN and result.is_mapped else ""
            yield f"  state    {native!r} × {count} -> {state}{hint}"
        yield from (f"  warning  {warning}" for warning in result.poll.warnings)
        if result.inventory is not None and result.inventory.complete:  # usually because of a wrong path
            known = {job.native_id for job in result.inventory.jobs}
            unlisted = Counter(run.job for run in result.poll.runs if run.job not in known)
            for name, count in unlisted.most_common(SHOWN):
                yield f"  warning  {count} runs are of {name!r}, which is not among the jobs"
    yield from (f"  warning  {text}" for text in result.fields)
    if result.error:
        yield f"{result.target}: FAILED: {result.error}"


def _one_line(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]


def _skipped(part: Inventory | Poll) -> Iterator[str]:
    yield from (f"  skipped  {item.where}: {item.reason}  {item.sample[:100]}" for item in part.skipped[:SHOWN])
    if len(part.skipped) > SHOWN:
        yield f"  skipped  {len(part.skipped) - SHOWN} more"


def list_kinds(arguments: argparse.Namespace) -> int:
    from connectors.sdk.registry import entries

    if str(arguments.kind).endswith(".toml"):
        return _print_profile(arguments)
    kinds = entries()
    if arguments.kind is not None:
        return _print_kind(arguments, kinds)
    return print_result(
        arguments,
        [_kind_document(kind) for kind in kinds],
        table(
            kinds,
            ValueColumn("kind", lambda kind: kind.kind),
            ValueColumn("title", lambda kind: "–" if kind.error else kind.title, 12),
            ValueColumn("capabilities", lambda kind: "cannot be loaded" if kind.error else ", ".join(kind.does), 24),
            ValueColumn("evidence", lambda kind: "–" if kind.error else ", ".join(kind.proofs) or NOT_STATED, drop=1),
            ValueColumn(
                "tested against", lambda kind: "–" if kind.error else ", ".join(kind.against) or NOT_STATED, 12
            ),
        ),
        (f"{kind.kind}: {kind.error}" for kind in kinds if kind.error),
    )


def _print_kind(arguments: argparse.Namespace, entries: list[KindEntry]) -> int:
    from difflib import get_close_matches

    names = [entry.kind for entry in entries]
    if arguments.kind not in names:
        near = get_close_matches(arguments.kind, names, n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"installed: {', '.join(names)}"
        raise CommandError(Exit.NOT_FOUND, f'no kind "{arguments.kind}"; {hint}')
    entry = entries[names.index(arguments.kind)]
    return print_result(arguments, _kind_document(entry), _kind_lines(entry))


def _print_profile(arguments: argparse.Namespace) -> int:
    from connectors.sdk.registry import describe_kind
    from console.config.profiles import read_profile

    kind, faults = read_profile(Path(arguments.kind).expanduser())
    if kind is None:
        raise CommandError(Exit.PROBLEM, "\n".join(map(str, faults)))
    entry = describe_kind(kind, ())
    return print_result(arguments, _kind_document(entry), _kind_lines(entry))


def _kind_lines(entry: KindEntry) -> list[str]:
    if entry.error:
        return [f"{entry.kind}: {entry.error}"]
    verbs = dict(entry.verbs or {})
    verbs |= {"mark": verbs["mark_ok"]} if "mark_ok" in verbs else {}
    return [
        f"{entry.kind}: {entry.title}",
        *(f"  {name:<9} yes{': ' + verbs[name] if name in verbs else ''}" for name in entry.does),
        *(f"  {name:<9} no: {why or 'no reason given'}" for name, why in (entry.lacks or {}).items()),
        f"  evidence  {', '.join(entry.proofs) or NOT_STATED}. {entry.ladder}",
        *(f"  tested    {version}" for version in entry.tested or (NOT_STATED,)),
    ]


def _kind_document(entry: KindEntry) -> dict[str, Any]:
    return {
        "kind": entry.kind, "title": entry.title, "does": entry.does, "lacks": entry.lacks or {},
        "verbs": entry.verbs or {}, "proofs": entry.proofs, "ladder": entry.ladder,
        "against": entry.against, "tested": entry.tested, "cannot_load": entry.error or None,
    }  # fmt: skip


GRANT_FILES = dict(
    sorted(
        (file.stem if file.suffix == ".toml" else file.parent.name, file)
        for pattern in ("*/grants.*", "profiles/*.toml")
        for file in Path(str(files("connectors"))).glob(pattern)
    )
)
"""Kind -> its grants, printed as they are: they can be piped into psql or a file."""


PUBLIC_KEY = "~/.ssh/headway_ed25519.pub"
LOGIN_KINDS = ("pg_cron", "pgagent")
"""Kinds whose grants can create the login, too."""


def run_grants(arguments: argparse.Namespace) -> int:
    kinds = {
        "key": ("cron",),
        "user": ("cron",),
        "login": LOGIN_KINDS,
        "dsn": LOGIN_KINDS,
        "view": ("cron", *LOGIN_KINDS),
    }
    for name, takes in kinds.items():
        if getattr(arguments, name) and arguments.what not in takes:
            raise CommandError(Exit.USAGE, f"--{name} is for the grants of {' and '.join(takes)} only")
    text = _host_script(arguments) if arguments.what == "cron" else grants_text(arguments.what) + _login_sql(arguments)
    sys.stdout.write(text)
    return Exit.OK


def _host_script(arguments: argparse.Namespace) -> str:
    """With the engine's public key; without one, only a key that was named is missed."""
    from connectors.cron.client import host_script, is_safe_name

    path = Path(arguments.key or PUBLIC_KEY).expanduser()
    if unsafe := [user for user in arguments.user if not is_safe_name(user)]:
        raise CommandError(Exit.USAGE, f"{unsafe[0]!a} is not a user name")
    try:
        key = " ".join(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a public key"
        make = f"ssh-keygen -q -t ed25519 -N '' -f {path.with_suffix('')}"
        raise CommandError(Exit.NOT_FOUND, f"{path}: {reason}. Fix: {make}") from None
    if not key.startswith(("ssh-", "ecdsa-", "sk-")):
        raise CommandError(Exit.USAGE, f"{path} is not a public key; name the file that ends in .pub")
    return host_script(key, arguments.user, view=arguments.view)


def _login_sql(arguments: argparse.Namespace) -> str:
    if not (arguments.login or arguments.dsn):
        return ""
    from connectors.sdk.transport.postgres import login_script

    role, password = arguments.login, ""
    if arguments.dsn:
        parts = _dsn_parts(arguments.dsn)
        role, password = role or parts.get("user", ""), parts.get("password", "")
    if not role:
        raise CommandError(Exit.USAGE, f"{arguments.dsn} names no user: write postgresql://user:password@host/database")
    return login_script(role, "headway_view" if arguments.view else "headway_act", password)


def _dsn_parts(variable: str) -> dict[str, str]:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    from console.onboarding.answers import shown

    if not (dsn := os.environ.get(variable, "")):
        name = shown(variable, "VARIABLE")
        raise CommandError(Exit.USAGE, f"--dsn {name}: no such environment variable. Fix: export it, and name it here")
    try:
        return {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    except ProgrammingError:
        raise CommandError(Exit.USAGE, f"{variable} is not a libpq connection string") from None


def run_store_grants(_: argparse.Namespace) -> int:
    sys.stdout.write(files("console.store").joinpath("grants.sql").read_text(encoding="utf-8"))
    return Exit.OK


def grants_text(kind: str) -> str:
    text = GRANT_FILES[kind].read_text(encoding="utf-8")
    return str(tomllib.loads(text)["grants"]) if GRANT_FILES[kind].suffix == ".toml" else text


INSTALL_SCRIPT = """\
# Here, for each host:
headway connector cron {what} --script-only | ssh HOST 'cat >headway-{file}'"""
CRON_SCRIPTS = {"wrapper": "sh", "gate": "gate"}


def run_cron(arguments: argparse.Namespace) -> int:
    text, instructions = _gate_script(arguments) if arguments.what == "gate" else _wrapper_script()
    if arguments.script_only:
        print(text, end="")
    else:
        what = arguments.what + (f" --system {arguments.system}" if arguments.system else "")
        copy = INSTALL_SCRIPT.format(what=what, file=CRON_SCRIPTS[arguments.what])
        print_parts([*copy.splitlines(), *instructions.splitlines()])
    return Exit.OK


def _wrapper_script() -> tuple[str, str]:
    from connectors.cron.client import script, wrapper_instructions

    return script("headway-sh"), wrapper_instructions()


def _gate_script(arguments: argparse.Namespace) -> tuple[str, str]:
    from connectors.cron.client import gate_instructions, gate_of, gate_text_for

    if arguments.system is None:
        return gate_text_for(None), gate_instructions()
    systems = load_valid_config(arguments).systems
    try:
        return gate_of(arguments.system, {name: system.options for name, system in systems.items()})
    except LookupError as error:
        raise CommandError(Exit.NOT_FOUND, str(error.args[0])) from None


HANDLERS = {
    "connector": Handler(
        list_kinds, option("kind", "kind, or file of a profile (.toml), to show in full", "KIND", nargs="?"), JSON
    ),
    "connector try": Handler(
        try_connector,
        option("system", "system of the config; system/target for one target", "SYSTEM"),
        timeout("timeout per call", 20),
        JSON,
    ),
    "connector check": Handler(
        check_profile,
        option("file", "file of the profile", "FILE"),
        option(
            "--api",
            "description of its API (OpenAPI or Google discovery): compare paths, parameters and fields",
            "FILE",
        ),
        JSON,
    ),
    "connector new": Handler(
        new_connector,
        option("name", "name of the kind: lower-case letters, digits and _", "NAME"),
        option("--into", "new folder (headway-NAME); with --profile the folder of the file (.)", "FOLDER"),
        flag("--profile", "create NAME.toml: a REST API as a kind of its own"),
        JSON,
    ),
    "connector grants": Handler(
        run_grants,
        option("what", f"kind of system: {', '.join(GRANT_FILES)}", "KIND", choices=list(GRANT_FILES)),
        flag("--view", "grant to watch, not to act: pg_cron, pgagent, and cron (which keeps the wrapper)"),
        titled(
            "cron",
            option("--key", f"public key of the engine ({PUBLIC_KEY})", "FILE"),
            option(
                "--user",
                "user with jobs to watch, record and rerun; repeatable (all with a crontab, except root)",
                "USER",
                action="append",
                default=[],
            ),
        ),
        titled(
            " and ".join(LOGIN_KINDS),
            option("--login", "also make this role a login of Headway", "ROLE"),
            option("--dsn", "take role and password from the DSN in this variable", "VARIABLE"),
        ),
    ),
    "store grants": Handler(run_store_grants),
    "connector cron": Handler(
        run_cron,
        option("what", choices=list(CRON_SCRIPTS)),
        flag("--script-only", "print only the script"),
        option("--system", "gate: use logs, spool and sudo of this system", "NAME"),
    ),
}
