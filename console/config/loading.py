"""Loads an estate: files, tables, values, references. All faults are reported at once; bad config changes nothing."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from connectors.sdk import registry
from connectors.sdk.contract import ConnectorKind
from console.config.alerts import ROUTE, RotaSettings, alerting
from console.config.calendars import CALENDAR, EXCEPTION, MAINTENANCE
from console.config.checks import CheckSettings, check_checks, read_checks, zone_of
from console.config.dependencies import check_dependencies
from console.config.document import ConfigDocument, ConfigFaults, Table, read_files, suggestion
from console.config.keymap import read_keys
from console.config.policies import policies
from console.config.profiles import read_profile
from console.config.references import check_references
from console.config.rules import rules
from console.config.saved_views import read_view
from console.config.sections import (
    ACTING,
    JOB,
    PERMISSION,
    POOL,
    RETENTION,
    AlertSettings,
    Config,
    DependencySettings,
    EndpointSettings,
    EstateSection,
    RejectedDependencySettings,
    SlackSettings,
    StatusPageSettings,
    SystemConfig,
    SystemSettings,
)
from console.config.services import SERVICE
from console.config.validation import (
    listed_values,
    named_values,
    section_value,
    validate,
    validate_list,
    validate_named,
    validate_section,
)
from console.domain.access import ActingRules, PermissionRule, Role
from console.domain.settings import Declared, RetentionRules

NO_TEXTS: Mapping[Path, str] = MappingProxyType({})


def check_approval(acting: ActingRules, permissions: tuple[PermissionRule, ...], reading: ConfigDocument) -> None:
    """Required approvals must be possible. Without any permission everybody may approve another person's actions."""
    for tier in acting.approval_tiers if permissions else ():
        if not any(
            permission.role >= Role.APPROVE and (not permission.tiers or tier in permission.tiers)
            for permission in permissions
        ):
            problem = f"tier {tier} requires another person's approval, and no [[permissions]] permits to approve there"
            fix = 'Add one with role = "approve", or take the tier out.'
            reading.fault(("acting", "approval_tiers"), f"{problem}. {fix}")


DECLARED_TABLES = (
    "calendars",
    "checks",
    "maintenance",
    "exceptions",
    "pools",
    "rejected_dependencies",
    "rules",
    "policies",
)


def declared_values(document: Table, reading: ConfigDocument, checks: Mapping[str, CheckSettings]) -> Declared:
    """The declarations of the document; faults go into the reading. `checks`: those without faults."""
    return Declared(
        calendars=tuple(named_values(CALENDAR, document, "calendars", reading).values()),
        checks=tuple(check.declared(name, zone_of(name, document)) for name, check in checks.items()),
        maintenance=listed_values(MAINTENANCE, document, "maintenance", reading),
        exceptions=listed_values(EXCEPTION, document, "exceptions", reading),
        pools=tuple(named_values(POOL, document, "pools", reading).values()),
        rejected_dependencies=tuple(
            (pair.upstream, pair.downstream)
            for pair in validate_list(RejectedDependencySettings, document, "rejected_dependencies", reading).values()
        ),
        rules=rules(document, reading),
        policies=policies(document, reading),
    )


CONSOLE_KEYS = ("keys",)


def shared_preferences(document: Table, reading: ConfigDocument) -> str:
    """All parts as the store keeps them for the consoles, JSON; empty where none is configured."""
    keys = _keys(document.get("console", {}), reading)
    views = {}
    for name, table in document.get("views", {}).items():
        view, faults = read_view(name, table)
        for field, problem in faults:
            reading.fault(("views", name, *filter(None, [field])), problem)
        if view is not None:
            views[name] = view.fields()
    parts = {name: part for name, part in (("keys", keys), ("views", views)) if part}
    return json.dumps(parts, sort_keys=True) if parts else ""


def _keys(table: Table, reading: ConfigDocument) -> Table:
    for name in table:
        if name not in CONSOLE_KEYS:
            reading.fault(("console", name), f"unknown key. {suggestion(name, CONSOLE_KEYS)}")
    keys = table.get("keys", {})
    if not isinstance(keys, dict):
        reading.fault(("console", "keys"), 'is not a table. Write [console.keys] with rerun = "x" below.')
        return {}
    for fault in read_keys(keys)[1]:
        reading.fault(("console", "keys", fault.name), fault.problem)
    return dict(keys)


def load_config(path: Path, instead: Mapping[Path, str] = NO_TEXTS) -> Config:
    """The checked estate in a file or a folder. Raises ConfigFaults with every fault found. `instead`: texts to read
    instead of those of its files, for a change that is not written yet."""
    reading = ConfigDocument(default=path, instead=instead)
    document = read_files(path, reading)
    if reading.unread:
        raise ConfigFaults(reading.faults)
    for top in document:
        if top not in TABLES:
            below = "Write it below [estate]." if top in EstateSection.model_fields else suggestion(top, TABLES)
            reading.fault((top,), f"unknown table. {below}")
    config = _build(path, document, reading)
    if reading.faults:
        faults = sorted(reading.faults, key=lambda fault: (fault.file, fault.line or 0))
        raise ConfigFaults(faults, reading.profiles)
    return config


