"""Config translated into the plain values that the store writes and that decisions take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from connectors.sdk.secrets import SecretStore
from console.config.sections import Config
from console.domain.dependency import Requirement
from console.domain.estate import EvaluationSettings
from console.domain.settings import DependencySetting, EstateSettings, JobSetting, SystemSetting
from console.engine.notify.acknowledge_link import AcknowledgeLinks
from console.store.alerts import AlertRouting


def estate_settings(config: Config) -> EstateSettings:
    """The part of a config that the store keeps: no secrets, no connector options."""
    return EstateSettings(
        systems=tuple(_system(name, config) for name in config.systems),
        jobs=tuple(_job(job, config) for job in config.jobs.values()),
        dependencies=tuple(_dependencies(config)),
        services=tuple(
            replace(service, notify=config.routes_of(service.owner, service.notify))
            for service in config.services.values()
        ),
        permissions=config.permissions,
        rules=config.acting,
        declared=replace(config.declared, endpoints=tuple(_endpoints(config))),
        name=config.estate.name,
        starts_in=config.estate.starts_in,
        digest=config.digest,
        console=config.console,
    )


def decision_settings(config: Config) -> EvaluationSettings:
    default = config.alerts.default_route
    return EvaluationSettings(
        default_route=(default,) if default else (),
        shadow_route=config.alerts.shadow_route,
        lookback=config.lookback,
        zone=config.zone,
    )


def route_url_sources(config: Config) -> dict[str, tuple[str, ...]]:
    """Route -> source of each of its URLs, as text."""
    return {name: tuple(url.text for url in route.urls) for name, route in config.routes.items()}


def audience(config: Config) -> AlertRouting:
    """Routes of alerts that need a person."""
    return AlertRouting(route_url_sources(config), config.alerts.default_route, config.alerts.shadow_route)


def acknowledge_links(config: Config, secrets: SecretStore) -> AcknowledgeLinks | None:
    """None without a public address. A route names a person if a rota has it for that one alone."""
    settings = config.endpoints
    if settings is None or settings.link_key is None or not settings.public_url:
        return None
    people: dict[str, set[str]] = {}
    for rota in config.rotas.values():
        for person, route in rota.people.items():
            people.setdefault(route, set()).add(person)
    known = {route: next(iter(names)) for route, names in people.items() if len(names) == 1}
    return AcknowledgeLinks(settings.public_url, settings.link_key, secrets, known)


def _endpoints(config: Config) -> Iterator[tuple[str, str]]:
    for name, system in config.systems.items():
        for target in system.targets:
            if endpoint := system.endpoint(target):
                yield f"{name}/{target}", endpoint


def _system(name: str, config: Config) -> SystemSetting:
    system = config.systems[name]
    return SystemSetting(
        name=name,
        kind=system.settings.kind,
        targets=tuple(system.targets),
        zone=system.settings.timezone,
        cutoff=system.settings.cutoff,
        poll_every=system.settings.poll_every,
        capabilities=tuple(sorted(system.capabilities)),
        missing={str(capability): why for capability, why in system.missing.items()},
        starts_held=system.kind.starts_held,
        start_within=system.kind.start_within,
        dates_runs=system.kind.dates_runs,
    )


def _job(job: JobSetting, config: Config) -> JobSetting:
    if job.owner is None and job.notify is None:
        return job
    return replace(job, notify=config.routes_of(job.owner or "", job.notify or ()))


def _dependencies(config: Config) -> Iterator[DependencySetting]:
    """One per upstream; those of one gate share a number."""
    for number, setting in enumerate(config.dependencies, 1):
        together = setting.needed < len(setting.feeding)
        gate, need = (str(number), setting.needed) if together else ("", 0)
        wants = Requirement(
            setting.condition, setting.check, setting.period, setting.calendar, setting.within, gate, need
        )
        for upstream in setting.feeding:
            yield DependencySetting(
                upstream, setting.downstream, setting.mode, setting.engine_down, setting.hold_for, wants
            )
