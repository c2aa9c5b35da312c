"""Checks of the config: names, calendars, clock changes, and settings that weaken the transport."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import time, timedelta
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from connectors.sdk.transport.loopback import is_loopback, listen_address
from console.config.document import names_at
from console.config.paths import config_files
from console.config.preferences import effective_preferences, read_preferences
from console.config.references import job_patterns, unmatched_patterns, unusable_links
from console.diagnosis.installation import Installation, Level, Problem
from console.engine.api.explain import edited_config_faults
from console.engine.connector_pool import ConnectorTarget
from console.engine.supervisor.settings import estate_settings
from console.store.db.location import POSTGRES_URLS
from console.timing.calendars import next_day, no_days_fault
from console.timing.zones import clock_change_dates, zone_of

if TYPE_CHECKING:
    from console.config.sections import Config
    from console.store.queries import Queries

CLOCK_CHANGE_HORIZON = timedelta(days=366)
MAX_NAMES = 3
"""Named in a problem of several systems."""


def faults(installation: Installation) -> Iterator[Problem]:
    """Yields each fault of an invalid config."""
    yield from (Problem(Level.PROBLEM, "config", str(fault)) for fault in installation.faults)


def open_permissions(installation: Installation) -> Iterator[Problem]:
    """Yields a note if the config limits no permission."""
    if not installation.config.permissions:
        text = "no [[permissions]]: everybody who can write the store has every permission"
        yield Problem(Level.NOTE, "config", text, "see docs/security.md")


def preferences(installation: Installation) -> Iterator[Problem]:
    """Yields each fault in the user's own preferences of the console."""
    own = effective_preferences(installation.config.console, read_preferences())
    yield from (Problem(Level.PROBLEM, "preferences", fault) for fault in own.faults)


def job_names(installation: Installation) -> Iterator[Problem]:
    """Yields each name in the config that matches no job of the store."""
    names = _named_jobs(installation.config)
    messages = installation.read_store(lambda reads: reads.warnings.without_job(names)) or {}
    places = names_at(config_files(installation.path)) if messages else {}
    for name, message in messages.items():
        yield Problem(Level.PROBLEM, places.get(name, "config"), message)


def _named_jobs(config: Config) -> list[str]:
    """Job names and patterns of the config."""
    names = [*config.jobs, *job_patterns(config)]
    names += [name for dependency in config.dependencies for name in (*dependency.feeding, dependency.downstream)]
    return names + [terminal for service in config.services.values() for terminal in service.delivered_by]


def schedules(installation: Installation) -> Iterator[Problem]:
    """Yields each dependency and deadline that the schedules in the store contradict, and each refused hold."""

    def contradicted(reads: Queries) -> list[str]:
        faults = edited_config_faults(installation.store_url, reads, estate_settings(installation.config))
        return [*faults, *reads.warnings.refused_holds()]

    yield from (Problem(Level.PROBLEM, "schedule", text) for text in installation.read_store(contradicted) or ())


def schedule_faults(installation: Installation) -> Iterator[Problem]:
    """Yields a note for each job of the store by whose schedule no start is expected."""
    faults = installation.read_store(lambda reads: reads.jobs.schedule_faults()) or {}
    yield from (Problem(Level.NOTE, name, fault) for name, fault in faults.items())


def unverified_names(installation: Installation) -> Iterator[Problem]:
    """Yields a note with the systems whose job names cannot be verified: the store has no inventory of them."""
    systems = {name.partition("/")[0] for name in _named_jobs(installation.config)} & installation.config.systems.keys()
    systems -= installation.read_store(lambda reads: reads.warnings.listed_systems()) or set()
    if not systems or (installation.store_error and not installation.awaits_engine):
        return
    text = "job names not verified: no inventory yet of "
    if not installation.engine_runs:
        fix = '"headway engine", then "headway check" again after the first poll'
        yield Problem(Level.NOTE, "config", text + ", ".join(sorted(systems)), fix)
        return
    targets = installation.read_store(lambda reads: reads.estate.systems()) or []
    errors = {target.system: target.whole_error for target in targets if target.error and target.inventory is None}
    unpolled = "its first poll has not ended. Fix: headway check after it"
    text += "; ".join(f"{name}: {errors.get(name, unpolled)}" for name in sorted(systems))
    yield Problem(Level.NOTE, "config", text)


def patterns(installation: Installation) -> Iterator[Problem]:
    """Yields each pattern that matches nothing, and links in notifications that no role may use."""
    texts = [*unmatched_patterns(installation.config), unusable_links(installation.config)]
    yield from (Problem(Level.PROBLEM, "config", text) for text in texts if text)


