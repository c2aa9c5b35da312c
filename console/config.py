"""TOML -> checked settings: one file or a folder of files is one estate, and bad config changes nothing.

All faults of an estate are reported at once, each with file, line, key, value and the mend.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from connectors import registry
from connectors.contract import ConnectorKind
from connectors.secrets import SecretRef
from console.clean import clean_line
from console.durations import parse_duration
from console.model.ids import split_job_name

Table = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError(f'{value!r} is not a duration; write it in quotes: "15s", "14m", "1h30m"')
    return parse_duration(value)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        near = get_close_matches(name, available_timezones(), n=1)
        raise ValueError(
            f'"{name}" is no time zone; ' + (f'did you mean "{near[0]}"?' if near else 'write "Europe/Berlin"')
        ) from None
    return name


def _time(value: Any) -> time:
    if isinstance(value, time):
        return value
    match = re.fullmatch(r"(\d{1,2}):(\d{2})", value) if isinstance(value, str) else None
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise ValueError(f'{value!r} is not a time of day; write "06:30"')
    return time(int(match[1]), int(match[2]))


def _job_name(value: str) -> str:
    split_job_name(value)
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Zone = Annotated[str, AfterValidator(_zone)]
TimeOfDay = Annotated[time, BeforeValidator(_time)]
JobName = Annotated[str, AfterValidator(_job_name)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EstateSettings(Strict):
    name: str = "headway"
    """Shown in the header and in alerts."""
    store: str | SecretRef = "headway.db"
    """A file beside the config, or a reference to a postgresql:// URL."""


class SystemSettings(Strict):
    """What every system has; everything else in its table belongs to its kind."""

    kind: str
    poll_every: Duration = timedelta(seconds=15)
    """Time between two polls of each target."""
    poll_timeout: Duration = timedelta(seconds=20)
    """Deadline of one poll, all of it."""
    timezone: Zone = "UTC"
    """For business dates."""
    cutoff: TimeOfDay = time(12, 0)
    """The business date's window runs from this time to the same time of the next day."""


class JobSettings(Strict):
    owner: str = ""
    """The team that answers; a route of the same name is told."""
    expected: Duration | None = None
    """How long it takes, until there is history; shown as declared."""
    runbook: str = ""
    rerun: Literal["safe", "ask", "never"] = "ask"
    grace: Duration = timedelta(minutes=5)
    """How late a start may be before it counts as missed."""
    notify: tuple[str, ...] = ()
    """Routes, besides the owner's."""


class DependencySettings(Strict):
    upstream: JobName
    downstream: JobName


class ServiceSettings(Strict):
    title: str = ""
    delivered_by: Annotated[tuple[JobName, ...], Field(min_length=1)]
    """Terminal jobs: when all are done, it is delivered. Everything upstream belongs to it."""
    deadline: TimeOfDay
    """Time of day inside the business date's window."""
    timezone: Zone
    cutoff: TimeOfDay = time(12, 0)
    tier: Annotated[int, Field(ge=1, le=5)] = 3
    owner: str = ""
    notify: tuple[str, ...] = ()
    runbook: str = ""
    risk: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of nights that may be late."""


class RouteSettings(Strict):
    urls: Annotated[tuple[SecretRef, ...], Field(min_length=1)]
    """References to apprise URLs; one delivery each."""


class AlertSettings(Strict):
    default_route: str = ""
    """Told when a job's owner has no route."""


@dataclass(frozen=True, slots=True)
class SystemConfig:
    """One system with its kind's own options, checked."""

    name: str
    settings: SystemSettings
    kind: ConnectorKind
    options: Any

    @property
    def targets(self) -> list[str]:
        return self.kind.targets(self.options)


@dataclass(frozen=True, slots=True)
class Config:
    """A whole estate that has passed every check that needs no network and no store."""

    path: Path
    digest: str
    estate: EstateSettings
    systems: Mapping[str, SystemConfig]
    jobs: Mapping[str, JobSettings]
    dependencies: tuple[DependencySettings, ...]
    services: Mapping[str, ServiceSettings]
    routes: Mapping[str, RouteSettings]
    alerts: AlertSettings

    def routes_of(self, owner: str, notify: tuple[str, ...]) -> tuple[str, ...]:
        """The routes that a job or service names, and its owner's: a route of the owner's name."""
        return tuple(dict.fromkeys([*notify, *([owner] if owner in self.routes else [])]))


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in the config: where, what, and the mend."""

    file: Path
    line: int | None
    key: str
    problem: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.key}: {self.problem}" if self.key else f"{place}: {self.problem}"


class ConfigFaults(Exception):
    """Everything that is wrong with an estate's config, at once."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


