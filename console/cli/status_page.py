"""`headway status --html FILE`: the board as one page for people without a terminal, whole in itself.

It is written beside its place and moved there: a web server never hands out half of one. A page that is no longer
written anew says so by itself: an old page must not look like a calm night.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment
from markupsafe import Markup

from console.cli.common import Stop, clock_words, count, since_words, stamp
from console.cli.exits import Exit
from console.cli.services import by_urgency, deadline_words, forecast_words, slack_words, taken_words
from console.model.ids import incident_name
from console.model.views import HeaderView, IncidentRow, ServiceView, TargetView
from console.model.views.incidents import by_harm
from console.model.words import Timeliness

STDOUT = "-"
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
"""The colour beside the word, which alone says it."""
OLD_AFTER_SECONDS = 300
SCRIPT = (
    "if (Date.now() - Date.parse(document.getElementById('made').dateTime) > "
    f"{OLD_AFTER_SECONDS * 1000}) document.getElementById('old').hidden = false;"
)


class Cell(NamedTuple):
    """One cell, and how it is shown: "ok", "warn", "bad", "run", "dim" or ""."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A table with its title; `none` says what it means that it has no row, "" leaves it out then."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    none: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """What the page tells, as of one moment."""

    header: HeaderView
    services: Sequence[ServiceView]
    incidents: Sequence[IncidentRow]
    systems: Sequence[tuple[TargetView, str]]
    """With the words of its health."""
    banners: Sequence[str]
    engine: str
    now: datetime


def page(board: Board) -> str:
    """The page. Every word of it that comes from outside is escaped."""
    headline, tone = _headline(board)
    template = Environment(autoescape=True).from_string(files("console.cli").joinpath("status.html").read_text())
    return template.render(
        header=board.header,
        now=board.now,
        as_of=stamp(board.now),
        headline=headline,
        tone=tone,
        banners=board.banners,
        engine=board.engine,
        sections=list(_sections(board)),
        script=Markup(SCRIPT),  # noqa: S704 - our own constant
        script_sum=base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode(),
    )


def _headline(board: Board) -> tuple[str, str]:
    """How it stands altogether, and its style. What cannot be seen or estimated is never called well."""
    if not board.header.engine.alive:
        return "Nobody watches: what follows is old", "bad"
    number = len(board.services)
    if endangered := [one for one in board.services if one.is_endangered]:
        lost = any(one.timeliness in ("will_miss", "breached") for one in endangered)
        return f"{count(endangered, 'promise')} of {number} in danger", "bad" if lost else "warn"
    if late := [one for one in board.services if one.timeliness == Timeliness.MET_LATE]:
        return f"{count(late, 'promise')} of {number} kept late", "warn"
    if unseen := board.header.sick_targets:
        return f"No promise is known to be at risk, but {count(unseen, 'target')} cannot be seen", "warn"
    if unknown := [one for one in board.services if one.timeliness == Timeliness.NO_ESTIMATE]:
        return f"Nothing is at risk as far as is known, {len(unknown)} without an estimate", "dim"
    return ("Every promise stands", "ok") if board.services else ("No service is configured", "dim")


def write_page(text: str, where: str) -> None:
    """To stdout for "-", else into the file, whole or not at all. Raises Stop."""
    if where == STDOUT:
        sys.stdout.write(text)
        return
    path = Path(where)
    try:
        with tempfile.TemporaryDirectory(prefix=".headway-", dir=path.parent) as folder:
            made = Path(folder, "page")
            made.write_text(text, encoding="utf-8")
            made.chmod(0o644)
            made.replace(path)
    except OSError as error:
        raise Stop(Exit.USAGE, f"--html {where}: {error.strerror}; nothing was written") from None


def _sections(board: Board) -> Iterable[Section]:
    yield Section(
        "Services",
        ("service", "stands", "deadline", "expected", "slack", "act by", "tier", "cause"),
        [_service(one, board) for one in by_urgency(board.services)],
        "no service is configured",
    )
    yield Section(
        "Incidents",
        ("incident", "cause", "failed", "act by", "services", "owner", "on it"),
        [_incident(one, board.now) for one in by_harm(board.incidents)],
        "nothing is broken that Headway sees",
    )
    yield Section(
        "Systems",
        ("system", "health", "jobs", "last seen"),
        [
            (Cell(f"{one.system}/{one.name}"), Cell(health, "ok" if health == "ok" else "bad"), Cell(f"{one.jobs:,}"),
             Cell(clock_words(one.last_ok, near=board.now), "whole"))
            for one, health in board.systems
        ],
        "no system is configured",
    )  # fmt: skip


def _service(one: ServiceView, board: Board) -> Sequence[Cell]:
    now = board.now
    stands = Cell(one.timeliness.replace("_", " "), STYLES[Timeliness(one.timeliness)])
    if stands.style == "ok" and one.delivered is None and not board.header.engine.alive:
        stands = Cell(f"was {stands.text}", "dim")
    act_by = clock_words(one.act_by, one.zone, now) if one.act_by is not None else "–"
    return (
        Cell(one.title),
        stands,
        Cell(deadline_words(one, now), "whole"),
        Cell(forecast_words(one, now)),
        Cell(slack_words(one, now) if one.is_promised else "–", "whole"),
        Cell(act_by, "whole"),
        Cell(str(one.tier)),
        Cell(one.cause or ("" if one.is_promised else one.reason)),
    )


def _incident(one: IncidentRow, now: datetime) -> Sequence[Cell]:
    return (
        Cell(incident_name(one.id), "whole"),
        Cell(one.title),
        Cell(since_words(one.failed_since, now), "whole"),
        Cell(clock_words(one.act_by, near=now), "whole"),
        Cell(str(one.services)),
        Cell(one.owner or "–", "whole"),
        Cell(taken_words(one, now) or "–"),
    )
