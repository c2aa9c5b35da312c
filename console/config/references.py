"""Names in a config that refer to other parts of it: systems, services, routes, calendars, rotas, jobs.

An exact name that does not exist is a fault: its setting would never apply. A pattern may match later, when a
system or a job is added: until then it is a warning of `headway check`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from connectors.sdk.states import Capability
from console.config.dependencies import find_cycle
from console.config.document import ConfigDocument, Table, suggestion
from console.config.estate import Config, DependencySettings
from console.domain.ids import split_job_name

RouteCheck = Callable[[Iterable[str], tuple[str, ...]], None]


def check_alerting(config: Config, document: Table, routes: RouteCheck, reading: ConfigDocument) -> None:
    """`routes` reports unknown route names."""
    for name, table in document.get("routes", {}).items():
        for target in _strings(table, "escalate_to"):
            routes((target,), ("routes", name, "escalate_to"))
            if target == name:
                reading.fault(("routes", name, "escalate_to"), f'"{name}" escalates to itself. Name another route.')
        rota = table.get("rota") if isinstance(table, dict) else None
        if isinstance(rota, str) and rota and rota not in document.get("rotas", {}):
            problem = f'no rota "{rota}". {suggestion(rota, document.get("rotas", {}), "rotas")}'
            reading.fault(("routes", name, "rota"), problem)
    for name, table in document.get("rotas", {}).items():
        _check_people(document, name, table, routes, reading)
    if config.alerts.noise_report:
        routes((config.alerts.noise_report,), ("alerts", "noise_report"))


def _check_people(document: Table, name: str, table: Any, routes: RouteCheck, reading: ConfigDocument) -> None:
    """Everybody's route is there, and is not one that asks a rota again."""
    people = table.get("people") if isinstance(table, dict) else None
    for person, route in people.items() if isinstance(people, dict) else ():
        if not isinstance(route, str):
            continue
        routes((route,), ("rotas", name, "people"))
        settings = document.get("routes", {}).get(route)
        if isinstance(settings, dict) and settings.get("rota"):
            problem = f'the route "{route}" of {person} has a rota of its own'
            reading.fault(("rotas", name, "people"), f"{problem}. Name one whose URLs are theirs.")


def check_references(
    config: Config, document: Table, numbered: Mapping[int, DependencySettings], reading: ConfigDocument
) -> None:
    """Names that point at other parts of the config, also from tables that have other faults; jobs themselves are
    matched against the inventory later. `numbered`: the dependencies without faults, by their place in the document."""
    system_names, route_names = list(document.get("systems", {})), list(document.get("routes", {}))

    def system_of(name: str, key: tuple[str, ...]) -> None:
        try:
            system = split_job_name(name)[0]
        except ValueError as error:
            if key[0] == "jobs":  # otherwise reported by the settings class
                reading.fault(key, f"{error}.")
            return
        if system not in system_names:
            reading.fault(key, f'no system "{system}" in "{name}". {suggestion(system, system_names)}')

    def routes(names: Iterable[str], key: tuple[str, ...]) -> None:
        for name in names:
            if name not in route_names:
                reading.fault(key, f'no route "{name}". {suggestion(name, route_names, "routes")}')

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
            problem = f'route "{config.alerts.shadow_route}" has a fallback, which would receive alerts in shadow'
            reading.fault(("alerts", "shadow_route"), f"{problem}. Name a route without one")
    check_alerting(config, document, routes, reading)
    _check_dependencies(config, document, numbered, system_of, reading)
    _check_permissions(document, system_names, list(document.get("services", {})), reading)


def _check_permissions(document: Table, systems: list[str], services: list[str], reading: ConfigDocument) -> None:
    """Faults of limits of permissions: a limit to an unknown name would permit nothing, silently."""
    for number, table in enumerate(document.get("permissions", []), 1):
        for key, known in (("systems", systems), ("services", services)):
            for pattern in _strings(table, key):
                if not matches_any(pattern, known):
                    problem = f'no {key.removesuffix("s")} fits "{pattern}". {suggestion(pattern, known)}'
                    reading.fault(("permissions", str(number), key), problem)


