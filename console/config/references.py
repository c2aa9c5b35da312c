"""Names in a config that refer to other parts of it: systems, services, routes, calendars, rotas, jobs.

An exact name that does not exist is a fault: its setting would never apply. A pattern may match later, when a
system or a job is added: until then it is a warning of `headway check`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from connectors.sdk.states import Capability
from console.config.dependencies import find_cycle
from console.config.document import ConfigDocument, Table, suggestion
from console.config.sections import Config, DependencySettings
from console.domain.access import Role
from console.domain.ids import split_job_name
from console.domain.name_pattern import name_matcher

TIERS = ("1", "2", "3", "4", "5")
_ANYTHING = "*"
Key = tuple[str, ...]


class _Names:
    """The names that a document declares, and the faults of names that it does not declare."""

    def __init__(self, document: Table, reading: ConfigDocument) -> None:
        self.document = document
        self.reading = reading

    def declared(self, kind: str) -> Collection[str]:
        """The names of a kind; membership costs the same for any number of them."""
        return TIERS if kind == "tier" else self.document.get(f"{kind}s", {}).keys()

    def check_name(self, kind: str, name: Any, key: Key) -> None:
        """Reports a name that is not declared; a value of another type names nothing."""
        known = self.declared(kind)
        if isinstance(name, str) and name not in known:
            self.reading.fault(key, f'no {kind} "{name}". {suggestion(name, known, f"{kind}s")}')

    def require_job(self, name: str, key: Key, invalid: str = "") -> None:
        """Reports the unknown system of a job, and `invalid` for a text that is not a job name."""
        try:
            system = split_job_name(name)[0]
        except ValueError:
            if invalid:
                self.reading.fault(key, invalid)
            return
        if system not in self.declared("system"):
            self.reading.fault(key, f'no system "{system}" in "{name}". {suggestion(system, self.declared("system"))}')

    def require_scope(self, table: Table, key: Key) -> None:
        """Reports unknown exact names of a table that is limited to systems, services, targets and jobs."""
        for kind in ("system", "service"):
            for name in _exact_names(table, f"{kind}s"):
                self.check_name(kind, name, (*key, f"{kind}s"))
        for name in _exact_names(table, "jobs"):
            self.require_job(name, (*key, "jobs"), _not_a_job(name))


def check_references(
    config: Config, document: Table, numbered: Mapping[int, DependencySettings], reading: ConfigDocument
) -> None:
    """Names that point at other parts of the config, also from tables that have other faults; jobs themselves are
    matched against the inventory later. `numbered`: the dependencies without faults, by their place in the document."""
    names = _Names(document, reading)
    for key, table in _entries(document, "jobs"):
        names.require_job(key[1], key, f'"{key[1]}" is not a job name; write system/native-id.')
        names.check_name("calendar", table.get("calendar") or None, (*key, "calendar"))
        for route in _strings(table, "notify"):
            names.check_name("route", route, (*key, "notify"))
    for key, table in _entries(document, "services"):
        for terminal in _strings(table, "delivered_by"):
            names.require_job(terminal, (*key, "delivered_by"))
        deadline = table.get("deadline")
        if isinstance(deadline, dict) and isinstance(deadline.get("of"), str):
            names.require_job(deadline["of"], (*key, "deadline"))
        names.check_name("calendar", table.get("calendar") or None, (*key, "calendar"))
        for route in _strings(table, "notify"):
            names.check_name("route", route, (*key, "notify"))
    _check_routes(config, names)
    for key, table in _entries(document, "dependencies"):
        for end in ("upstream", "downstream"):
            if isinstance(table.get(end), str):
                names.require_job(table[end], (*key, end))
        for upstream in _strings(table, "upstreams"):
            names.require_job(upstream, (*key, "upstreams"))
        names.check_name("calendar", table.get("calendar") or None, (*key, "calendar"))
        if int(key[1]) in numbered:
            _check_mode(config, numbered[int(key[1])], key, reading)
    limited = [(key, table, kind) for key, table in _entries(document, "permissions") for kind in ("system", "service")]
    if config.status_page is not None:
        limited.append((("status_page",), document["status_page"], "service"))
    for key, table, kind in limited:  # a limit to an unknown name would silently permit, or show, nothing
        for pattern in _strings(table, f"{kind}s"):
            known = names.declared(kind)
            if not matches_any(pattern, known) and (pattern != "*" or known):
                problem = f'no {kind} fits "{pattern}". {suggestion(pattern, known)}'
                reading.fault((*key, f"{kind}s"), problem)
    _check_scopes(config, names)


def _check_routes(config: Config, names: _Names) -> None:
    """Routes name existing routes and rotas; fallbacks have no cycle; a rota leads to routes with their own URLs."""
    document, reading, alerts = names.document, names.reading, config.alerts
    fallbacks: dict[str, str] = {}
    for key, table in _entries(document, "routes"):
        for target in _strings(table, "escalate_to"):
            names.check_name("route", target, (*key, "escalate_to"))
            if target == key[1]:
                reading.fault((*key, "escalate_to"), f'"{target}" escalates to itself. Name another route.')
        names.check_name("rota", table.get("rota") or None, (*key, "rota"))
        fallback = table.get("fallback")
        names.check_name("route", fallback or None, (*key, "fallback"))
        if isinstance(fallback, str) and fallback:
            fallbacks[key[1]] = fallback
    if cycle := find_cycle(list(fallbacks.items())):
        path = " → ".join([*cycle, cycle[0]])
        reading.fault(("routes", cycle[0], "fallback"), f"fallback cycle: {path}. Remove one of them.")
    for name in ("default_route", "shadow_route"):
        names.check_name("route", getattr(alerts, name) or None, ("alerts", name))
    shadow = config.routes.get(alerts.shadow_route)
    if shadow is not None and shadow.fallback:
        problem = f'route "{alerts.shadow_route}" has a fallback, which would receive alerts in shadow'
        reading.fault(("alerts", "shadow_route"), f"{problem}. Name a route without one")
    for key, table in _entries(document, "rotas"):
        people = table.get("people")
        for person, route in people.items() if isinstance(people, dict) else ():
            names.check_name("route", route, (*key, "people"))
            settings = document.get("routes", {}).get(route) if isinstance(route, str) else None
            if isinstance(settings, dict) and settings.get("rota"):
                problem = f'the route "{route}" of {person} has a rota of its own'
                reading.fault((*key, "people"), f"{problem}. Name one whose URLs are theirs.")


def _check_scopes(config: Config, names: _Names) -> None:
    """Exact names in maintenances, exceptions, pools and policies."""
    for top in ("maintenance", "exceptions"):
        for key, table in _entries(names.document, top):
            names.check_name("calendar", table.get("calendar") or None, (*key, "calendar"))
            names.require_scope(table, key)
            for target in _exact_names(table, "targets"):
                _check_target(target, (*key, "targets"), config, names)
    for key, table in _entries(names.document, "pools"):
        names.require_scope(table, key)
    for key, table in _entries(names.document, "policies"):
        match = table.get("match")
        names.require_scope(match if isinstance(match, dict) else {}, (*key, "match"))


def _check_target(name: str, key: Key, config: Config, names: _Names) -> None:
    system, slash, target = name.partition("/")
    if not slash:
        names.reading.fault(key, f'"{name}" is not a target. Write system/target, as `headway status` shows it.')
    elif system not in names.declared("system"):
        problem = f'no system "{system}" in "{name}". {suggestion(system, names.declared("system"))}'
        names.reading.fault(key, problem)
    elif system in config.systems and target not in config.systems[system].targets:
        problem = f'"{system}" has no "{target}". {suggestion(target, config.systems[system].targets)}'
        names.reading.fault(key, problem)


def _check_mode(config: Config, dependency: DependencySettings, key: Key, reading: ConfigDocument) -> None:
    """ "hold" and "trigger" need a downstream that can be held and started."""
    system = config.systems.get(split_job_name(dependency.downstream)[0])
    if dependency.mode == "observe" or system is None:
        return
    for needed in (Capability.HOLD, Capability.START):
        if needed not in system.capabilities:
            why = (system.missing.get(needed) or f"{system.kind.title} cannot {needed}").rstrip(".")
            problem = f'"{dependency.mode}" cannot work on "{dependency.downstream}": {why}. Write "observe".'
            reading.fault((*key, "mode"), problem)
            return


def _not_a_job(name: str) -> str:
    return f'"{name}" fits no job name. Write system/native-id, * for any text.'


def _entries(document: Table, top: str) -> list[tuple[Key, Table]]:
    """(key, table) of each `[top.NAME]` or `[[top]]`; a value of another type, a fault reported elsewhere, is empty."""
    tables = document.get(top, {})
    items = tables.items() if isinstance(tables, dict) else enumerate(tables, 1)
    return [((top, str(name)), table if isinstance(table, dict) else {}) for name, table in items]


def _strings(table: Table, key: str) -> list[str]:
    value = table.get(key)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _exact_names(table: Table, key: str) -> list[str]:
    """Names in a list, without patterns."""
    return [name for name in _strings(table, key) if _ANYTHING not in name]


def matches_any(pattern: str, names: Iterable[str]) -> bool:
    """True where any of the names fits the pattern: * for any text, nothing else is special."""
    return any(map(name_matcher(pattern).fullmatch, names))


def unmatched_patterns(config: Config) -> list[str]:
    """For each wildcard pattern without a match: its place, and the known names."""
    return [
        f'{place} = "{pattern}" fits nothing yet. Known: {", ".join(sorted(known)) or "none"}.'
        for place, pattern, known in _patterns(config)
        if _ANYTHING in pattern and not matches_any(pattern, known)
    ]


def unusable_links(config: Config) -> str:
    """The problem of notifications with links that no role permits to use; empty if there is none."""
    has_links = config.endpoints is not None and config.endpoints.public_url
    if not has_links or not config.permissions or any(given.role > Role.VIEW for given in config.permissions):
        return ""
    problem = "notifications have a link to acknowledge, and no [[permissions]] gives a role that may acknowledge"
    return f'endpoints.public_url: {problem}. Fix: a permission with role = "act", or remove public_url'


def job_patterns(config: Config) -> list[str]:
    """Names and patterns of jobs, as maintenances, exceptions, pools, policies and rules have them."""
    declared = config.declared
    patterns = [pattern for window in declared.maintenance for pattern in window.jobs]
    patterns += [pattern for exception in declared.exceptions for pattern in exception.jobs]
    patterns += [pattern for pool in declared.pools for pattern in pool.jobs]
    patterns += [pattern for policy in declared.policies for pattern in policy.match.jobs]
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
    for number, policy in enumerate(config.declared.policies, 1):
        place = f"policies {number}: match.services"
        yield from ((place, service, services) for service in policy.match.services)
