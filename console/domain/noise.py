"""The noise report: alerts that were repeated, flapping, suppressed or useful, by route, owner, rule and root cause."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

MIN_FLAPS = 3
"""Minimum occurrences of a cause that count as flapping."""
MAX_SHOWN = 10


@dataclass(frozen=True, slots=True)
class NoiseAlert:
    """One alert about an incident."""

    route: str
    kind: str
    incident_id: int
    owner: str
    rule: str
    """Its rule, else "run", "target", "shared" or "check"."""
    root: str
    """The job, target, check, or shared cause; empty if unknown."""
    useful: bool | None
    """A person's rating; None: not rated."""
    reopened: int = 0
    """Reopenings of its incident."""


@dataclass(frozen=True, slots=True)
class NoiseCount:
    """The alerts of one route, owner, rule or root cause."""

    name: str
    alerts: int
    incidents: int
    repeated: int
    judged: int
    useful: int


@dataclass(frozen=True, slots=True)
class NoiseReport:
    since: datetime
    until: datetime
    total: NoiseCount
    routes: tuple[NoiseCount, ...]
    owners: tuple[NoiseCount, ...]
    rules: tuple[NoiseCount, ...]
    roots: tuple[NoiseCount, ...]
    flapping: tuple[tuple[str, int], ...]
    """(root, occurrences) of recurring causes: as new incidents, or reopened ones."""
    suppressed: tuple[tuple[str, int], ...]
    """(stage, notifications that it suppressed)."""
    never_acknowledged: int
    """Notified incidents without an acknowledgement."""


def noise_report(
    since: datetime,
    until: datetime,
    alerts: Sequence[NoiseAlert],
    suppressed: Sequence[tuple[str, int]],
    acknowledged: Iterable[int],
) -> NoiseReport:
    """`acknowledged`: incidents."""
    incidents = {alert.incident_id for alert in alerts}
    causes: dict[str, dict[int, int]] = defaultdict(dict)
    for alert in alerts:
        causes[alert.root][alert.incident_id] = 1 + alert.reopened
    times = [(name, sum(of.values())) for name, of in causes.items() if name]
    flapping = [(name, number) for name, number in times if number >= MIN_FLAPS]
    return NoiseReport(
        since=since,
        until=until,
        total=_count("all", alerts),
        routes=_count_by(alerts, lambda alert: alert.route),
        owners=_count_by(alerts, lambda alert: alert.owner or "nobody"),
        rules=_count_by(alerts, lambda alert: alert.rule),
        roots=_count_by(alerts, lambda alert: alert.root or "not known any more"),
        flapping=tuple(sorted(flapping, key=lambda pair: (-pair[1], pair[0]))),
        suppressed=tuple(sorted(suppressed, key=lambda pair: (-pair[1], pair[0]))),
        never_acknowledged=len(incidents - set(acknowledged)),
    )


def _count_by(alerts: Sequence[NoiseAlert], key: Callable[[NoiseAlert], str]) -> tuple[NoiseCount, ...]:
    groups: dict[str, list[NoiseAlert]] = defaultdict(list)
    for alert in alerts:
        groups[key(alert)].append(alert)
    counts = (_count(name, group) for name, group in groups.items())
    return tuple(sorted(counts, key=lambda count: (-count.alerts, count.name)))


def _count(name: str, alerts: Sequence[NoiseAlert]) -> NoiseCount:
    judged = [alert.useful for alert in alerts if alert.useful is not None]
    return NoiseCount(
        name=name,
        alerts=len(alerts),
        incidents=len({alert.incident_id for alert in alerts}),
        repeated=sum(alert.kind in ("repeated", "escalated") for alert in alerts),
        judged=len(judged),
        useful=sum(judged),
    )


def summary_lines(report: NoiseReport) -> list[str]:
    total, incidents = report.total, _plural(report.total.incidents, "incident")
    return [
        f"{_plural(total.alerts, 'alert')} about {incidents}, {total.repeated} of them repeated or escalated",
        f"{_format_useful(total)} rated useful" if total.judged else "none rated",
        f"never acknowledged: {report.never_acknowledged} of {incidents}",
    ]


def report_tables(report: NoiseReport) -> Iterator[Sequence[Sequence[str]]]:
    """Rows of each table that has any, its header first; names were cleaned when they were read."""
    groups = (("ROUTE", report.routes), ("OWNER", report.owners), ("RULE", report.rules), ("ROOT CAUSE", report.roots))
    for title, counts in groups:
        if counts:
            rows = ((count.name, str(count.alerts), _format_useful(count)) for count in counts[:MAX_SHOWN])
            yield [(title, "ALERTS", "USEFUL"), *rows]
    for header, numbers in (
        (("REOPENED", "TIMES"), report.flapping[:MAX_SHOWN]),
        (("SUPPRESSED BY", "TIMES"), report.suppressed),
    ):
        if numbers:
            yield [header, *((name, str(number)) for name, number in numbers)]


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _format_useful(count: NoiseCount) -> str:
    return f"{count.useful} of {count.judged}" if count.judged else "not rated"
