"""`headway check`: every fault of the config at once, then a probe of every system, in its own process."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from console.cli import wall
from console.cli.clock_changes import clock_changes
from console.cli.common import Stop, count, place_of, print_json, say, say_lines, stamp, store_of, wait_seconds
from console.cli.exits import Exit
from console.cli.table import Col, print_table

if TYPE_CHECKING:
    from connectors.contract import ConnectorError, Probe
    from connectors.secrets import SecretRef, SecretStore
    from console.config import Config, SystemConfig
    from console.engine.looking import Looker
    from console.model.checks import Check


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-probe", action="store_true", help="validate only; touch no system")
    parser.add_argument("--timeout", type=wait_seconds, default=20.0, metavar="SECONDS", help="for each target (20)")
    parser.add_argument("--json", action="store_true")


MISSING = "missing rights"


@dataclass(frozen=True, slots=True)
class Found:
    """One target as probed: "ok", "missing rights", "broken", or what a target is called whose polls end so
    ("unreachable", "refused", "limited", "failing", "unsupported")."""

    target: str
    verdict: str
    version: str
    words: tuple[str, ...]
    rights: tuple[dict[str, Any], ...] = ()
    skew_seconds: float | None = None
    """The target's clock against ours, where its answer tells it."""
    notes: tuple[str, ...] = ()
    """What is good to know and makes no verdict; `words` tell why it is not "ok"."""


def run(arguments: argparse.Namespace) -> int:
    from connectors.secrets import SecretStore
    from console.config import ConfigFaults, load_config
    from console.config.scopes import patterns_for_nothing
    from console.paths import config_path
    from console.personal.file import read_personal
    from console.personal.shared import own_of

    path = config_path(arguments.config)
    try:
        config = load_config(path)
    except ConfigFaults as faults:
        found_faults = [asdict(fault) for fault in faults.faults]
        print_json(arguments, {"config": str(path), "faults": found_faults, "targets": []})
        told = [f"{len(faults.faults)} fault(s) in the config", str(faults), in_use(arguments, "")]
        raise Stop(Exit.USAGE, "\n".join(filter(None, told))) from None
    say(f"config {path}: {count(config.systems, 'system')}, {count(config.services, 'service')}, no fault")
    if not config.permissions:
        say("no [[permissions]]: whoever can write the store may do everything (docs/security.md says how to limit)")
    for words in clock_changes(config, datetime.now(UTC).date()):
        say(words)
    if words := in_use(arguments, config.digest):
        say(words)
    names = without_job(config, arguments) + patterns_for_nothing(config) + without_days(config)
    names += own_of(config.console, read_personal()).faults
    secrets = SecretStore()
    found = [] if arguments.no_probe else probe_all(config, secrets, arguments.timeout, works(arguments))
    found += [] if arguments.no_probe else check_routes(config, secrets)
    found += [] if arguments.no_probe else look_all(config, secrets, arguments.timeout)
    if arguments.json:
        print_json(arguments, {"config": str(path), "faults": [], "targets": found, "remarks": names})
    else:
        _show(found, names)
    return Exit.OK if all(one.verdict == "ok" for one in found) and not names else Exit.PROBLEM


def in_use(arguments: argparse.Namespace, digest: str) -> str:
    """That an engine works by another config than the one of this digest; empty where none does or none is seen."""
    from console.store.reads import StoreError, open_reads

    try:
        with open_reads(store_of(arguments)) as reads:
            header = reads.header()
            wall.hang(reads.service_zones())
    except (Stop, StoreError):
        return ""
    if not header.engine.alive or header.config == digest:
        return ""
    since = f" of {stamp(header.config_since)}" if header.config_since else ""
    return (
        f"the engine on {place_of(header.engine.holder)}, works on by the config{since} ({header.config[:12]});"
        " one that can be used is taken up within seconds"
    )


def without_job(config: Config, arguments: argparse.Namespace) -> list[str]:
    """Names in the config that match no job of an estate that was watched already, and dependencies that the clock
    contradicts or that cannot hold; nothing where there is no store. Raises StoreTooNew."""
    from console.config.scopes import job_patterns
    from console.store.reads import StoreError, StoreTooNew, open_reads

    named = [*config.jobs, *(end for one in config.dependencies for end in (*one.feeding, one.downstream))]
    named += job_patterns(config)
    named += [terminal for service in config.services.values() for terminal in service.delivered_by]
    try:
        with open_reads(store_of(arguments)) as reads:
            return reads.without_job(named) + reads.dependency_faults()
    except Stop as no_store:
        return [str(no_store)]
    except StoreTooNew:
        raise
    except StoreError:
        return []


def without_days(config: Config) -> list[str]:
    """Calendars on which no day counts, and who goes by them: nothing is expected there, ever."""
    from console.cli.calendar import no_days
    from console.control.calendars import next_day

    today = datetime.now(UTC).date()
    never = [one.name for one in config.declared.calendars if next_day(one, today - timedelta(days=1)) is None]
    return [f'calendar "{name}"{_goes_by(config, name)}: {no_days(today)}' for name in never]


def _goes_by(config: Config, calendar: str) -> str:
    """ " (of service supply-plan)"; empty where nobody does."""
    found = [f"service {name}" for name, one in config.services.items() if one.calendar == calendar]
    found += [f"job {name}" for name, one in config.jobs.items() if one.calendar == calendar]
    return f" (of {', '.join(found)})" if found else ""


