"""Check the configuration and the installation: version, faults, probes, routes, clocks; each with its fix."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from shlex import quote
from statistics import median
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from console.cli import clock_format
from console.cli.arguments import timeout
from console.cli.clock_format import timestamp
from console.cli.commands import JSON, NOUNS, Handler, flag
from console.cli.exits import CommandError, Exit
from console.cli.output import ValueColumn, counted, print_message, print_result, set_document, table
from console.cli.reader import lease_holder_text, staleness_text, store_url_of
from console.domain.ids import micros

if TYPE_CHECKING:
    from connectors.sdk.contract import Probe, SourcePermission
    from connectors.sdk.secrets import SecretRef, SecretStore
    from console.config.sections import Config, SystemConfig
    from console.domain.check import Check
    from console.domain.header import HeaderView
    from console.store.queries import Queries

T = TypeVar("T")

CLOCK_CHANGE_HORIZON = timedelta(days=366)


def clock_changes(config: Config, today: date) -> Iterator[str]:
    """Each configured time that a clock change skips or repeats within a year, at the next such change, and what counts
    then."""
    from console.timing.zones import clock_change_dates, zone_of

    for key, at, name in _configured_times(config):
        zone = zone_of(name)
        for day, counts, twice in islice(clock_change_dates(at, zone, today, CLOCK_CHANGE_HORIZON.days), 1):
            effect = "occurs twice" if twice else "does not exist"
            rule = "the first one counts" if twice else "the time of the change counts"
            clock = f"{counts.astimezone(zone):%H:%M %Z}"
            yield f"{key}: {at:%H:%M} {effect} on {day} in {name}: {rule}, {clock}"


def _configured_times(config: Config) -> Iterator[tuple[str, time, str]]:
    """(key in the config, time of day, its zone)."""
    for name, service in config.services.items():
        if service.deadline.time is not None:
            yield f"services.{name}.deadline", service.deadline.time, service.timezone
        if service.sla is not None and service.sla.time is not None:
            yield f"services.{name}.sla", service.sla.time, service.timezone
    for name, route in config.routes.items():
        if (quiet := route.quiet_hours) is not None:
            yield f"routes.{name}.quiet_hours.to", quiet.ends, quiet.timezone
    for system in config.systems.values():
        for step, options in getattr(system.options, "steps", {}).items():
            yield f"systems.{system.name}.steps.{step}.at", options.at, system.options.zone


MISSING_RIGHTS = "missing rights"
NOT_TRIED = "no alert yet"
"""Verdict of a route that could be used and has accepted nothing yet; not a problem."""
MAX_NAMES = 3
"""Named in a warning about several systems."""
OPEN_PERMISSIONS = "no [[permissions]]: everybody who can write the store has every permission"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One target as probed. Verdict: "ok", "no alert yet", "missing rights", "broken", or the error kind of its polls
    ("unreachable", "refused", "limited", "failing", "unsupported")."""

    target: str
    verdict: str
    version: str
    text: tuple[str, ...] = ()
    rights: tuple[dict[str, Any], ...] = ()
    skew_seconds: float | None = None
    """The target's clock less ours, where its answer contains it."""
    notes: tuple[str, ...] = ()
    """Remarks that do not change the verdict; `text` are the reasons why it is not "ok"."""
    zone: str = ""
    """The time zone of the target, or of most of its jobs; empty if unknown."""
    grants_help: bool = True
    """False where no right of its account changes the verdict."""

    @property
    def is_fault(self) -> bool:
        return self.verdict not in ("ok", NOT_TRIED)


def run_check(arguments: argparse.Namespace) -> int:
    from connectors.sdk.secrets import SecretStore
    from console.config.document import ConfigFaults
    from console.config.loading import load_config
    from console.config.paths import config_path
    from console.config.preferences import effective_preferences, read_preferences

    path = config_path(arguments.config)
    try:
        config = load_config(path)
    except ConfigFaults as faults:
        set_document(
            arguments, {"config": str(path), "faults": [asdict(fault) for fault in faults.faults], "targets": []}
        )
        text = [f"{counted(faults.faults, 'problem')} in the config", str(faults), config_in_use_note(arguments, "")]
        raise CommandError(Exit.USAGE, "\n".join(filter(None, text))) from None
    no_store, unreadable = store_problems(arguments)
    remarks = unreadable + config_faults(config, arguments) + unusable_settings(config)
    remarks += effective_preferences(config.console, read_preferences()).faults
    shown = partial(with_options, config=arguments.config, store=arguments.store)
    print_message(shown(f"config {path}: {_config_size(config)}, {_problem_count(remarks)}"))
    secrets = SecretStore()
    areas = {} if arguments.no_probe else probe_all(arguments, config, secrets)
    results = [result for probed in areas.values() for result in probed]
    failed = [result for result in results if result.is_fault]
    elsewhere = other_environment(arguments, secrets.variables, _variables_of(config, failed))
    if results:
        print_message(f"{counted(results, 'probe')}, {_problem_count(failed)}")
    problems = [*remarks, *target_lines(((result.target, result.text) for result in failed), elsewhere)]
    noted = ((result.target, (*(() if result.is_fault else result.text), *result.notes)) for result in results)
    noted_lines = target_lines(noted, elsewhere)
    lines, store = [*problems, *noted_lines], store_url_of(arguments)
    candidates = (
        *noted_lines,
        *(text for text in elsewhere.values() if not any(line.endswith(text) for line in lines)),
        "" if config.permissions else f"{OPEN_PERMISSIONS}. Fix: docs/security.md",
        *clock_changes(config, datetime.now(UTC).date()),
        *other_cutoffs(config),
        config_in_use_note(arguments, config.digest),
        no_store,
        "" if unreadable else unverified_names_note(config, arguments),
        *weakened_transport(config, store),
        *machine_bound_targets(config, store),
    )
    notes = [note for note in candidates if note]
    rows = table(
        results,
        ValueColumn("target", lambda result: result.target, 24),
        ValueColumn("verdict", lambda result: result.verdict),
        ValueColumn("version", lambda result: result.version or "–", 8),
    )
    return print_result(
        arguments,
        {"config": str(path), "faults": [], "targets": results, "remarks": remarks, "notes": notes},
        [f"{PROBLEM_VERDICT} {shown(text)}" for text in problems],
        *([rows] if results else []),
        [f"{NOTE_VERDICT:<7} {shown(text)}" for text in notes],
        code=Exit.PROBLEM if remarks or failed else Exit.OK,
    )