TABLES = (
    "estate", "systems", "jobs", "dependencies", "services", "routes", "alerts", "permissions", "acting",
    "retention", "endpoints", "slack", "status_page", "rotas", "console", "views", *DECLARED_TABLES,
)  # fmt: skip


def _build(path: Path, document: Table, reading: ConfigDocument) -> Config:
    estate = validate_section(EstateSection, document, "estate", reading) or EstateSection()
    systems = dict(_systems(document.get("systems", {}), reading))
    jobs = named_values(JOB, document, "jobs", reading)
    services = named_values(SERVICE, document, "services", reading)
    routes = validate_named(ROUTE, document, "routes", reading)
    alerts = validate_section(AlertSettings, document, "alerts", reading) or AlertSettings()
    acting = section_value(ACTING, document, "acting", reading) or ActingRules()
    retention = section_value(RETENTION, document, "retention", reading) or RetentionRules()
    endpoints = validate_section(EndpointSettings, document, "endpoints", reading)
    slack = validate_section(SlackSettings, document, "slack", reading)
    status_page = validate_section(StatusPageSettings, document, "status_page", reading)
    dependencies = validate_list(DependencySettings, document, "dependencies", reading)
    permitted = validate_list(PERMISSION, document, "permissions", reading).values()
    permissions = tuple(rule.domain_value(who=person) for rule in permitted for person in rule.values()["who"])
    rotas = validate_named(RotaSettings, document, "rotas", reading)
    if "systems" not in document:
        reading.fault(("systems",), 'no system is configured. Add [systems.NAME] with kind = "cron" or another kind.')
    texts = [*(reading.texts[file] for file in sorted(reading.texts)), *reading.profiles.values()]
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    checks = dict(read_checks(document.get("checks", {}), reading))
    declared = declared_values(document, reading, checks)
    declared = replace(declared, alerting=alerting(routes, rotas, alerts.link))
    config = Config(
        path, digest, estate, systems, jobs, tuple(dependencies.values()), services, routes, alerts,
        permissions, acting, declared, rotas, checks, retention, endpoints,
        slack, status_page, shared_preferences(document, reading), tuple(reading.profiles),
    )  # fmt: skip
    check_references(config, document, dependencies, reading)
    check_checks(checks, systems, document, reading)
    check_dependencies(dependencies, reading)
    if len(permitted) == len(document.get("permissions", [])):
        check_approval(acting, permissions, reading)
    return config


def _systems(tables: Table, reading: ConfigDocument) -> Iterator[tuple[str, SystemConfig]]:
    for name, table in tables.items():
        key = ("systems", name)
        if not isinstance(table, dict) or "kind" not in table:
            reading.fault(key, f'has no kind. Add kind = "…", one of: {", ".join(registry.kinds())}.')
            continue
        if re.fullmatch(r"[A-Za-z0-9_.-]+", name) is None:
            reading.fault(key, "a system's name has letters, digits, dot, dash and underscore only. Rename it.")
            continue
        common = {k: v for k, v in table.items() if k in SystemSettings.model_fields}
        settings = validate(SystemSettings, common, key, reading)
        own = {k: v for k, v in table.items() if k not in common}
        yield from _options(name, str(table["kind"]), settings, own, reading)


def _options(
    name: str, kind_name: str, settings: SystemSettings | None, own: Table, reading: ConfigDocument
) -> Iterator[tuple[str, SystemConfig]]:
    """Options of the systems without faults. Kind options are checked even with common faults, so that all are reported
    at once."""
    key = ("systems", name)
    try:
        kind = _profile(key, kind_name, reading) if kind_name.endswith(".toml") else registry.load(kind_name)
    except registry.UnknownKind as error:
        reading.fault((*key, "kind"), str(error))
        return
    if kind is None:
        return
    options = validate(kind.options, own, key, reading, also=tuple(SystemSettings.model_fields))
    if settings is not None and options is not None:
        seconds = settings.poll_timeout.total_seconds()
        if kind.poll_problem is not None and (problem := kind.poll_problem(options, seconds)):
            reading.fault(key, f"{problem}.")
            return
        yield name, SystemConfig(name, settings, kind, options)


def _profile(key: tuple[str, ...], place: str, reading: ConfigDocument) -> ConnectorKind | None:
    """The kind of a profile's file; two systems may share it, and two files no kind."""
    path = reading.folder(key) / place
    kind, faults = read_profile(path, reading.profiles)
    reading.profiles.setdefault(path, "")
    reading.faults += [fault for fault in faults if fault not in reading.faults]
    first = path if kind is None else reading.kinds.setdefault(kind.kind, path)
    if kind is not None and first.resolve() != path.resolve():
        reading.fault((*key, "kind"), f'{first} and {path} both make the kind "{kind.kind}". Rename one of them.')
    return kind
