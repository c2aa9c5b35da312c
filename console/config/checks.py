"""`[checks]`: each by its kind, and what names them or is named by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from console.clean import clean_line
from console.config.check_kinds import FileSettings, HttpSettings, ObjectSettings, SqlSettings
from console.config.check_settings import CheckSettings
from console.config.checking import check
from console.config.models import SystemConfig
from console.config.reading import Reading, Table
from console.config.references import near
from console.model.checks import Check

KINDS: Mapping[str, type[CheckSettings]] = {
    "sql": SqlSettings,
    "file": FileSettings,
    "http": HttpSettings,
    "object": ObjectSettings,
}


def read_checks(document: Table, reading: Reading) -> dict[str, CheckSettings]:
    """The checks without faults, by name, in the order of the file."""
    return dict(_checked(document.get("checks", {}), reading))


def declared_checks(checks: Mapping[str, CheckSettings], document: Table) -> tuple[Check, ...]:
    """What decisions see of them."""
    return tuple(one.declared(name, zone_of(name, document)) for name, one in checks.items())


def zone_of(name: str, document: Table) -> str:
    """The zone of the first service that waits for the check."""
    for service in document.get("services", {}).values():
        if isinstance(service, dict) and name in _names(service, "ready"):
            return str(service.get("timezone", "UTC"))
    return "UTC"


def check_checks(
    checks: Mapping[str, CheckSettings], systems: Mapping[str, SystemConfig], document: Table, reading: Reading
) -> None:
    """Whoever waits for a check names one; and the system by whose door a check looks is there, and can."""
    known = list(document.get("checks", {}))
    for key, name in _waiting(document):
        if name not in known:
            reading.fault(key, f'no check "{name}". {near(name, known, "checks")}')
        elif key[0] == "dependencies" and name in checks and checks[name].severity == "warn":
            reading.fault(key, f'"{name}" only warns, and can keep nobody waiting. Write severity = "fail" there.')
    for name, one in checks.items():
        _check_door(name, one, systems, document, reading)


def _checked(tables: Table, reading: Reading) -> Iterator[tuple[str, CheckSettings]]:
    for name, table in tables.items():
        key = ("checks", name)
        if not name.strip() or clean_line(name) != name:
            reading.fault(key, f"{name!a} holds what cannot be shown or typed. Rename it.")
        if not isinstance(table, dict) or "kind" not in table:
            reading.fault(key, f'has no kind. Add kind = "…", one of: {", ".join(KINDS)}.')
        elif str(table["kind"]) not in KINDS:
            reading.fault((*key, "kind"), f'no kind "{table["kind"]}". {near(str(table["kind"]), KINDS)}')
        elif (found := check(KINDS[str(table["kind"])], table, key, reading)) is not None:
            yield name, found


def _check_door(
    name: str, one: CheckSettings, systems: Mapping[str, SystemConfig], document: Table, reading: Reading
) -> None:
    used, key = getattr(one, "system", None), ("checks", name, "system")
    if used is None:
        return
    if used not in document.get("systems", {}):
        reading.fault(key, f'no system "{used}". {near(used, document.get("systems", {}))}')
        return
    system = systems.get(used)
    if system is None:
        return
    if system.settings.kind not in one.systems:
        words = f'"{used}" is of kind "{system.settings.kind}"; a check of kind "{one.kind}" looks by the door of'
        reading.fault(key, f"{words} {', '.join(one.systems)}. Name another, or say where it is here.")
    target = getattr(one, "target", None)
    if target is not None and target not in system.targets:
        reading.fault(("checks", name, "target"), f'"{used}" has no "{target}". {near(target, system.targets)}')


def _waiting(document: Table) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where a check is named, and its name."""
    for service, table in document.get("services", {}).items():
        for name in _names(table, "ready"):
            yield ("services", service, "ready"), name
    for number, table in enumerate(document.get("dependencies", []), 1):
        named = table.get("check") if isinstance(table, dict) else None
        if isinstance(named, str) and named:
            yield ("dependencies", str(number), "check"), named


def _names(table: object, key: str) -> list[str]:
    value = table.get(key) if isinstance(table, dict) else None
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