def target_lines(texts_by_target: Iterable[tuple[str, Iterable[str]]], elsewhere: Mapping[str, str]) -> list[str]:
    """One line per text with all its targets. `elsewhere`: from `other_environment`; it replaces what the probes say
    of the same variable."""
    targets: dict[str, list[str]] = {}
    for target, texts in texts_by_target:
        for text in texts:
            variable = next((name for name in elsewhere if text.startswith(f"secret env {name}: ")), "")
            targets.setdefault(elsewhere[variable] if variable else text, []).append(target)
    return [f"{', '.join(dict.fromkeys(names))}: {text}" for text, names in targets.items()]


def _problem_count(problems: Sequence[object]) -> str:
    return counted(problems, "problem") if problems else "no problems"


def weakened_transport(config: Config, store_url: str) -> list[str]:
    """Settings of the config and the store's URL by which secrets or data cross a network unprotected."""
    from connectors.sdk.transport.libpq import unverified_store

    systems = [name for name, system in config.systems.items() if _is_unencrypted(system.options)]
    checks = [name for name, settings in config.checks.items() if _is_unencrypted(settings)]
    places = [_grouped("system", systems), _grouped("check", checks), "otlp" if _is_unencrypted(config.otlp) else ""]
    plain = "plain_http = true: requests and replies cross the network unencrypted"
    texts = [f"{place}: {plain}" for place in filter(None, places)]
    return [*texts, *(f"store: {text}" for text in unverified_store(store_url))]


def _is_unencrypted(options: object) -> bool:
    """Whether plain_http lets these settings use an address beyond this machine."""
    from connectors.sdk.transport.loopback import is_loopback, listen_address

    if not getattr(options, "plain_http", False):
        return False
    addresses = [text for name, text in vars(options).items() if name in ("url", "listen") or "endpoint_url" in name]
    plain = [text for text in addresses if text and not text.startswith("https:")]
    hosts = [urlsplit(text).hostname if "://" in text else listen_address(text)[0] for text in plain]
    return not all(host and is_loopback(host) for host in hosts)


def _grouped(noun: str, names: Sequence[str]) -> str:
    """ "system a"; "40 systems (a, b, c, …)"; empty without one."""
    if len(names) < 2:
        return f"{noun} {names[0]}" if names else ""
    ending = ", …" if len(names) > MAX_NAMES else ""
    return f"{counted(names, noun)} ({', '.join(names[:MAX_NAMES])}{ending})"


def machine_bound_targets(config: Config, store_url: str) -> list[str]:
    """Targets that engines on other machines cannot poll, where several may share the store."""
    from console.engine.connector_pool import ConnectorTarget
    from console.store.db.location import POSTGRES_URLS

    if not store_url.startswith(POSTGRES_URLS):
        return []
    local, loopback = list[str](), list[str]()
    for system in config.systems.values():
        targets = [ConnectorTarget(0, system, target) for target in system.kind.targets(system.options)]
        local += [target.name for target in targets if target.is_local and system.kind.listen is None]
        addresses = loopback_addresses(system.options.model_dump())
        loopback += [f"{system.name} at {address}" for address in addresses[:1]]
    leads = "polled only by the engine that leads, on its own machine"
    several = "Fix, with engines on several machines:"
    warnings = {
        _grouped("target", local): f"{leads}. {several} add an address",
        _grouped("system", loopback): f"a different server on each machine. {several} name the server's host",
    }
    return [f"{places}: {warning}" for places, warning in warnings.items() if places]


def loopback_addresses(options: object) -> list[str]:
    """Hosts and URLs among the settings of a system that lead to the machine itself."""
    from connectors.sdk.transport.loopback import is_loopback

    if isinstance(options, Mapping):
        return [address for value in options.values() for address in loopback_addresses(value)]
    if isinstance(options, list | tuple):
        return [address for value in options for address in loopback_addresses(value)]
    text = options if isinstance(options, str) else ""
    host = urlsplit(text).hostname if "://" in text else text
    return [text] if host and is_loopback(host) else []


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


def _config_size(config: Config) -> str:
    return f"{counted(config.systems, 'system')}, {counted(config.services, 'service')}"


def config_in_use_note(arguments: argparse.Namespace, digest: str) -> str:
    """That the running engine uses another config than the one of this digest; else empty."""
    header = _store_header(arguments)
    if header is None or not header.engine.alive or header.config == digest:
        return ""
    since = f" of {timestamp(header.config_since)}" if header.config_since else ""
    return (
        f"the engine on {lease_holder_text(header.engine.holder)}, still uses the config{since} ({header.config[:12]});"
        " it loads a valid one within seconds"
    )