@dataclass(slots=True)
class _Reading:
    """The files being read and the faults found so far."""

    texts: dict[Path, str] = field(default_factory=dict)
    homes: dict[tuple[str, ...], Path] = field(default_factory=dict)
    """Which file a table came from."""
    faults: list[Fault] = field(default_factory=list)
    default: Path = Path()

    def fault(self, key: tuple[str, ...], problem: str) -> None:
        file = next((self.homes[key[:n]] for n in (2, 1) if key[:n] in self.homes), self.default)
        self.faults.append(Fault(file, _line_of(self.texts.get(file, ""), key), _dotted(key), problem))


def load_config(path: Path) -> Config:
    """The checked estate in a file or a folder. Raises ConfigFaults with every fault found."""
    reading = _Reading(default=path)
    document = _read_all(path, reading)
    if reading.faults:
        raise ConfigFaults(reading.faults)
    _unknown_tables(document, reading)
    config = _build(path, document, reading)
    if reading.faults:
        raise ConfigFaults(sorted(reading.faults, key=lambda one: (one.file, one.line or 0)))
    return config


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.toml")) if path.is_dir() else [path]


def _read_all(path: Path, reading: _Reading) -> Table:
    document: Table = {}
    files = _files(path)
    if not files:
        reading.faults.append(Fault(path, None, "", 'no *.toml file in this folder. Copy "config.example.toml" there.'))
    for file in files:
        _merge(document, _read_one(file, reading), file, reading)
    return document


def _read_one(file: Path, reading: _Reading) -> Table:
    try:
        text = file.read_text("utf-8-sig")
        reading.texts[file] = text
        return tomllib.loads(text)
    except FileNotFoundError:
        mend = 'copy "config.example.toml" to it, or name another with --config'
        reading.faults.append(Fault(file, None, "", f"there is no such file; {mend}."))
    except OSError as error:
        reading.faults.append(
            Fault(file, None, "", f"cannot be read: {error.strerror}. Make it readable for this user.")
        )
    except UnicodeDecodeError as error:
        reading.faults.append(Fault(file, None, "", f"is not UTF-8 at byte {error.start}. Save it as UTF-8."))
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        problem = f"is not valid TOML: {error}. Mend that line; the rest was not read."
        reading.faults.append(Fault(file, int(found[1]) if found else None, "", problem))
    return {}


def _merge(document: Table, part: Table, file: Path, reading: _Reading) -> None:
    for top, value in part.items():
        reading.homes.setdefault((top,), file)
        if isinstance(value, list):
            document.setdefault(top, []).extend(value)
        elif isinstance(value, dict) and top not in ("estate", "alerts"):
            _merge_named(document.setdefault(top, {}), top, value, file, reading)
        elif top in document:
            reading.faults.append(Fault(file, None, top, f"stands in {reading.homes[(top,)]} too. Keep one."))
        else:
            document[top] = value


def _merge_named(into: Table, top: str, named: Table, file: Path, reading: _Reading) -> None:
    for name, value in named.items():
        if name in into:
            other = reading.homes[(top, name)]
            reading.faults.append(Fault(file, None, f"{top}.{name}", f"stands in {other} too. Keep one."))
        else:
            reading.homes[(top, name)] = file
            into[name] = value


TABLES = ("estate", "systems", "jobs", "dependencies", "services", "routes", "alerts")


def _unknown_tables(document: Table, reading: _Reading) -> None:
    for top in document:
        if top not in TABLES:
            reading.fault((top,), f"unknown table. {_near(top, TABLES)}")


def _near(word: str, known: Iterator[str] | tuple[str, ...] | list[str]) -> str:
    names = list(known)
    near = get_close_matches(word, names, n=1)
    return f'Did you mean "{near[0]}"?' if near else f"Known: {', '.join(sorted(names))}."


