"""Loads an estate: files, tables, kinds, references. Bad config changes nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from connectors import registry
from console.config.alerting import InhibitSettings, RotaSettings, alerting
from console.config.checking import check, listed, named
from console.config.checks import check_checks, read_checks
from console.config.console_parts import console_text
from console.config.contradictions import check_approval
from console.config.declaring import DECLARING, declared
from console.config.edges import check_dependencies
from console.config.models import (
    ActingSettings,
    AlertSettings,
    Config,
    DependencySettings,
    EstateSettings,
    JobSettings,
    PermissionSettings,
    RouteSettings,
    ServiceSettings,
    SystemConfig,
    SystemSettings,
)  # fmt: skip
from console.config.reading import ConfigFaults, Reading, Table, read_all
from console.config.references import check_references, near
from console.config.scopes import check_scopes


def load_config(path: Path) -> Config:
    """The checked estate in a file or a folder. Raises ConfigFaults with every fault found."""
    reading = Reading(default=path)
    document = read_all(path, reading)
    if reading.unread:
        raise ConfigFaults(reading.faults)
    _unknown_tables(document, reading)
    config = _build(path, document, reading)
    if reading.faults:
        raise ConfigFaults(sorted(reading.faults, key=lambda one: (one.file, one.line or 0)))
    return config


TABLES = (
    "estate", "systems", "jobs", "dependencies", "services", "routes", "alerts", "permissions", "acting", "inhibit",
    "rotas", "console", "views", *DECLARING,
)  # fmt: skip


def _unknown_tables(document: Table, reading: Reading) -> None:
    for top in document:
        if top not in TABLES:
            reading.fault((top,), f"unknown table. {near(top, TABLES)}")


def _build(path: Path, document: Table, reading: Reading) -> Config:
    estate = check(EstateSettings, document.get("estate", {}), ("estate",), reading)
    systems = dict(_systems(document.get("systems", {}), reading))
    jobs = named(JobSettings, document, "jobs", reading)
    services = named(ServiceSettings, document, "services", reading)
    routes = named(RouteSettings, document, "routes", reading)
    alerts = check(AlertSettings, document.get("alerts", {}), ("alerts",), reading)
    acting = check(ActingSettings, document.get("acting", {}), ("acting",), reading)
    dependencies = listed(DependencySettings, document, "dependencies", reading)
    permissions = listed(PermissionSettings, document, "permissions", reading)
    inhibit = listed(InhibitSettings, document, "inhibit", reading)
    rotas = named(RotaSettings, document, "rotas", reading)
    if "systems" not in document:
        reading.fault(("systems",), 'no system is configured. Add [systems.NAME] with kind = "cron" or another kind.')
    digest = hashlib.sha256("\0".join(reading.texts[file] for file in sorted(reading.texts)).encode()).hexdigest()
    estate, alerts, acting = estate or EstateSettings(), alerts or AlertSettings(), acting or ActingSettings()
    checks = read_checks(document, reading)
    said = alerting(routes, inhibit.values(), rotas, alerts.noise_report)
    config = Config(
        path, digest, estate, systems, jobs, tuple(dependencies.values()), services, routes, alerts,
        tuple(permissions.values()), acting, replace(declared(document, reading, checks), alerting=said), rotas,
        checks, console_text(document, reading),
    )  # fmt: skip
    check_references(config, document, dependencies, reading)
    check_scopes(config, document, reading)
    check_checks(checks, systems, document, reading)
    check_dependencies(dependencies, reading)
    if len(permissions) == len(document.get("permissions", [])):
        check_approval(acting, config.permissions, reading)
    return config


def _systems(tables: Table, reading: Reading) -> Iterator[tuple[str, SystemConfig]]:
    for name, table in tables.items():
        key = ("systems", name)
        if not isinstance(table, dict) or "kind" not in table:
            reading.fault(key, f'has no kind. Add kind = "…", one of: {", ".join(registry.kinds())}.')
            continue
        if re.fullmatch(r"[A-Za-z0-9_.-]+", name) is None:
            reading.fault(key, "a system's name has letters, digits, dot, dash and underscore only. Rename it.")
            continue
        common = {k: v for k, v in table.items() if k in SystemSettings.model_fields}
        settings = check(SystemSettings, common, key, reading)
        own = {k: v for k, v in table.items() if k not in common}
        yield from _options(name, str(table["kind"]), settings, own, reading)


def _options(
    name: str, word: str, settings: SystemSettings | None, own: Table, reading: Reading
) -> Iterator[tuple[str, SystemConfig]]:
    """The kind's own keys are checked also where the common ones have faults: all are told at once."""
    key = ("systems", name)
    try:
        kind = registry.load(word)
    except registry.UnknownKind as error:
        reading.fault((*key, "kind"), str(error))
        return
    options = check(kind.options, own, key, reading, also=tuple(SystemSettings.model_fields))
    if settings is not None and options is not None:
        yield name, SystemConfig(name, settings, kind, options)