def stored(arguments: argparse.Namespace, query: Callable[[Queries], T]) -> T | None:
    """The answer of the store; None without a readable one."""
    from console.store.errors import StoreError
    from console.store.queries import open_queries

    try:
        with open_queries(store_url_of(arguments)) as reads:
            clock_format.share_service_zone(reads.service_zones())
            return query(reads)
    except (CommandError, StoreError):
        return None


def _store_header(arguments: argparse.Namespace) -> HeaderView | None:
    return stored(arguments, lambda reads: reads.estate.header())


def accepted_routes(arguments: argparse.Namespace) -> set[tuple[str, str]]:
    """(route, receiver) of every URL that has accepted an alert or a test, as the store knows."""
    return stored(arguments, lambda reads: reads.alerts.accepted()) or set()


def _variables_of(config: Config, results: Iterable[ProbeResult]) -> set[str]:
    """Environment variables with secrets of these targets."""
    from connectors.sdk.secrets import env_references

    variables = set[str]()
    for result in results:
        name = result.target.partition("/")[0].removeprefix("check ")
        settings = config.systems[name].options if name in config.systems else config.checks.get(name)
        variables.update(env_references(settings), re.findall(r"\(env (\w+)\)$", result.target))
    return variables


def other_environment(
    arguments: argparse.Namespace, variables: Iterable[str], failed: Collection[str]
) -> dict[str, str]:
    """Those of the variables that the running engine has with another value than this shell, each with its problem;
    nothing where the environment of the engine cannot be read. `failed`: variables whose value here fails its probe."""
    pid, engine_environment = _engine_environment(arguments)
    texts = {}
    for name in sorted(variables) if engine_environment else []:
        value, engine_value = os.environb.get(name.encode(), b""), engine_environment.get(name.encode(), b"")
        if engine_value and not value:
            texts[name] = (
                f"{name} is set for the engine (process {pid}) but not in this shell, so check cannot use it."
                f" Fix: export {name} here"
            )
        elif value != engine_value:
            fix = "correct it in this shell" if name in failed else "restart the engine from this shell"
            texts[name] = f"{name} differs between this shell and the engine (process {pid}). Fix: {fix}"
    return texts


def page_text(route: str, receiver: str, dedup_key: str, until: float) -> tuple[bool, str] | None:
    """Whether an on-call service can be read with the read key of its URL, and how it shows the page. None for other
    URLs. `receiver`: the reference to the URL, "env ONCALL". `until`: by the monotonic clock, how long a service may
    take to list the page."""
    from connectors.sdk.errors import ConnectorError
    from connectors.sdk.secrets import SecretRef, SecretStore
    from console.engine.notify.responses import page_at_service

    kind, _, name = receiver.partition(" ")
    if kind not in ("env", "file"):
        return None
    secrets = SecretStore()
    while True:
        try:
            page = page_at_service(route, secrets(SecretRef.model_validate({kind: name})), dedup_key, secrets)
        except ConnectorError:
            return None  # the engine has sent by another environment
        if page is None:
            return None
        if page.error:
            return False, page.error
        if page.status != "unknown":
            return True, f"{page.service} shows it as {page.status}"
        if page.lists_acknowledged:
            return True, f"{page.service} can be read; it lists a page once a person acknowledges it"
        if monotonic() > until:
            warning = ", and let a WARNING open an incident" if page.service == "Splunk On-Call" else ""
            return False, f"{page.service} does not list it. Fix: write a read_key of the same account{warning}"
        sleep(1.0)


def differs_in_engine(arguments: argparse.Namespace, name: str) -> bool:
    """True if this shell has the variable, and the running engine has another value or none."""
    _, engine_environment = _engine_environment(arguments)
    value = os.environb.get(name.encode(), b"")
    return bool(engine_environment and value) and engine_environment.get(name.encode(), b"") != value


def _engine_environment(arguments: argparse.Namespace) -> tuple[int | None, dict[bytes, bytes]]:
    """Process and environment of the running engine; empty where it cannot be read."""
    from console.store.db.lease import local_pid

    header = _store_header(arguments)
    pid = local_pid(header.engine.holder) if header is not None and header.engine.alive else None
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if pid is not None else []
    except OSError:
        entries = []
    return pid, dict(entry.partition(b"=")[::2] for entry in entries if entry)


def other_cutoffs(config: Config) -> Iterator[str]:
    """Services whose day begins at another time than that of a system that delivers them: their runs near it count for
    different business dates."""
    for name, service in config.services.items():
        for system in dict.fromkeys(job.partition("/")[0] for job in service.delivered_by):
            known = config.systems.get(system)
            if known is not None and known.settings.cutoff != service.cutoff:
                yield (
                    f"services.{name}.cutoff is {service.cutoff:%H:%M}, systems.{system}.cutoff"
                    f" {known.settings.cutoff:%H:%M}: a run between them counts for another date there."
                    " Fix: the same cutoff in both"
                )


def _named_jobs(config: Config) -> list[str]:
    """Job names and patterns of the config."""
    from console.config.references import job_patterns

    names = [*config.jobs, *job_patterns(config)]
    names += [name for dependency in config.dependencies for name in (*dependency.feeding, dependency.downstream)]
    return names + [terminal for service in config.services.values() for terminal in service.delivered_by]