def _build(path: Path, document: Table, reading: _Reading) -> Config:
    estate = _check(EstateSettings, document.get("estate", {}), ("estate",), reading)
    systems = dict(_systems(document.get("systems", {}), reading))
    jobs = _named(JobSettings, document, "jobs", reading)
    services = _named(ServiceSettings, document, "services", reading)
    routes = _named(RouteSettings, document, "routes", reading)
    alerts = _check(AlertSettings, document.get("alerts", {}), ("alerts",), reading)
    found = [
        _check(DependencySettings, table, ("dependencies", str(number)), reading)
        for number, table in enumerate(document.get("dependencies", []), 1)
    ]
    dependencies = tuple(one for one in found if one is not None)
    if "systems" not in document:
        reading.fault(("systems",), 'no system is configured. Add [systems.NAME] with kind = "cron" or another kind.')
    digest = hashlib.sha256("\0".join(reading.texts[file] for file in sorted(reading.texts)).encode()).hexdigest()
    estate, alerts = estate or EstateSettings(), alerts or AlertSettings()
    config = Config(path, digest, estate, systems, jobs, dependencies, services, routes, alerts)
    _check_references(config, document, reading)
    return config


def _named(model: type[Model], document: Table, top: str, reading: _Reading) -> dict[str, Model]:
    """The tables of one kind by name. A job's name is its scheduler's; the others are ours, and people type them."""
    tables = document.get(top, {})
    for name in tables:
        if top != "jobs" and (not name.strip() or clean_line(name) != name):
            reading.fault((top, name), f"{name!a} holds what cannot be shown or typed. Rename it.")
    checked = {name: _check(model, table, (top, name), reading) for name, table in tables.items()}
    return {name: value for name, value in checked.items() if value is not None}


def _systems(tables: Table, reading: _Reading) -> Iterator[tuple[str, SystemConfig]]:
    for name, table in tables.items():
        key = ("systems", name)
        if not isinstance(table, dict) or "kind" not in table:
            reading.fault(key, f'has no kind. Add kind = "…", one of: {", ".join(registry.kinds())}.')
            continue
        if re.fullmatch(r"[A-Za-z0-9_.-]+", name) is None:
            reading.fault(key, "a system's name has letters, digits, dot, dash and underscore only. Rename it.")
            continue
        common = {k: v for k, v in table.items() if k in SystemSettings.model_fields}
        settings = _check(SystemSettings, common, key, reading)
        own = {k: v for k, v in table.items() if k not in common}
        yield from _options(name, str(table["kind"]), settings, own, reading)


def _options(
    name: str, word: str, settings: SystemSettings | None, own: Table, reading: _Reading
) -> Iterator[tuple[str, SystemConfig]]:
    """The kind's own keys are checked also where the common ones have faults: all are told at once."""
    key = ("systems", name)
    try:
        kind = registry.load(word)
    except registry.UnknownKind as error:
        reading.fault((*key, "kind"), str(error))
        return
    options = _check(kind.options, own, key, reading, also=tuple(SystemSettings.model_fields))
    if settings is not None and options is not None:
        yield name, SystemConfig(name, settings, kind, options)


def _check(
    model: type[Model], table: Any, key: tuple[str, ...], reading: _Reading, also: tuple[str, ...] = ()
) -> Model | None:
    try:
        return model.model_validate(table)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        deeper = {one["loc"][:-1] for one in faults}
        for one in faults:
            if one["type"] != "too_short" or one["loc"] not in deeper:  # what was refused one by one left it short
                reading.fault((*key, *_location(one["loc"])), _words(one, model, also))
    return None


def _location(loc: tuple[int | str, ...]) -> tuple[str, ...]:
    return tuple(str(part) for part in loc)


def _words(error: Any, model: type[BaseModel], also: tuple[str, ...]) -> str:
    if error["type"] == "extra_forbidden":
        known = [*model.model_fields, *also] if len(error["loc"]) == 1 else []
        return "unknown key. " + (_near(str(error["loc"][-1]), known) if known else "Remove it.")
    if error["type"] == "missing":
        return "is missing. Add it."
    message = str(error["msg"]).removeprefix("Value error, ")
    value = error.get("input")
    told = "secret" in message or not isinstance(value, str | int | float | bool) or str(value) in message
    shown = "" if told else f" (it is {value!r})"
    words = f"{message[0].lower()}{message[1:]}{shown}"
    return words if words.endswith("?") else words.rstrip(".") + "."


