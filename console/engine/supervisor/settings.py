"""Config translated into the plain values that the store writes and that decisions take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from connectors.sdk.secrets import SecretStore
from console.config.sections import Config
from console.config.services import service_promise
from console.domain.access import ActingRules, PermissionRule, Role
from console.domain.dependency import DependencyMode, EngineDown, Requirement, UpstreamCondition, UpstreamPeriod
from console.domain.estate import EvaluationSettings
from console.domain.job import Safety
from console.domain.settings import DependencySetting, EstateSettings, JobSetting, ServiceSetting, SystemSetting
from console.engine.notify.acknowledge_link import AcknowledgeLinks
from console.store.alerts import AlertRouting


def estate_settings(config: Config) -> EstateSettings:
    """The part of a config that the store keeps: no secrets, no connector options."""
    return EstateSettings(
        systems=tuple(_system(name, config) for name in config.systems),
        jobs=tuple(_job(name, config) for name in config.jobs),
        dependencies=tuple(_dependencies(config)),
        services=tuple(_service(name, config) for name in config.services),
        permissions=tuple(
            PermissionRule(person, Role[setting.role.upper()], setting.systems, setting.services, setting.tiers)
            for setting in config.permissions
            for person in setting.who
        ),
        rules=ActingRules(
            **config.acting.model_dump(exclude={"valid_for"}), valid_for_s=config.acting.valid_for.total_seconds()
        ),
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


def _job(name: str, config: Config) -> JobSetting:
    job = config.jobs[name]
    given = job.model_fields_set
    return JobSetting(
        pattern=name,
        owner=job.owner if "owner" in given else None,
        expected=job.expected,
        runbook=job.runbook if "runbook" in given else None,
        rerun=Safety(job.rerun) if "rerun" in given else None,
        grace=job.grace if "grace" in given else None,
        notify=config.routes_of(job.owner, job.notify) if given & {"owner", "notify"} else None,
        calendar=job.calendar if "calendar" in given else None,
        budget_time=job.budget.time if job.budget else None,
        budget_cost=job.budget.cost if job.budget else None,
    )


def _dependencies(config: Config) -> Iterator[DependencySetting]:
    """One per upstream; those of one gate share a number."""
    for number, setting in enumerate(config.dependencies, 1):
        together = setting.needed < len(setting.feeding)
        gate, need = (str(number), setting.needed) if together else ("", 0)
        condition, period = UpstreamCondition(setting.condition), UpstreamPeriod(setting.period)
        wants = Requirement(condition, setting.check, period, setting.calendar, setting.within, gate, need)
        mode, down = DependencyMode(setting.mode), EngineDown(setting.engine_down)
        for upstream in setting.feeding:
            yield DependencySetting(
                upstream, setting.downstream, mode, down, setting.hold_lead, setting.hold_for, wants
            )


def _service(name: str, config: Config) -> ServiceSetting:
    service = config.services[name]
    return ServiceSetting(
        name=name,
        title=service.title or name,
        delivered_by=service.delivered_by,
        deadline=service.deadline.time or service.cutoff,
        zone=service.timezone,
        cutoff=service.cutoff,
        tier=service.tier,
        owner=service.owner,
        notify=config.routes_of(service.owner, service.notify),
        runbook=service.runbook,
        risk=service.risk,
        promise=service_promise(service.deadline, service.slo, service.sla, service.false_alarm_days),
        calendar=service.calendar,
        ready=service.ready,
    )