def works(arguments: argparse.Namespace) -> bool:
    """Whether an engine works on the store; False too where there is none."""
    from console.store.reads import StoreError, open_reads

    try:
        with open_reads(store_of(arguments)) as reads:
            return reads.engine().alive
    except (Stop, StoreError):
        return False


def probe_all(config: Config, secrets: SecretStore, timeout: float, works: bool = True) -> list[Found]:
    """Every target, each on a thread of its own, in the config's order. `works`: whether an engine does."""
    places = [(system, target) for system in config.systems.values() for target in system.targets]
    with ThreadPoolExecutor(min(16, len(places) or 1)) as pool:
        return list(pool.map(lambda place: probe_one(place[0], place[1], secrets, timeout, works), places))


def probe_one(system: SystemConfig, target: str, secrets: SecretStore, timeout: float, works: bool = True) -> Found:
    """What one target says. A broken connector is a verdict, never a traceback. A door at which nobody listens is as it
    should be where no engine works: it opens them."""
    from connectors.contract import ConnectorError

    name = f"{system.name}/{target}"
    try:
        connector = system.kind.open(system.options, target, secrets)
        try:
            return _judge(name, connector.probe(timeout), works)
        finally:
            connector.close()
    except ConnectorError as error:
        return Found(name, _verdict(error), "", (secrets.mask(str(error)),))
    except Exception as error:  # noqa: BLE001 - a surprise here must not end the watch
        return Found(name, "broken", "", (secrets.mask(f"{type(error).__name__}: {error}"),))


def _verdict(error: ConnectorError) -> str:
    return MISSING if error.kind == "forbidden" else error.kind


def _judge(name: str, probe: Probe, works: bool) -> Found:
    missing = [right for right in probe.rights if right.held is False and right.needed_for == "view"]
    act_only = [right for right in probe.rights if right.held is False and right.needed_for != "view"]
    words = tuple(_right_words("missing", right) for right in missing)
    notes = tuple(_right_words("cannot act", right) for right in act_only)
    is_well = probe.reachable or (probe.opens_with_engine and not works)
    if is_well:
        notes += probe.notes
    else:
        words += probe.notes
    verdict = MISSING if missing else "ok" if is_well else "unreachable"
    rights = tuple(asdict(right) for right in probe.rights)
    skew = probe.clock.skew_seconds if probe.clock else None
    return Found(name, verdict, probe.version, words, rights, skew, notes)


def _right_words(what: str, right: Any) -> str:
    told = [f"{what}: {right.name}", right.why, f"Mend: {right.mend}" if right.mend else ""]
    return " ".join(words if words.endswith((".", ";")) else f"{words}." for words in told if words)


def look_all(config: Config, secrets: SecretStore, timeout: float) -> list[Found]:
    """Whether every check of data can look, for the business date of now; what it finds is not judged here."""
    from console.engine.looking import Looker

    looker = Looker(config, secrets)
    with ThreadPoolExecutor(min(8, len(config.declared.checks) or 1)) as pool:
        return list(pool.map(lambda one: _look(looker, one, secrets, timeout), config.declared.checks))


def _look(looker: Looker, one: Check, secrets: SecretStore, timeout: float) -> Found:
    from connectors.contract import ConnectorError
    from console.engine.looking import today

    name = f"check {one.name}"
    try:
        looker.look(one.name, today(one, datetime.now(UTC)), min(timeout, one.timeout.total_seconds()))
    except ConnectorError as error:
        return Found(name, _verdict(error), "", (secrets.mask(str(error)),))
    except Exception as error:  # noqa: BLE001 - as of a target
        return Found(name, "broken", "", (secrets.mask(f"{type(error).__name__}: {error}"),))
    return Found(name, "ok", "", ())


def check_routes(config: Config, secrets: SecretStore) -> list[Found]:
    """Whether every route's references resolve to URLs that apprise can read; nothing is sent."""
    import apprise

    from connectors.contract import ConnectorError

    found = []
    for name, route in config.routes.items():
        for url in route.urls:
            try:
                readable = apprise.Apprise.instantiate(secrets(url)) is not None
                words = () if readable else ("apprise cannot read the URL behind it; see its scheme and parts",)
            except ConnectorError as error:
                words = (secrets.mask(str(error)),)
            found.append(Found(f"route {name} ({url.words})", "refused" if words else "ok", "", words))
    if config.alerts.ping is not None:
        found.append(_ping(config.alerts.ping, secrets))
    return found


def _ping(url: SecretRef, secrets: SecretStore) -> Found:
    """Whether there is an address; nothing is asked for."""
    from connectors.contract import ConnectorError

    try:
        secrets(url)
    except ConnectorError as error:
        return Found(f"ping ({url.words})", "refused", "", (secrets.mask(str(error)),))
    return Found(f"ping ({url.words})", "ok", "", ())


def _show(found: list[Found], names: list[str]) -> None:
    if found:
        columns = (Col("target", 24), Col("verdict"), Col("version", 8))
        print_table(columns, [(one.target, one.verdict, one.version or "–") for one in found])
    for one in found:
        for words in (*one.words, *one.notes):
            say_lines([f"{one.target}: {words}"])
    say_lines(names)