def unverified_names_note(config: Config, arguments: argparse.Namespace) -> str:
    """That names in the config were not verified, by system without a stored inventory; empty if all were."""
    systems = {name.partition("/")[0] for name in _named_jobs(config)} & config.systems.keys()
    systems -= stored(arguments, lambda reads: reads.warnings.systems_with_jobs()) or set()
    if not systems:
        return ""
    begin = "job names not verified: no inventory yet of "
    if not engine_runs(arguments):
        fix = 'Fix: "headway engine", then "headway check" again after the first poll'
        return f"{begin}{', '.join(sorted(systems))}. {fix}"
    targets = stored(arguments, lambda reads: reads.estate.systems()) or []
    errors = {target.system: target.error for target in targets if target.error}
    unpolled = "its first poll has not ended. Fix: headway check after it"
    return begin + "; ".join(f"{name}: {errors.get(name, unpolled)}" for name in sorted(systems))


def store_problems(arguments: argparse.Namespace) -> tuple[str, list[str]]:
    """That there is no store yet, empty if there is one; and why it cannot be read, nothing for one that an engine will
    create or migrate. Raises StoreTooNew."""
    from console.store.errors import StoreError, StoreMissing, StoreOutdated, StoreTooNew
    from console.store.queries import open_queries

    try:
        with open_queries(store_url_of(arguments)) as reads:
            reads.estate.engine()
    except StoreMissing as error:
        return str(error), []
    except StoreOutdated:
        return "", []
    except StoreTooNew:
        raise
    except (CommandError, StoreError) as error:
        return "", [str(error)]
    return "", []


def config_faults(config: Config, arguments: argparse.Namespace) -> list[str]:
    """One sentence for each name in the config that matches no job of the store, each dependency and deadline that the
    schedules in the store contradict, and each refused hold; nothing without a store."""
    from console.config.document import named_at
    from console.config.paths import config_files, config_path
    from console.engine.api.explain import edited_config_faults
    from console.engine.supervisor.settings import estate_settings

    def named(reads: Queries) -> list[str]:
        messages = reads.warnings.without_job(_named_jobs(config))
        files = config_files(config_path(arguments.config))
        return [f"{named_at(files, name)}{message}" for name, message in messages.items()]

    def contradicted(reads: Queries) -> list[str]:
        faults = edited_config_faults(store_url_of(arguments), reads, estate_settings(config))
        return [*faults, *reads.warnings.refused_holds()]

    return [*(stored(arguments, named) or []), *(stored(arguments, contradicted) or [])]


def unusable_settings(config: Config) -> list[str]:
    """The faults of patterns that match nothing, calendars without days, and links that no message can have."""
    from console.config.references import unmatched_patterns, unusable_links

    faults = [*unmatched_patterns(config), *calendars_without_days(config), unusable_links(config)]
    return list(filter(None, faults))


def calendars_without_days(config: Config) -> list[str]:
    """The fault of each calendar on which no day counts, with the services and jobs that use it."""
    from console.cli.calendars import no_days_fault
    from console.timing.calendars import next_day

    today, faults = datetime.now(UTC).date(), []
    for calendar in config.declared.calendars:
        if next_day(calendar, today - timedelta(days=1)) is None:
            users = [f"service {name}" for name, used in config.services.items() if used.calendar == calendar.name]
            users += [f"job {name}" for name, used in config.jobs.items() if used.calendar == calendar.name]
            of = f" (of {', '.join(users)})" if users else ""
            faults.append(f'calendar "{calendar.name}"{of}: {no_days_fault(today)}')
    return faults


def engine_runs(arguments: argparse.Namespace) -> bool:
    """True if an engine works on the store."""
    header = _store_header(arguments)
    return header is not None and header.engine.alive


def probe_all(arguments: argparse.Namespace, config: Config, secrets: SecretStore) -> dict[str, list[ProbeResult]]:
    """By area: systems first, then everything else that the config lets the engine use."""
    return {
        "system": probe_systems(config, secrets, arguments.timeout, engine_runs(arguments)),
        "route": probe_routes(config, secrets, accepted_routes(arguments)),
        "rota": probe_rotas(config, secrets),
        "check": probe_checks(config, secrets, arguments.timeout),
        "slack": probe_slack(config, secrets),
        "otlp": probe_otlp(config, secrets),
        "endpoints": probe_endpoints(config, secrets),
        "status page": probe_status_page(config),
    }


def probe_systems(config: Config, secrets: SecretStore, timeout: float, engine_works: bool = True) -> list[ProbeResult]:
    """Probes every target, each on a thread of its own; results in the config's order."""
    targets = [(system, target) for system in config.systems.values() for target in system.targets]
    with ThreadPoolExecutor(min(16, len(targets) or 1)) as pool:
        return list(pool.map(lambda place: probe_target(place[0], place[1], secrets, timeout, engine_works), targets))


def probe_target(
    system: SystemConfig, target: str, secrets: SecretStore, timeout: float, engine_works: bool = True
) -> ProbeResult:
    """Probes one target. A broken connector is a verdict, never a traceback. A listener that only an engine opens is
    no fault while none works."""
    name = f"{system.name}/{target}"

    def probe() -> ProbeResult:
        with closing(system.kind.open(system.options, target, secrets)) as connector:
            return _probe_verdict(name, connector.probe(timeout), engine_works)

    return _guarded(name, secrets, probe)


