"""Names in a config that point at other parts of it: systems, services, routes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from connectors.contract import Capability
from console.config.alert_references import check_alerting
from console.config.edges import find_cycle
from console.config.models import Config, DependencySettings
from console.config.near import near as near
from console.config.reading import Reading, Table
from console.model.ids import split_job_name


def check_references(
    config: Config, document: Table, numbered: Mapping[int, DependencySettings], reading: Reading
) -> None:
    """Names that point at other parts of the config, also from tables that have other faults; jobs themselves are
    matched against the inventory later. `numbered`: the dependencies without faults, by their place in the document."""
    system_names, route_names = list(document.get("systems", {})), list(document.get("routes", {}))

    def system_of(name: str, key: tuple[str, ...]) -> None:
        try:
            system = split_job_name(name)[0]
        except ValueError as error:
            if key[0] == "jobs":  # elsewhere the model has told it
                reading.fault(key, f"{error}.")
            return
        if system not in system_names:
            reading.fault(key, f'no system "{system}" in "{name}". {near(system, system_names)}')

    def routes(names: Iterable[str], key: tuple[str, ...]) -> None:
        for name in names:
            if name not in route_names:
                reading.fault(key, f'no route "{name}". {near(name, route_names, "routes")}')

    _check_calendars(document, reading)
    for name, table in document.get("jobs", {}).items():
        system_of(name, ("jobs", name))
        routes(_strings(table, "notify"), ("jobs", name, "notify"))
    for name, table in document.get("services", {}).items():
        for terminal in _strings(table, "delivered_by"):
            system_of(terminal, ("services", name, "delivered_by"))
        deadline = table.get("deadline") if isinstance(table, dict) else None
        if isinstance(deadline, dict) and isinstance(deadline.get("of"), str):
            system_of(deadline["of"], ("services", name, "deadline"))
        routes(_strings(table, "notify"), ("services", name, "notify"))
    _check_fallbacks(document, routes, reading)
    if config.alerts.default_route:
        routes((config.alerts.default_route,), ("alerts", "default_route"))
    if config.alerts.shadow_route:
        routes((config.alerts.shadow_route,), ("alerts", "shadow_route"))
        shadow = config.routes.get(config.alerts.shadow_route)
        if shadow is not None and shadow.fallback:
            words = f'route "{config.alerts.shadow_route}" has a fallback: what is in shadow would be handed on to it'
            reading.fault(("alerts", "shadow_route"), f"{words}. Name a route without one")
    check_alerting(config, document, routes, reading)
    _check_dependencies(config, document, numbered, system_of, reading)
    _check_permissions(document, system_names, list(document.get("services", {})), reading)


def _check_permissions(document: Table, systems: list[str], services: list[str], reading: Reading) -> None:
    """What a permission is limited to is there: a limit to a name that nothing has would permit nothing, silently."""
    for number, table in enumerate(document.get("permissions", []), 1):
        for key, known in (("systems", systems), ("services", services)):
            for pattern in _strings(table, key):
                if not fits_any(pattern, known):
                    words = f'no {key.removesuffix("s")} fits "{pattern}". {near(pattern, known)}'
                    reading.fault(("permissions", str(number), key), words)


def _check_calendars(document: Table, reading: Reading) -> None:
    """The calendar of a job or service is one of the document's."""
    known = list(document.get("calendars", {}))
    for top in ("jobs", "services"):
        for name, table in document.get(top, {}).items():
            calendar = table.get("calendar") if isinstance(table, dict) else None
            if isinstance(calendar, str) and calendar and calendar not in known:
                words = f'no calendar "{calendar}". {near(calendar, known, "calendars")}'
                reading.fault((top, name, "calendar"), words)


def fits_any(pattern: str, names: Iterable[str]) -> bool:
    """True where any of the names fits the pattern: * for any text, nothing else is special."""
    fits = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL).fullmatch
    return any(fits(name) for name in names)


def _check_fallbacks(document: Table, routes: Any, reading: Reading) -> None:
    """Every fallback is a route, and none leads back to where it began."""
    tables = document.get("routes", {})
    leads = {name: table["fallback"] for name, table in tables.items()
             if isinstance(table, dict) and isinstance(table.get("fallback"), str) and table["fallback"]}  # fmt: skip
    for name, fallback in leads.items():
        routes((fallback,), ("routes", name, "fallback"))
    cycle = find_cycle(list(leads.items()))
    if cycle:
        path = " → ".join([*cycle, cycle[0]])
        reading.fault(
            ("routes", cycle[0], "fallback"), f"fallbacks lead back to their route: {path}. Remove one of them."
        )


def _strings(table: Any, key: str) -> list[str]:
    """The strings of a list in a table as it was written; none where it is anything else."""
    value = table.get(key) if isinstance(table, dict) else None
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _check_dependencies(
    config: Config, document: Table, numbered: Mapping[int, DependencySettings], system_of: Any, reading: Reading
) -> None:
    for number, table in enumerate(document.get("dependencies", []), 1):
        key = ("dependencies", str(number))
        for end, name in _ends(table):
            system_of(name, (*key, end))
        if number in numbered:
            _check_mode(config, numbered[number], key, reading)
            _check_names(numbered[number], document, key, reading)


def _ends(table: Any) -> list[tuple[str, str]]:
    """Upstreams and downstream as they were written, by their key, where they are names."""
    found = [(end, table.get(end)) for end in ("upstream", "downstream")] if isinstance(table, dict) else []
    named = [(end, name) for end, name in found if isinstance(name, str)]
    return named + [("upstreams", name) for name in _strings(table, "upstreams")]


def _check_names(one: DependencySettings, document: Table, key: tuple[str, ...], reading: Reading) -> None:
    """The calendar that it names is declared; `config.checks` looks for its check."""
    known = document.get("calendars", {})
    if one.calendar and one.calendar not in known:
        words = f'no calendar "{one.calendar}". {near(one.calendar, known, "calendars")}'
        reading.fault((*key, "calendar"), words)


def _check_mode(config: Config, one: DependencySettings, key: tuple[str, ...], reading: Reading) -> None:
    """hold and trigger need a downstream that can be held and started; "observe" needs nothing."""
    system = config.systems.get(split_job_name(one.downstream)[0])
    if one.mode == "observe" or system is None:
        return
    for needed in (Capability.HOLD, Capability.START):
        if needed not in system.capabilities:
            why = system.missing.get(needed) or f"{system.kind.title} cannot {needed}"
            said = why.rstrip(".")
            reading.fault((*key, "mode"), f'"{one.mode}" cannot work on "{one.downstream}": {said}. Write "observe".')
            return