def _check_calendars(document: Table, reading: ConfigDocument) -> None:
    """The calendar of a job or service is one of the document's."""
    known = list(document.get("calendars", {}))
    for top in ("jobs", "services"):
        for name, table in document.get(top, {}).items():
            calendar = table.get("calendar") if isinstance(table, dict) else None
            if isinstance(calendar, str) and calendar and calendar not in known:
                problem = f'no calendar "{calendar}". {suggestion(calendar, known, "calendars")}'
                reading.fault((top, name, "calendar"), problem)


def matches_any(pattern: str, names: Iterable[str]) -> bool:
    """True where any of the names fits the pattern: * for any text, nothing else is special."""
    fits = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL).fullmatch
    return any(fits(name) for name in names)


def _check_fallbacks(document: Table, routes: Any, reading: ConfigDocument) -> None:
    """Every fallback is a route, and none leads back to where it began."""
    tables = document.get("routes", {})
    leads = {name: table["fallback"] for name, table in tables.items()
             if isinstance(table, dict) and isinstance(table.get("fallback"), str) and table["fallback"]}  # fmt: skip
    for name, fallback in leads.items():
        routes((fallback,), ("routes", name, "fallback"))
    cycle = find_cycle(list(leads.items()))
    if cycle:
        path = " → ".join([*cycle, cycle[0]])
        reading.fault(("routes", cycle[0], "fallback"), f"fallback cycle: {path}. Remove one of them.")


