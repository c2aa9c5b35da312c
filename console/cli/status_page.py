"""The board as one HTML file, for people without a terminal. Apart from `status` because it loads jinja2."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from console.cli.clock_format import clock_text, display_zone
from console.cli.exits import CommandError, Exit
from console.cli.output import counted
from console.cli.services import acknowledged_text, by_urgency, deadline_text, forecast_text, slack_text
from console.control.incidents.verdict import urgent_service
from console.domain.header import HeaderView, unseen_targets_text
from console.domain.ids import incident_name
from console.domain.incident import IncidentRow, sort_by_impact
from console.domain.reason import reasons_text
from console.domain.service import ServiceView, Timeliness, is_unverified, status_label
from console.domain.system import TargetView
from console.text.html_page import rendered_page, replace_file
from console.text.message import without_countdown
from console.timing.formats import age_text

STDOUT_NAME = "-"
STYLES = {
    Timeliness.ON_TIME: "ok",
    Timeliness.MET: "ok",
    Timeliness.AT_RISK: "warn",
    Timeliness.MET_LATE: "warn",
    Timeliness.WILL_MISS: "bad",
    Timeliness.BREACHED: "bad",
    Timeliness.NO_ESTIMATE: "dim",
    Timeliness.NO_PROMISE: "dim",
}
"""Color of each status, beside its text."""
OLD_AFTER_SECONDS = 300


class StatusCell(NamedTuple):
    """One cell, and how it is shown: "ok", "warn", "bad", "run", "dim" or ""."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class StatusSection:
    """A table with its title, only columns with a value; `none`: the text for an empty table, "" omits it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[StatusCell]]
    none: str = ""


@dataclass(frozen=True, slots=True)
class StatusPage:
    """The data of the page, as of one moment."""

    header: HeaderView
    action: str
    """Verdict of the incident to act on first, empty without one."""
    services: Sequence[ServiceView]
    incidents: Sequence[IncidentRow]
    systems: Sequence[tuple[TargetView, str]]
    """Each target with its health."""
    banners: Sequence[str]
    engine: str
    now: datetime


def render_page(board: StatusPage) -> str:
    """The page. All external text is escaped."""
    headline, tone = _page_headline(board)
    return rendered_page(
        files("console.cli").joinpath("status.html").read_text(),
        OLD_AFTER_SECONDS,
        estate=board.header.estate,
        is_replay=bool(board.header.replay),
        now=board.now,
        as_of=f"{board.now.astimezone(display_zone()):%Y-%m-%d %H:%M %Z}",
        headline=headline,
        action=without_countdown(board.action) or _service_action(board),
        tone=tone,
        banners=board.banners,
        engine=board.engine,
        sections=list(_page_sections(board)),
    )


def _service_action(board: StatusPage) -> str:
    """The most urgent service and what endangers it, if no incident says what to do; else the next deadline."""
    if urgent := urgent_service(board.services, board.now):
        deadline, cause = (
            deadline_text(urgent, board.now),
            urgent.trouble or reasons_text(urgent.reasons, partial(clock_text, near=board.now)),
        )
        act_by = f", act by {text}" if (text := _act_by(urgent.act_by, board.now)) else ""
        return f"{urgent.title}, due {deadline}: {cause or status_label(urgent)}{act_by}"
    ahead = [view for view in board.services if view.is_promised and not view.has_delivered]
    first = min((view for view in ahead if view.deadline > board.now), key=lambda view: view.deadline, default=None)
    return f"Next: {first.title}, due {deadline_text(first, board.now)}" if first is not None else ""


def _page_headline(board: StatusPage) -> tuple[str, str]:
    """The summary and its style. Unreachable systems and missing estimates are never summarized as on time."""
    if not board.header.engine.alive:
        return "No engine is running: this page is stale", "bad"
    if endangered := [service for service in board.services if service.is_endangered]:
        lost = any(service.timeliness in ("will_miss", "breached") for service in endangered)
        return f"{len(endangered)} of {counted(board.services, 'service')} at risk", "bad" if lost else "warn"
    if late := [service for service in board.services if service.timeliness == Timeliness.MET_LATE]:
        return f"{len(late)} of {counted(board.services, 'service')} met late", "warn"
    if unseen := unseen_targets_text(board.header, lambda at: clock_text(at, near=board.now)):
        return f"No service is known to be at risk, but {unseen}", "warn"
    if unknown := sum(
        service.timeliness == Timeliness.NO_ESTIMATE or is_unverified(service) for service in board.services
    ):
        return f"No service is known to be at risk; {unknown} without a verified forecast", "dim"
    return ("All services on time", "ok") if board.services else ("No service is configured", "dim")


def write_page(text: str, where: str) -> None:
    """To stdout for "-", else into the file, whole or not at all. Raises CommandError."""
    if where == STDOUT_NAME:
        sys.stdout.write(text)
        return
    try:
        replace_file(Path(where), text)
    except OSError as error:
        raise CommandError(Exit.USAGE, f"--html {where}: {error.strerror}; nothing was written") from None


def _page_sections(board: StatusPage) -> Iterable[StatusSection]:
    for section in _whole_sections(board):
        filled = [place for place in range(len(section.columns)) if any(row[place].text for row in section.rows)]
        columns = [section.columns[place] for place in filled]
        rows = [[row[place] for place in filled] for row in section.rows]
        yield StatusSection(section.title, columns, rows, section.none)


def _whole_sections(board: StatusPage) -> Iterable[StatusSection]:
    yield StatusSection(
        "Services",
        ("service", "status", "deadline", "expected", "slack", "act by", "tier", "cause"),
        [_page_service(service, board) for service in by_urgency(board.services)],
        "no service is configured",
    )
    yield StatusSection(
        "Incidents",
        ("incident", "cause", "failed", "act by", "services", "owner", "acknowledged by"),
        [_page_incident(incident, board.now) for incident in sort_by_impact(board.incidents)],
        "no open incident",
    )
    yield StatusSection(
        "Systems",
        ("system", "health", "jobs", "last seen"),
        [
            (
                StatusCell(f"{target.system}/{target.name}"),
                StatusCell(health, "ok" if health == "ok" else "bad"),
                StatusCell(f"{target.jobs:,}"),
                StatusCell(_value(clock_text(target.last_ok, near=board.now)), "whole"),
            )
            for target, health in board.systems
        ],
        "no system is configured",
    )


def _page_service(service: ServiceView, board: StatusPage) -> Sequence[StatusCell]:
    now = board.now
    is_old = not board.header.engine.alive
    style = "dim" if is_unverified(service, is_old) else STYLES[Timeliness(service.timeliness)]
    status = StatusCell(status_label(service, is_old), style)
    return (
        StatusCell(service.title),
        status,
        StatusCell(_value(deadline_text(service, now)), "whole"),
        StatusCell(_value(forecast_text(service, now))),
        StatusCell(_value(slack_text(service, now)) if service.is_promised else "", "whole"),
        StatusCell(_act_by(service.act_by, now), "whole"),
        StatusCell(str(service.tier)),
        StatusCell(
            service.cause
            or ("" if service.is_promised else reasons_text(service.reasons, partial(clock_text, near=now)))
        ),
    )


def _value(text: str) -> str:
    """Nothing for a dash: an empty cell is not shown."""
    return "" if text == "–" else text


def _act_by(at: datetime | None, now: datetime) -> str:
    """ "03:58 CET", "03:58 CET passed": the page gets older, so it has no countdown."""
    return clock_text(at, now) + " passed" * (at <= now) if at is not None else ""


def _page_incident(incident: IncidentRow, now: datetime) -> Sequence[StatusCell]:
    return (
        StatusCell(incident_name(incident.id), "whole"),
        StatusCell(incident.title),
        StatusCell(age_text(incident.failed_since, now), "whole"),
        StatusCell(_act_by(incident.act_by, now), "whole"),
        StatusCell(str(incident.services)),
        StatusCell(incident.owner, "whole"),
        StatusCell(acknowledged_text(incident, now)),
    )
