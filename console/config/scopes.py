"""What a maintenance, an exception, an inhibit rule or a rule's exception is limited to: is it there?

An exact name that nothing can have is a fault: what it limits would hold for nothing, silently. A pattern may fit
later, when a system or a job comes: that it fits nothing yet is a remark of `headway check`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from console.config.models import Config
from console.config.near import near
from console.config.reading import Reading, Table
from console.config.references import fits_any
from console.model.ids import split_job_name

TIERS = ("1", "2", "3", "4", "5")
_ANYTHING = "*"
Key = tuple[str, ...]


def check_scopes(config: Config, document: Table, reading: Reading) -> None:
    """Faults of exact names. Systems and services of maintenances and exceptions are told by `config.maintenance`."""
    systems = list(document.get("systems", {}))
    for top in ("maintenance", "exceptions"):
        for number, table in enumerate(document.get(top, []), 1):
            for name in _exact(table, "jobs"):
                _check_job(name, (top, str(number), "jobs"), systems, reading)
            for name in _exact(table, "targets"):
                _check_target(name, (top, str(number), "targets"), config, systems, reading)
    for pool, table in document.get("pools", {}).items():
        for name in _exact(table, "jobs"):
            _check_job(name, ("pools", str(pool), "jobs"), systems, reading)
    for number, table in enumerate(document.get("inhibit", []), 1):
        for side in ("by", "what"):
            matchers = table.get(side) if isinstance(table, dict) else None
            for name, value in matchers.items() if isinstance(matchers, dict) else ():
                if isinstance(value, str) and _ANYTHING not in value:
                    _check_matcher(name, value, ("inhibit", str(number), side), document, reading)


def patterns_for_nothing(config: Config) -> list[str]:
    """Of each pattern with a star that fits nothing in this config: where it stands, and what there is."""
    return [
        f'{place} = "{pattern}" fits nothing yet. Known: {", ".join(sorted(known)) or "none"}.'
        for place, pattern, known in _patterns(config)
        if _ANYTHING in pattern and not fits_any(pattern, known)
    ]


def job_patterns(config: Config) -> list[str]:
    """Names and patterns of jobs, as maintenances, exceptions, inhibit rules and rules have them."""
    declared = config.declared
    found = [pattern for one in declared.maintenance for pattern in one.jobs]
    found += [pattern for one in declared.exceptions for pattern in one.jobs]
    found += [pattern for pool in declared.pools for pattern in pool.jobs]
    matchers = [each for one in declared.alerting.inhibit for each in (*one.by, *one.what)]
    found += [pattern for key, pattern in matchers if key == "job"]
    return found + [pattern for rule in declared.rules for where in rule.where for pattern in where.jobs]


def _patterns(config: Config) -> Iterator[tuple[str, str, list[str]]]:
    """(where it stands, the pattern, the names that it may fit)."""
    systems, services = list(config.systems), list(config.services)
    targets = [f"{one.name}/{target}" for one in config.systems.values() for target in one.targets]
    for number, one in enumerate(config.declared.maintenance, 1):
        place = f"maintenance {number}"
        yield from ((f"{place}: systems", each, systems) for each in one.systems)
        yield from ((f"{place}: targets", each, targets) for each in one.targets)
    for number, planned in enumerate(config.declared.exceptions, 1):
        yield from ((f"exceptions {number}: services", each, services) for each in planned.services)
    for number, rule in enumerate(config.declared.alerting.inhibit, 1):
        known = {"system": systems, "service": services, "tier": list(TIERS)}
        for side, matchers in (("by", rule.by), ("what", rule.what)):
            yield from ((f"inhibit {number}: {side}.{key}", each, known[key]) for key, each in matchers if key in known)


def _check_job(name: str, key: Key, systems: list[str], reading: Reading) -> None:
    try:
        system = split_job_name(name)[0]
    except ValueError:
        reading.fault(key, f'"{name}" fits no job name. Write system/native-id, * for any text.')
        return
    if system not in systems:
        reading.fault(key, f'no system "{system}" in "{name}". {near(system, systems)}')


def _check_target(name: str, key: Key, config: Config, systems: list[str], reading: Reading) -> None:
    system, slash, target = name.partition("/")
    if not slash:
        reading.fault(key, f'"{name}" is no target. Write system/target, as `headway status` shows it.')
    elif system not in systems:
        reading.fault(key, f'no system "{system}" in "{name}". {near(system, systems)}')
    elif system in config.systems and target not in config.systems[system].targets:
        reading.fault(key, f'"{system}" has no "{target}". {near(target, config.systems[system].targets)}')


def _check_matcher(name: str, value: str, key: Key, document: Table, reading: Reading) -> None:
    known = {"system": list(document.get("systems", {})), "service": list(document.get("services", {})), "tier": TIERS}
    if name == "job":
        _check_job(value, key, list(document.get("systems", {})), reading)
    elif name in known and value not in known[name]:
        reading.fault(key, f'no {name} "{value}". {near(value, known[name], f"{name}s")}')


def _exact(table: Any, key: str) -> list[str]:
    """The names of a list as it was written, without the patterns."""
    value = table.get(key) if isinstance(table, dict) else None
    return [one for one in value if isinstance(one, str) and _ANYTHING not in one] if isinstance(value, list) else []