def _strings(table: Any, key: str) -> list[str]:
    """The strings of a list in a table as it was written; none where it is anything else."""
    value = table.get(key) if isinstance(table, dict) else None
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _check_dependencies(
    config: Config, document: Table, numbered: Mapping[int, DependencySettings], system_of: Any, reading: ConfigDocument
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
    values = [(end, table.get(end)) for end in ("upstream", "downstream")] if isinstance(table, dict) else []
    named = [(end, name) for end, name in values if isinstance(name, str)]
    return named + [("upstreams", name) for name in _strings(table, "upstreams")]


def _check_names(
    dependency: DependencySettings, document: Table, key: tuple[str, ...], reading: ConfigDocument
) -> None:
    """The calendar that it names is declared; `config.checks` looks for its check."""
    known = document.get("calendars", {})
    if dependency.calendar and dependency.calendar not in known:
        problem = f'no calendar "{dependency.calendar}". {suggestion(dependency.calendar, known, "calendars")}'
        reading.fault((*key, "calendar"), problem)


def _check_mode(config: Config, dependency: DependencySettings, key: tuple[str, ...], reading: ConfigDocument) -> None:
    """hold and trigger need a downstream that can be held and started; "observe" needs nothing."""
    system = config.systems.get(split_job_name(dependency.downstream)[0])
    if dependency.mode == "observe" or system is None:
        return
    for needed in (Capability.HOLD, Capability.START):
        if needed not in system.capabilities:
            why = (system.missing.get(needed) or f"{system.kind.title} cannot {needed}").rstrip(".")
            reading.fault(
                (*key, "mode"),
                f'"{dependency.mode}" cannot work on "{dependency.downstream}": {why}. Write "observe".',
            )
            return


TIERS = ("1", "2", "3", "4", "5")
_ANYTHING = "*"
Key = tuple[str, ...]


def check_scopes(config: Config, document: Table, reading: ConfigDocument) -> None:
    """Faults of exact names. Those in maintenances and exceptions are reported by `config.maintenance`."""
    systems = list(document.get("systems", {}))
    for top in ("maintenance", "exceptions"):
        for number, table in enumerate(document.get(top, []), 1):
            for name in _exact_names(table, "jobs"):
                _check_job(name, (top, str(number), "jobs"), systems, reading)
            for name in _exact_names(table, "targets"):
                _check_target(name, (top, str(number), "targets"), config, systems, reading)
    for pool, table in document.get("pools", {}).items():
        for name in _exact_names(table, "jobs"):
            _check_job(name, ("pools", str(pool), "jobs"), systems, reading)
    for number, table in enumerate(document.get("inhibit", []), 1):
        for side in ("by", "what"):
            matchers = table.get(side) if isinstance(table, dict) else None
            for name, value in matchers.items() if isinstance(matchers, dict) else ():
                if isinstance(value, str) and _ANYTHING not in value:
                    _check_matcher(name, value, ("inhibit", str(number), side), document, reading)


def unmatched_patterns(config: Config) -> list[str]:
    """For each wildcard pattern without a match: its place, and the known names."""
    return [
        f'{place} = "{pattern}" fits nothing yet. Known: {", ".join(sorted(known)) or "none"}.'
        for place, pattern, known in _patterns(config)
        if _ANYTHING in pattern and not matches_any(pattern, known)
    ]


def job_patterns(config: Config) -> list[str]:
    """Names and patterns of jobs, as maintenances, exceptions, inhibit rules and rules have them."""
    declared = config.declared
    patterns = [pattern for window in declared.maintenance for pattern in window.jobs]
    patterns += [pattern for exception in declared.exceptions for pattern in exception.jobs]
    patterns += [pattern for pool in declared.pools for pattern in pool.jobs]
    matchers = [matcher for rule in declared.alerting.inhibit for matcher in (*rule.by, *rule.what)]
    patterns += [pattern for key, pattern in matchers if key == "job"]
    return patterns + [pattern for rule in declared.rules for where in rule.where for pattern in where.jobs]


def _patterns(config: Config) -> Iterator[tuple[str, str, list[str]]]:
    """(place, pattern, names it may match)."""
    systems, services = list(config.systems), list(config.services)
    targets = [f"{system.name}/{target}" for system in config.systems.values() for target in system.targets]
    for number, window in enumerate(config.declared.maintenance, 1):
        place = f"maintenance {number}"
        yield from ((f"{place}: systems", system, systems) for system in window.systems)
        yield from ((f"{place}: targets", target, targets) for target in window.targets)
    for number, planned in enumerate(config.declared.exceptions, 1):
        yield from ((f"exceptions {number}: services", service, services) for service in planned.services)
    for number, rule in enumerate(config.declared.alerting.inhibit, 1):
        known = {"system": systems, "service": services, "tier": list(TIERS)}
        for side, matchers in (("by", rule.by), ("what", rule.what)):
            yield from (
                (f"inhibit {number}: {side}.{key}", value, known[key]) for key, value in matchers if key in known
            )


def _check_job(name: str, key: Key, systems: list[str], reading: ConfigDocument) -> None:
    try:
        system = split_job_name(name)[0]
    except ValueError:
        reading.fault(key, f'"{name}" fits no job name. Write system/native-id, * for any text.')
        return
    if system not in systems:
        reading.fault(key, f'no system "{system}" in "{name}". {suggestion(system, systems)}')


def _check_target(name: str, key: Key, config: Config, systems: list[str], reading: ConfigDocument) -> None:
    system, slash, target = name.partition("/")
    if not slash:
        reading.fault(key, f'"{name}" is not a target. Write system/target, as `headway status` shows it.')
    elif system not in systems:
        reading.fault(key, f'no system "{system}" in "{name}". {suggestion(system, systems)}')
    elif system in config.systems and target not in config.systems[system].targets:
        reading.fault(key, f'"{system}" has no "{target}". {suggestion(target, config.systems[system].targets)}')


def _check_matcher(name: str, value: str, key: Key, document: Table, reading: ConfigDocument) -> None:
    known = {"system": list(document.get("systems", {})), "service": list(document.get("services", {})), "tier": TIERS}
    if name == "job":
        _check_job(value, key, list(document.get("systems", {})), reading)
    elif name in known and value not in known[name]:
        reading.fault(key, f'no {name} "{value}". {suggestion(value, known[name], f"{name}s")}')


def _exact_names(table: Any, key: str) -> list[str]:
    """The names of a list as it was written, without the patterns."""
    value = table.get(key) if isinstance(table, dict) else None
    return [one for one in value if isinstance(one, str) and _ANYTHING not in one] if isinstance(value, list) else []