def _guarded(name: str, secrets: SecretStore, probe: Callable[[], ProbeResult | None]) -> ProbeResult:
    """The result of a probe, "ok" if it has none; an error is a verdict."""
    from connectors.sdk.errors import ConnectorError

    try:
        return probe() or ProbeResult(name, "ok", "")
    except ConnectorError as error:
        verdict = MISSING_RIGHTS if error.kind == "forbidden" else error.kind
        return ProbeResult(name, verdict, "", (secrets.mask(str(error)),), grants_help=error.grants_help)
    except Exception as error:  # noqa: BLE001 - a surprise in one probe must not end the check of the others
        return ProbeResult(name, "broken", "", (secrets.mask(f"{type(error).__name__}: {error}"),))


def _probe_verdict(name: str, probe: Probe, engine_works: bool) -> ProbeResult:
    by_fix: dict[str, list[SourcePermission]] = {}
    for right in probe.rights:
        if right.held is False:
            by_fix.setdefault(right.fix or right.name, []).append(right)
    lines = [(any(right.needed_for == "view" for right in rights), _rights_text(rights)) for rights in by_fix.values()]
    reasons = tuple(text for hides_jobs, text in lines if hides_jobs)
    notes = tuple(text for hides_jobs, text in lines if not hides_jobs)
    is_well = probe.reachable or (probe.opens_with_engine and not engine_works)
    verdict = MISSING_RIGHTS if reasons else "ok" if is_well else "unreachable"
    if is_well:
        notes += probe.notes
    else:
        reasons += probe.notes
    rights = tuple(asdict(right) for right in probe.rights)
    clock = probe.clock
    skew, zone = (clock.skew_seconds, clock.zone) if clock else (None, "")
    return ProbeResult(name, verdict, probe.version, reasons, rights, skew, notes, zone)


def _rights_text(rights: Sequence[SourcePermission]) -> str:
    """Permissions that one fix grants, as one line; with the reasons of those to read, which the others follow."""
    to_read = [right for right in rights if right.needed_for == "view"]
    names = ", ".join(right.name for right in rights)
    reasons = "; ".join(dict.fromkeys(right.why for right in to_read or rights[:1] if right.why))
    fix = rights[0].fix
    problem = f"{'missing' if to_read else 'cannot act'}: {names}{f' ({reasons})' if reasons else ''}"
    return f"{problem}. Fix: {fix}" if fix else f"{problem}."


def probe_checks(config: Config, secrets: SecretStore, timeout: float) -> list[ProbeResult]:
    """Whether every data check can be run for the present business date; its result is not judged here."""
    from console.engine.checks.check_runner import CheckRunner, check_date

    runner = CheckRunner(config, secrets)

    def probe(check: Check) -> ProbeResult:
        runner.measure(check.name, check_date(check, datetime.now(UTC)), min(timeout, check.timeout.total_seconds()))
        return ProbeResult(
            f"check {check.name}", "ok", "", (), notes=_unverified_dsn(config.checks[check.name], secrets)
        )

    checks = config.declared.checks
    with ThreadPoolExecutor(min(8, len(checks) or 1)) as pool:
        return list(pool.map(lambda check: _guarded(f"check {check.name}", secrets, partial(probe, check)), checks))


def probe_rotas(config: Config, secrets: SecretStore) -> list[ProbeResult]:
    """Whether the calendar of each rota can be read; events that are left out are notes."""
    from console.engine.notify.on_call import CALENDAR_ERRORS, error_text, read_calendar_of

    folder = config.path if config.path.is_dir() else config.path.parent

    def probe(name: str) -> ProbeResult:
        title = f"rota {name}"
        try:
            problem = read_calendar_of(config.rotas[name], folder, secrets, datetime.now(UTC)).problem
        except CALENDAR_ERRORS as error:
            return ProbeResult(title, "broken", "", (secrets.mask(f"cannot be read: {error_text(error)}"),))
        return ProbeResult(title, "ok", "", notes=(secrets.mask(problem),) if problem else ())

    return [_guarded(f"rota {name}", secrets, partial(probe, name)) for name in config.rotas]


def probe_slack(config: Config, secrets: SecretStore) -> list[ProbeResult]:
    """Whether Slack takes the app token of the buttons, and the bot token of each route; nothing is posted."""
    from connectors.sdk.errors import ConnectorError
    from console.engine.notify.slack import probe_app_token, probe_bot_token

    calls: list[tuple[str, Callable[[], None]]] = []
    if config.slack is not None:
        app_token = config.slack.app_token
        calls.append(("slack app token", lambda: probe_app_token(secrets(app_token))))
    for route, settings in config.routes.items():
        for url in settings.urls:
            with suppress(ConnectorError):  # the probe of the route reports it
                if token := _slack_bot_token(secrets(url)):
                    calls.append((f"slack bot token (route {route})", partial(probe_bot_token, token)))
    return [_guarded(name, secrets, call) for name, call in calls]


def _slack_bot_token(address: str) -> str:
    """Of an apprise URL that posts as a bot; else empty."""
    import apprise

    plugin = apprise.Apprise.instantiate(address) if address.lower().startswith("slack://") else None
    return str(getattr(plugin, "access_token", None) or "")


def probe_otlp(config: Config, secrets: SecretStore) -> list[ProbeResult]:
    """Whether the receiver accepts an empty request of each exported signal."""
    if (settings := config.otlp) is None:
        return []
    from console.engine.otlp import post_signal

    def probe(signal: str) -> ProbeResult:
        post_signal(settings, secrets, signal, dict)
        return ProbeResult(f"otlp {signal}", "ok", "")

    return [_guarded(f"otlp {signal}", secrets, partial(probe, signal)) for signal in settings.signals]