def _check_references(config: Config, document: Table, reading: _Reading) -> None:
    """Names that point at other parts of the config, also from tables that have other faults; jobs themselves are
    matched against the inventory later."""
    system_names, route_names = list(document.get("systems", {})), list(document.get("routes", {}))

    def system_of(name: str, key: tuple[str, ...]) -> None:
        try:
            system = split_job_name(name)[0]
        except ValueError as error:
            if key[0] == "jobs":  # elsewhere the model has told it
                reading.fault(key, f"{error}.")
            return
        if system not in system_names:
            reading.fault(key, f'no system "{system}" in "{name}". {_near(system, system_names)}')

    def routes(names: Iterable[str], key: tuple[str, ...]) -> None:
        for name in names:
            if name not in route_names:
                reading.fault(key, f'no route "{name}". {_near(name, route_names or ["add [routes.NAME]"])}')

    for name, table in document.get("jobs", {}).items():
        system_of(name, ("jobs", name))
        routes(_strings(table, "notify"), ("jobs", name, "notify"))
    for name, table in document.get("services", {}).items():
        for terminal in _strings(table, "delivered_by"):
            system_of(terminal, ("services", name, "delivered_by"))
        routes(_strings(table, "notify"), ("services", name, "notify"))
    if config.alerts.default_route:
        routes((config.alerts.default_route,), ("alerts", "default_route"))
    _check_dependencies(config, system_of, reading)


def _strings(table: Any, key: str) -> list[str]:
    """The strings of a list in a table as it was written; none where it is anything else."""
    value = table.get(key) if isinstance(table, dict) else None
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _check_dependencies(config: Config, system_of: Any, reading: _Reading) -> None:
    for number, one in enumerate(config.dependencies, 1):
        key = ("dependencies", str(number))
        system_of(one.upstream, (*key, "upstream"))
        system_of(one.downstream, (*key, "downstream"))
    cycle = find_cycle([(one.upstream, one.downstream) for one in config.dependencies])
    if cycle:
        path = " → ".join([*cycle, cycle[0]])
        reading.fault(("dependencies",), f"these feed each other in a circle: {path}. Remove one of them.")


def find_cycle(edges: list[tuple[str, str]]) -> list[str]:
    """Names along one circle of `edges` (upstream, downstream), in order; empty without one. Iterative."""
    import rustworkx  # noqa: PLC0415 - only where dependencies are checked

    names = sorted({name for edge in edges for name in edge})
    index = {name: number for number, name in enumerate(names)}
    graph: Any = rustworkx.PyDiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from_no_data([(index[up], index[down]) for up, down in edges])
    loop = next((up for up, down in edges if up == down), None)
    if loop is not None:
        return [loop]
    return [names[edge[0]] for edge in rustworkx.digraph_find_cycle(graph)]


def _dotted(key: tuple[str, ...]) -> str:
    return ".".join(part if re.fullmatch(r"[\w-]+", part) else f'"{part}"' for part in key)


def _line_of(text: str, key: tuple[str, ...]) -> int | None:
    """The line where `key` stands in a TOML text, as near as headers and names tell; None when not found."""
    lines = text.splitlines()
    if not key or not lines:
        return None
    if key[0] == "dependencies" and len(key) > 1:
        start = _nth(lines, r"\s*\[\[\s*dependencies\s*\]\]", int(key[1]))
        rest = key[2:]
    else:
        depth = min(2, len(key)) if key[0] not in ("estate", "alerts") else 1
        header = r"\.".join(rf"[\"']?{re.escape(part)}[\"']?" for part in key[:depth])
        start = _nth(lines, rf"\s*\[\s*{header}\s*[\].]", 1)
        rest = key[depth:]
    if start is None:
        return None
    return _key_line(lines, start, rest) or start + 1


def _nth(lines: list[str], pattern: str, number: int) -> int | None:
    found = [at for at, line in enumerate(lines) if re.match(pattern, line)]
    return found[number - 1] if len(found) >= number else None


def _key_line(lines: list[str], start: int, rest: tuple[str, ...]) -> int | None:
    for at in range(start + 1, len(lines)):
        if lines[at].lstrip().startswith("["):
            return None
        if rest and re.match(rf"\s*[\"']?{re.escape(rest[0])}[\"']?\s*[=.]", lines[at]):
            return at + 1
    return None
