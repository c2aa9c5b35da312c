"""Checked config -> the plain values that the store writes and that decisions see."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from console.config import ActingSettings, Config, PermissionSettings
from console.config.promises import promise
from console.model.rights import Permission, Role, Rules
from console.model.settings import (
    DependencySetting,
    EstateSettings,
    JobSetting,
    ServiceSetting,
    SystemSetting,
)
from console.model.values import Settings
from console.model.wants import Condition, Period, Wants
from console.model.words import EngineDown, Mode, Safety
from console.store.told import Audience


def estate_settings(config: Config) -> EstateSettings:
    """All of a config that the store keeps; no secret and no connector option is in it."""
    return EstateSettings(
        systems=tuple(_system(name, config) for name in config.systems),
        jobs=tuple(_job(name, config) for name in config.jobs),
        dependencies=tuple(_dependencies(config)),
        services=tuple(_service(name, config) for name in config.services),
        permissions=tuple(one for setting in config.permissions for one in _permissions(setting)),
        rules=_rules(config.acting),
        declared=config.declared,
        name=config.estate.name,
        starts_in=config.estate.starts_in,
        digest=config.digest,
        console=config.console,
    )


def _rules(acting: ActingSettings) -> Rules:
    known = acting.model_dump(exclude={"valid_for"})
    return Rules(**known, valid_for_s=acting.valid_for.total_seconds())


def _permissions(one: PermissionSettings) -> list[Permission]:
    """One for each of those whom the setting names."""
    role = Role[one.role.upper()]
    return [Permission(who, role, one.systems, one.services, one.tiers) for who in one.who]


def decision_settings(config: Config) -> Settings:
    default = config.alerts.default_route
    longest = max((one.deadline.rule.reach for one in config.services.values()), default=timedelta(0))
    return Settings(
        default_route=(default,) if default else (),
        shadow_route=config.alerts.shadow_route,
        lookback=Settings().lookback + longest,
    )


def route_words(config: Config) -> dict[str, tuple[str, ...]]:
    """Route -> where each of its URLs comes from, in words."""
    return {name: tuple(url.words for url in route.urls) for name, route in config.routes.items()}


def audience(config: Config) -> Audience:
    """Who is told that a person is needed."""
    return Audience(route_words(config), config.alerts.default_route, config.alerts.shadow_route)


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
    """One for each upstream; what is one gate together carries the same number."""
    for number, one in enumerate(config.dependencies, 1):
        together = one.needed < len(one.feeding)
        gate, need = (str(number), one.needed) if together else ("", 0)
        condition, period = Condition(one.condition), Period(one.period)
        wants = Wants(condition, one.check, period, one.calendar, one.within, gate, need)
        mode, down = Mode(one.mode), EngineDown(one.engine_down)
        for upstream in one.feeding:
            yield DependencySetting(upstream, one.downstream, mode, down, one.hold_lead, one.hold_for, wants)


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
        promise=promise(service.deadline, service.slo, service.sla, service.false_alarm_days),
        calendar=service.calendar,
        ready=service.ready,
    )