def calendars(installation: Installation) -> Iterator[Problem]:
    """Yields each calendar on which no day counts, with the services and jobs that use it."""
    config, today = installation.config, installation.now.date()
    for calendar in config.declared.calendars:
        if next_day(calendar, today - timedelta(days=1)) is None:
            users = [f"service {name}" for name, used in config.services.items() if used.calendar == calendar.name]
            users += [f"job {name}" for name, used in config.jobs.items() if used.calendar == calendar.name]
            of = f" (of {', '.join(users)})" if users else ""
            yield Problem(Level.PROBLEM, f'calendar "{calendar.name}"{of}', no_days_fault(today))


def clock_changes(installation: Installation) -> Iterator[Problem]:
    """Yields a note for each clock change that is the next, within a year, to skip or repeat a configured time, with
    all such times of its zone and what counts then."""
    today = installation.now.date()
    notes: dict[tuple[str, str], list[str]] = {}
    for key, at, name in _configured_times(installation.config):
        zone = zone_of(name)
        for day, counts, twice in islice(clock_change_dates(at, zone, today, CLOCK_CHANGE_HORIZON.days), 1):
            local = counts.astimezone(zone)
            effect = (
                f"these times occur twice and the first one counts, in {local:%Z}"
                if twice
                else f"these times do not exist and the time of the change counts, {local:%H:%M %Z}"
            )
            notes.setdefault((f"clock change of {day} in {name}", effect), []).append(f"{key} {at:%H:%M}")
    for (change, effect), times in notes.items():
        yield Problem(Level.NOTE, change, f"{effect}: {', '.join(times)}")


def _configured_times(config: Config) -> Iterator[tuple[str, time, str]]:
    """(key in the config, time of day, its zone)."""
    for name, service in config.services.items():
        if service.promise.deadline.after_start is None:
            yield f"services.{name}.deadline", service.deadline, service.zone
        if service.promise.sla is not None and service.promise.sla.at is not None:
            yield f"services.{name}.sla", service.promise.sla.at, service.zone
    for route in config.declared.alerting.routes:
        if route.quiet is not None:
            yield f"routes.{route.name}.quiet_hours.to", route.quiet.ends, route.quiet.zone
    for system in config.systems.values():
        for step, options in getattr(system.options, "steps", {}).items():
            yield f"systems.{system.name}.steps.{step}.at", options.at, system.options.zone


def cutoffs(installation: Installation) -> Iterator[Problem]:
    """Yields a note for each service whose day begins at another time than that of a system that delivers it: runs near
    it count for different business dates."""
    for name, service in installation.config.services.items():
        for system in dict.fromkeys(job.partition("/")[0] for job in service.delivered_by):
            known = installation.config.systems.get(system)
            if known is not None and known.settings.cutoff != service.cutoff:
                text = (
                    f"is {service.cutoff:%H:%M}, systems.{system}.cutoff {known.settings.cutoff:%H:%M}: a run between"
                    " them counts for another date there"
                )
                yield Problem(Level.NOTE, f"services.{name}.cutoff", text, "the same cutoff in both")


def unencrypted_transport(installation: Installation) -> Iterator[Problem]:
    """Yields a note for systems and data checks whose requests cross a network in plain text."""
    config = installation.config
    systems = [name for name, system in config.systems.items() if _is_unencrypted(system.options)]
    checks = [name for name, settings in config.checks.items() if _is_unencrypted(settings)]
    text = "plain_http = true: requests and replies cross the network unencrypted"
    for subject in filter(None, (_grouped("system", systems), _grouped("check", checks))):
        yield Problem(Level.NOTE, subject, text)


def _is_unencrypted(options: object) -> bool:
    """True if plain_http lets these settings use an address beyond this machine."""
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
    return f"{len(names)} {noun}s ({', '.join(names[:MAX_NAMES])}{ending})"


def machine_bound_targets(installation: Installation) -> Iterator[Problem]:
    """Yields a note for targets that engines on other machines cannot poll, where several may share the store."""
    if not installation.store_url.startswith(POSTGRES_URLS):
        return
    local, loopback = list[str](), list[str]()
    for system in installation.config.systems.values():
        targets = [ConnectorTarget(0, system, target) for target in system.kind.targets(system.options)]
        local += [target.name for target in targets if target.is_local and system.kind.listen is None]
        addresses = loopback_addresses(system.options.model_dump())
        loopback += [f"{system.name} at {address}" for address in addresses[:1]]
    if local:
        text = "polled only by the engine that leads, on its own machine"
        yield Problem(Level.NOTE, _grouped("target", local), text, "with engines on several machines, add an address")
    if loopback:
        text, fix = "a different server on each machine", "with engines on several machines, name the server's host"
        yield Problem(Level.NOTE, _grouped("system", loopback), text, fix)


def loopback_addresses(options: object) -> list[str]:
    """Hosts and URLs among the settings of a system that lead to the machine itself."""
    if isinstance(options, Mapping):
        return [address for value in options.values() for address in loopback_addresses(value)]
    if isinstance(options, list | tuple):
        return [address for value in options for address in loopback_addresses(value)]
    text = options if isinstance(options, str) else ""
    host = urlsplit(text).hostname if "://" in text else text
    return [text] if host and is_loopback(host) else []