def probe_endpoints(config: Config, secrets: SecretStore) -> list[ProbeResult]:
    """Whether each token, and the key of links, can be used."""
    if config.endpoints is None:
        return []
    from console.engine.endpoints import endpoint_secrets

    values, faults = endpoint_secrets(config.endpoints, secrets)
    usable = [ProbeResult(key, "ok", "") for key in values]
    return usable + [ProbeResult(key, "refused", "", (fault,)) for key, fault in faults.items()]


def probe_status_page(config: Config) -> list[ProbeResult]:
    """Whether the folder of the status page takes a file; nothing without one."""
    from console.engine.status_page import folder_fault

    folder = config.status_page.folder if config.status_page is not None else None
    if folder is None:
        return []
    fault = folder_fault(folder)
    return [ProbeResult("status page", "refused" if fault else "ok", "", (fault,) if fault else ())]


def _unverified_dsn(settings: Any, secrets: SecretStore) -> tuple[str, ...]:
    if not getattr(settings, "dsn", None):
        return ()
    from connectors.sdk.transport.libpq import unverified_text
    from connectors.sdk.transport.postgres import PostgresOptions, connection_parameters

    return unverified_text(connection_parameters(PostgresOptions(dsn=settings.dsn), secrets))


def probe_routes(config: Config, secrets: SecretStore, accepted: Collection[tuple[str, str]]) -> list[ProbeResult]:
    """Whether the references of every route and of the ping resolve, and each URL of a route can be used, its mail
    server answers, and it has accepted something before; sends nothing."""
    urls = [(name, url) for name, route in config.routes.items() for url in route.urls]
    urls += [("", config.alerts.ping)] if config.alerts.ping else []

    def probe(named: tuple[str, SecretRef]) -> ProbeResult:
        route, url = named
        return _probe_route(route, url, secrets, not route or (route, url.text) in accepted)

    with ThreadPoolExecutor(min(8, len(urls) or 1)) as pool:
        return list(pool.map(probe, urls))


def _probe_route(route: str, url: SecretRef, secrets: SecretStore, is_tested: bool) -> ProbeResult:
    from connectors.sdk.errors import ConnectorError

    name = f"route {route} ({url.text})" if route else f"ping ({url.text})"
    try:
        address = secrets(url)
    except ConnectorError as error:
        return ProbeResult(name, "refused", "", (secrets.mask(str(error)),))
    fault = _url_fault(address) if route else ""
    notes = tuple(filter(None, [_unverified_url(address) if route else ""]))
    if fault:
        return ProbeResult(name, "refused", "", (fault,), notes=notes)
    if route and (reason := _mail_unreachable(address)):
        fix = f"Fix: start that mail server, or correct server and port in {url.text}"
        return ProbeResult(name, "unreachable", "", (f"{reason}. {fix}",), notes=notes)
    if is_tested:
        return ProbeResult(name, "ok", "", notes=notes)
    fix = f"Fix: headway alert test {route}"
    return ProbeResult(name, NOT_TRIED, "", (f"no alert of the engine yet. {fix}",), notes=notes)


def _mail_unreachable(address: str) -> str:
    """Why no connection to the server of a mail URL can be made; empty if one can, and for other URLs."""
    import apprise

    from console.config.alert_urls import MAIL_SCHEMES
    from console.engine.notify.senders import unreachable_reason

    is_mail = address.partition(":")[0].lower() in MAIL_SCHEMES
    return unreachable_reason(apprise.Apprise.instantiate(address)) if is_mail else ""


def _unverified_url(address: str) -> str:
    import apprise

    from console.engine.notify.senders import unverified_server

    plugin = apprise.Apprise.instantiate(address)
    return "" if plugin is None else unverified_server(plugin)


def _url_fault(address: str) -> str:
    """Why an alert could not be sent by this URL, by the part that is wrong; empty if it could."""
    import apprise
    from apprise.manager_plugins import NotificationManager

    from console.config.alert_urls import MAIL_SCHEMES, wrong_part
    from console.engine.notify.alertmanager import alertmanager_fault, is_alertmanager
    from console.engine.notify.paging import silent_fault
    from console.engine.notify.responses import read_key_fault
    from console.engine.notify.senders import no_listener, url_fault
    from console.engine.notify.webhook import is_webhook, webhook_fault

    if is_alertmanager(address):
        return alertmanager_fault(address)
    if is_webhook(address):
        return webhook_fault(address)
    plugin = apprise.Apprise.instantiate(address)
    known: Any = NotificationManager
    is_mail = address.partition(":")[0].lower() in MAIL_SCHEMES  # apprise silently drops a wrong recipient
    if (plugin is None or is_mail) and (fault := wrong_part(address, known().schemas())):
        return fault
    fault = url_fault(address, plugin) or no_listener(plugin) or silent_fault(address, plugin)
    return fault or read_key_fault(address)


def send_test_message(address: str) -> str:
    """Sends a message by an apprise URL, and ends the page that it opens; why it was not accepted, or ""."""
    from console.engine.notify.mail import MailThread, send_mail
    from console.engine.notify.outbox import send_unstored
    from console.engine.notify.paging import Page, PageAction
    from console.engine.notify.senders import SendResult, send_by_apprise
    from console.store.alerts import TEST
    from console.store.outbox import DueDelivery

    def send(url: str, title: str, body: str, page: Page) -> SendResult:
        return send_mail(url, title, body, MailThread(uuid4().hex)) or send_by_apprise(url, title, body, page)

    if fault := _url_fault(address):
        return fault
    title, text = "Test of the first route: nothing is wrong", "Alerts arrive here.\n"
    now = datetime.now(UTC)
    key, made_us = f"headway:init:{now:%Y%m%dT%H%M%S}", micros(now)
    delivery = DueDelivery(0, "", 0, title, text, key, 0, 0, False, kind=TEST, origin=TEST, made_us=made_us)
    for action in (PageAction.INFORM, PageAction.RESOLVE)[: 2 if _is_pager(address) else 1]:
        result = send_unstored(address, delivery, Page(key, action), "", send)
        if not result.arrived:
            return result.reason or "no answer"
    return ""


