"""Detected schedulers: where each is, how many jobs it has, and whether it can be watched now."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from console.domain.system import problem_and_fix
from console.text.cleaning import clean_line


class WatchReadiness(StrEnum):
    """Whether Headway can watch it."""

    NOW = "can be watched now"
    ON_CONSENT = "is probed once you select it"
    """On another machine: no request is sent and no credential used before a person agrees."""
    NEEDS = "needs a fix first"


ONLY_BY_NAME = ("cron", "kubernetes", "databricks", "github_actions", "glue", "batch", "emr", "eventbridge")
"""Kinds on other machines that are reached with all of a person's rights; and AWS services that a login may reach,
though most have nothing there."""


@dataclass(frozen=True, slots=True)
class DetectedScheduler:
    """One scheduler. All texts are raw: they come from files of this machine."""

    key: str
    """Name for `--only`: "cron", "aws:prod"."""
    title: str
    where: str
    """The file, address or command by which it was found."""
    ready: WatchReadiness
    note: str = ""
    """Note for the person, one fault per line: how the jobs are spread, or what is missing and its fix."""
    jobs: int | None = None
    """Number of its jobs; None if unknown."""
    name: str = ""
    """Of the system in the config; empty if what was found cannot be read."""
    kind: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the system in the config, without secrets: a mapping with one entry is a reference."""
    address: str = ""
    """Of a database: "dwh:5432/ops"."""
    login: str = ""
    """The user of a database."""

    @property
    def count(self) -> str:
        """ "12 jobs", "1 job"; empty if unknown."""
        return "" if self.jobs is None else f"{self.jobs:,} job{'s' * (self.jobs != 1)}"

    @property
    def full_title(self) -> str:
        """ "PostgreSQL dwh:5432/ops as headway": the title and whose login it is."""
        return f"{self.title} as {self.login}" if self.login else self.title

    @property
    def is_login(self) -> bool:
        """Whether it is a login of a person to a database, often of one without jobs: tried by default where a person
        selects."""
        return bool(self.name) and self.key.startswith(("dsn:", "pgpass:"))

    @property
    def is_wanted(self) -> bool:
        """Whether it is selected by default."""
        on_consent = self.ready is WatchReadiness.ON_CONSENT and self.kind not in ONLY_BY_NAME and not self.is_login
        return self.ready is WatchReadiness.NOW or on_consent


@dataclass(frozen=True, slots=True)
class Machine:
    """The environment to search; tests pass another home and environment."""

    home: Path
    env: Mapping[str, str]
    etc: Path = Path("/etc")
    sockets: tuple[Path, ...] = (Path("/var/run/postgresql"), Path("/tmp"))  # noqa: S108 - PostgreSQL's own two defaults
    roots: tuple[Path, ...] = (Path("/opt"), Path("/srv"))
    """Where projects lie, beside the home."""
    seconds: float = 8.0
    """How long one scheduler may take to answer."""

    @property
    def host(self) -> str:
        """A name for this machine, fit for a target."""
        return socket.gethostname().partition(".")[0] or "here"

    @property
    def zone(self) -> str:
        """The machine's own zone by its IANA name; UTC where it does not say."""
        try:
            place = os.readlink(self.etc / "localtime")
        except OSError:
            return "UTC"
        name = place.partition("zoneinfo/")[2]
        return name if name and not name.startswith(("posix/", "right/")) and name != "localtime" else "UTC"


def unique_name(name: str, taken: Collection[str]) -> str:
    """The name if it is not taken, else "name-2", "name-3" and so on."""
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(candidate for candidate in names if candidate not in taken)


def with_unique_names(systems: Iterable[DetectedScheduler], names: Iterable[str] = ()) -> list[DetectedScheduler]:
    """The systems, each with a name that neither an earlier one has nor one of `names` is."""
    taken = set(names)
    unique = []
    for system in systems:
        name = unique_name(system.name, taken) if system.name else ""
        taken.add(name)
        unique.append(replace(system, name=name))
    return unique


PLACE = ("url", "dsn", "host", "port", "dbname", "region", "profile", "kubeconfig", "context", "repositories")
"""Settings that distinguish two systems of a kind, besides their hosts."""


def is_configured(scheduler: DetectedScheduler, systems: Iterable[Mapping[str, Any]]) -> bool:
    """True if one of the systems, tables of a config, is that scheduler; its hosts may be spread over several."""
    settings = scheduler.settings
    same_kind = [system for system in systems if "dsn" in settings or system.get("kind") == scheduler.kind]
    if "hosts" in settings:
        return _host_names(settings) <= {name for system in same_kind for name in _host_names(system)}
    place = {name: _comparable(settings[name]) for name in PLACE if name in settings}
    return any(place == {name: _comparable(system.get(name)) for name in place} for system in same_kind)


def _comparable(value: object) -> object:
    """A URL without the slashes at its end and with its host in lower case; else the value."""
    if not isinstance(value, str) or "://" not in value:
        return value
    parts = urlsplit(value)
    return parts._replace(netloc=parts.netloc.lower()).geturl().rstrip("/")


def _host_names(settings: Mapping[str, Any]) -> set[str]:
    return {str(host["name"] if isinstance(host, Mapping) else host) for host in settings.get("hosts", ())}


def is_place(zone: str) -> bool:
    """True for "Europe/Berlin", False for UTC and an offset."""
    return "/" in zone and not zone.startswith("Etc/")


def with_zones(schedulers: Iterable[DetectedScheduler], zones: Mapping[str, str]) -> Iterator[DetectedScheduler]:
    """The schedulers, each in the zone that was probed under its key; those without one in the most frequent of these
    where this machine has none but UTC."""
    usual = Counter(zones.values()).most_common(1)
    for scheduler in schedulers:
        zone = str(scheduler.settings.get("timezone", ""))
        known = zones.get(scheduler.key) or (zone if is_place(zone) or not usual else usual[0][0])
        yield replace(scheduler, settings={**scheduler.settings, "timezone": known}) if zone else scheduler


class FaultLine(NamedTuple):
    """A line of a problem; one to be copied is never folded."""

    text: str
    is_verbatim: bool = False


def fault_lines(text: str) -> Iterator[FaultLine]:
    """The text line by line; of "problem. Fix: fix" the fix, a command or a line of a file, on a line to be copied."""
    for fault in text.splitlines():
        problem, fix = problem_and_fix(fault)
        if not fix:
            yield FaultLine(clean_line(fault))
            continue
        step, _, alternative = fix.partition("; or ")
        lead, colon, line = step.rpartition("sudoers: ")
        yield FaultLine(clean_line(f"{problem} Fix: {lead}{colon}".rstrip()))
        yield FaultLine(clean_line(f"    {line}"), is_verbatim=True)
        if alternative:
            yield FaultLine(clean_line(f"or {alternative}"))


def text_of(path: Path) -> str:
    """A file's text, at most a MiB of it. Raises OSError."""
    with path.open("rb") as file:
        return file.read(1 << 20).decode("utf-8", "replace")