def _is_pager(address: str) -> bool:
    import apprise

    from console.engine.notify.alertmanager import is_alertmanager
    from console.engine.notify.paging import is_pager

    plugin = apprise.Apprise.instantiate(address)
    return is_alertmanager(address) or (plugin is not None and is_pager(plugin))


OK_VERDICT, NOTE_VERDICT, PROBLEM_VERDICT = "ok", "note", "PROBLEM"
MIN_FREE_BYTES = 1024**3
CLOCK_FIX = "synchronize the clock of that machine (timedatectl, chrony)"
MAX_SKEW_SECONDS = 5.0
"""With a larger skew a start may look missed, or may be assigned to another minute."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of one check: "ok", "note" (no repair needed now) or "PROBLEM"."""

    area: str
    verdict: str
    text: str
    fix: str = ""


def run_doctor(arguments: argparse.Namespace) -> int:
    findings = list(_diagnoses(arguments))
    faults = [finding for finding in findings if finding.verdict == PROBLEM_VERDICT]
    return print_result(
        arguments,
        {"healthy": not faults, "findings": [asdict(finding) for finding in findings]},
        (
            with_options(line, arguments.config, arguments.store)
            for finding in findings
            for line in _diagnosis_lines(finding)
        ),
        ["", _problem_count(faults)],
        code=Exit.PROBLEM if faults else Exit.OK,
    )


def _diagnosis_lines(diagnosis: Diagnosis) -> Iterator[str]:
    yield f"{diagnosis.verdict:<8}{diagnosis.area:<13} {diagnosis.text}"
    if diagnosis.fix:
        yield f"{'':<22}fix: {diagnosis.fix}"


def _diagnoses(arguments: argparse.Namespace) -> Iterator[Diagnosis]:
    yield from diagnose_installation()
    config, findings = _diagnose_config(arguments)
    yield from findings
    yield from _diagnose_store(arguments, config)
    if config is not None:
        yield from _diagnose_systems(arguments, config)


def diagnose_installation() -> Iterator[Diagnosis]:
    """Versions, connector kinds, and requirements of the machine."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from connectors.sdk.registry import entries

    kinds = entries()
    python = ".".join(map(str, sys.version_info[:3]))
    usable = ", ".join(kind.kind for kind in kinds if not kind.error)
    yield Diagnosis("installation", OK_VERDICT, f"headway {version('headway')}, Python {python}; kinds: {usable}")
    yield from (Diagnosis("installation", NOTE_VERDICT, kind.error) for kind in kinds if kind.error)
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if encoding != "utf8":
        problem = f"uses {encoding or 'an unknown encoding'}, not UTF-8: symbols are replaced"
        yield Diagnosis("terminal", NOTE_VERDICT, problem, "export LANG=C.UTF-8")
    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        yield Diagnosis("installation", PROBLEM_VERDICT, "time zone data is missing", "pip install tzdata")


def _diagnose_config(arguments: argparse.Namespace) -> tuple[Config | None, list[Diagnosis]]:
    from console.config.document import ConfigFaults
    from console.config.loading import load_config
    from console.config.paths import config_path

    path = config_path(arguments.config)
    if not path.exists():
        fix = "headway init writes one; headway demo needs none"
        return None, [Diagnosis("config", PROBLEM_VERDICT, f"{path} does not exist", fix)]
    try:
        config = load_config(path)
    except ConfigFaults as faults:
        return None, [Diagnosis("config", PROBLEM_VERDICT, str(fault)) for fault in faults.faults]
    findings = [Diagnosis("config", OK_VERDICT, f"{path}: {_config_size(config)}")]
    if not config.permissions:
        findings.append(Diagnosis("config", NOTE_VERDICT, OPEN_PERMISSIONS, "see docs/security.md"))
    return config, findings + [Diagnosis("config", PROBLEM_VERDICT, fault) for fault in unusable_settings(config)]


def _diagnose_store(arguments: argparse.Namespace, config: Config | None) -> Iterator[Diagnosis]:
    from console.store.errors import StoreError, StoreMissing
    from console.store.queries import open_queries

    try:
        url = store_url_of(arguments)
        with open_queries(url) as reads:
            header = reads.estate.header()
            skew_seconds = reads.link.real_now_us() / 1e6 - datetime.now(UTC).timestamp()
            clock_format.share_service_zone(reads.service_zones())
        faults = config_faults(config, arguments) if config is not None else []
    except StoreMissing as error:
        yield Diagnosis("store", PROBLEM_VERDICT, str(error), "headway engine creates it")
    except (CommandError, StoreError) as error:
        yield Diagnosis("store", PROBLEM_VERDICT, str(error))
    else:
        yield from _diagnose_store_file(url)
        yield from diagnose_store_clock(skew_seconds)
        yield from _diagnose_engine(header, config)
        yield from (Diagnosis("config", PROBLEM_VERDICT, fault) for fault in faults)


def _diagnose_store_file(url: str) -> Iterator[Diagnosis]:
    """Size, free disk space and file mode of an embedded store. A URL is not printed: it may contain a password."""
    path = Path(url.removeprefix("sqlite:///"))
    if not path.is_file():
        yield Diagnosis("store", OK_VERDICT, "the shared store answers")
        return
    free, mode = shutil.disk_usage(path.parent).free, stat.S_IMODE(path.stat().st_mode)
    size = f"{path.stat().st_size / 1024**2:.1f} MiB, {free / 1024**3:.1f} GiB free"
    yield Diagnosis("store", OK_VERDICT, f"{path}: {size}")
    if free < MIN_FREE_BYTES:
        fix = "free disk space: a full disk stops the engine"
        yield Diagnosis("store", PROBLEM_VERDICT, f"less than 1 GiB is free beside {path}", fix)
    if mode & 0o077:
        yield Diagnosis("store", PROBLEM_VERDICT, f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}")
    if not os.access(path, os.W_OK):
        problem = f"{path} is not writable for you: no request is possible"
        yield Diagnosis("store", NOTE_VERDICT, problem, "run as the owner of the file")


def diagnose_store_clock(skew_seconds: float) -> Iterator[Diagnosis]:
    """The clock of a shared store's host, if it is off."""
    if abs(skew_seconds) > MAX_SKEW_SECONDS:
        problem = f"the clock of the store is {skew_seconds:+.0f} s from this machine; requests and approvals use it"
        yield Diagnosis("clock", PROBLEM_VERDICT, problem, CLOCK_FIX)


def _diagnose_engine(header: HeaderView, config: Config | None) -> Iterator[Diagnosis]:
    engine = header.engine
    if not engine.alive:
        problem = staleness_text(engine, datetime.now(UTC))
        fix = "" if engine.stuck else "headway engine"  # a stuck engine must not get a second one beside it
        yield Diagnosis("engine", PROBLEM_VERDICT, problem, fix)
    elif engine.trouble:
        fix = f"see the engine's log on {lease_holder_text(engine.holder)}"
        yield Diagnosis("engine", PROBLEM_VERDICT, engine.trouble, fix)
    else:
        yield Diagnosis("engine", OK_VERDICT, f"runs on {lease_holder_text(engine.holder)}")
    if engine.alive and config is not None and header.config != config.digest:
        fix = "it loads a valid config within seconds; otherwise see its log"
        yield Diagnosis("engine", NOTE_VERDICT, "it uses another config than this one", fix)
    if header.frozen:
        yield Diagnosis("engine", NOTE_VERDICT, f"no action is sent: {header.frozen}", "headway freeze --off")
    for scope in header.in_shadow:
        problem = f"in shadow, no notification or action is sent: {scope}"
        yield Diagnosis("engine", NOTE_VERDICT, problem, "headway shadow off")


def _diagnose_systems(arguments: argparse.Namespace, config: Config) -> Iterator[Diagnosis]:
    from connectors.sdk.secrets import SecretStore

    if arguments.no_probe:
        yield Diagnosis("systems", NOTE_VERDICT, "not probed (--no-probe)")
        return
    areas = probe_all(arguments, config, SecretStore())
    yield from (
        finding for area, probed in areas.items() for result in probed for finding in _diagnose_probe(area, result)
    )
    yield from diagnose_clocks(areas["system"])


def _diagnose_probe(area: str, result: ProbeResult) -> Iterator[Diagnosis]:
    if result.verdict == "ok":
        yield Diagnosis(area, OK_VERDICT, " ".join(filter(None, [result.target, result.version])))
    elif not result.is_fault:
        yield from (Diagnosis(area, NOTE_VERDICT, f"{result.target}: {text}") for text in result.text)
    else:
        for reason in result.text or ("no reason given",):
            yield Diagnosis(area, PROBLEM_VERDICT, f"{result.target} {result.verdict}: {reason}")
    yield from (Diagnosis(area, NOTE_VERDICT, f"{result.target}: {note}") for note in result.notes)


def diagnose_clocks(targets: Iterable[ProbeResult]) -> Iterator[Diagnosis]:
    """Clocks that are off; this machine's own if most targets differ from it by a similar amount."""
    skews = {target.target: target.skew_seconds for target in targets if target.skew_seconds is not None}
    off = {target: skew for target, skew in skews.items() if abs(skew) > MAX_SKEW_SECONDS}
    middle = median(skews.values()) if skews else 0.0
    if len(skews) > 1 and abs(middle) > MAX_SKEW_SECONDS and len(off) > len(skews) / 2:
        problem = f"most systems are about {middle:+.0f} s from this machine: this machine's clock is off"
        yield Diagnosis("clock", PROBLEM_VERDICT, problem, "timedatectl set-ntp true")
        return
    for target, skew in off.items():
        problem = f"the clock of {target} is {skew:+.0f} s from this machine; start times use its clock"
        yield Diagnosis("clock", PROBLEM_VERDICT, problem, CLOCK_FIX)
    if skews and not off:
        worst = max(abs(skew) for skew in skews.values())
        yield Diagnosis("clock", OK_VERDICT, f"{counted(skews, 'system')} within {worst:.1f} s of this machine")


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
        flag("--no-probe", "validate only; do not connect to systems"),
        timeout("timeout per target", 20),
        JSON,
    ),
    "doctor": Handler(
        run_doctor,
        flag("--no-probe", "do not connect to systems"),
        timeout("timeout per target", 20),
        JSON,
    ),
    "version": Handler(run_version, JSON),
}
