"""Incidents, systems and holds as rows: views in, cells out. Pure; the time is an argument."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from connectors.words import Capability, State
from console.model.ids import incident_name
from console.model.views import HoldView, IncidentRow, TargetView
from console.tui.cells import Look, act_by, counted, flowing, paused_words
from console.tui.course import row_told
from console.tui.when import short, span
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Column, Row

INCIDENTS = (
    Column("", 1, 1),
    Column("incident", 8, 1),
    Column("cause", 22, 1, flex=4, most=56, middle=True),
    Column("act by", 11, 1),
    Column("failed", 6, 1, right=True),
    Column("hurts", 5, 2, right=True),
    Column("on it", 9, 3, flex=1, most=16),
    Column("told", 10, 4),
    Column("also here", 10, 5, flex=1, most=22),
    Column("reason", 40, 6, flex=2),
)
SYSTEMS = (
    Column("", 1, 1),
    Column("system", 19, 1, flex=2, most=34),
    Column("kind", 14, 4),
    Column("stands", 12, 1),
    Column("polled", 10, 1),
    Column("every", 6, 5, right=True),
    Column("took", 6, 5, right=True),
    Column("jobs", 7, 2, right=True),
    Column("can", 12, 6, flex=1, most=30),
    Column("says", 24, 1, flex=3),
)
HOLDS = (
    Column("", 1, 1),
    Column("job", 28, 1, flex=3, most=60),
    Column("state", 9, 1),
    Column("until", 11, 1),
    Column("start", 9, 3),
    Column("by", 8, 4, flex=1, most=18),
    Column("kind", 9, 5),
    Column("why", 18, 2, flex=4),
)

WIDEST_NAME = 40
"""Cells that a system's name may take before others are left any."""
READING = (Capability.NATIVE_DEPENDENCIES, Capability.PERIODS)
"""Capabilities that are no verb."""


def incident(view: IncidentRow, look: Look, others: str = "") -> Row:
    """A line of Incidents: how long it has failed, until when it can be mended, whom it hits, who knows and is on it.
    `others`: who else has it open."""
    mark, style = ("✖", "bad") if view.closed is None else ("●", "ok")
    if look.glyphs.plain:
        mark = "X" if view.closed is None else "+"
    since = (view.closed or look.now) - view.failed_since
    closed: Run = (f"over {look.clock.hm(view.closed, look.now)}", "ok")
    nobody: Run = ("nobody", "warn" if view.services else "dim")
    return Row(
        view.id,
        (
            (mark, style),
            (incident_name(view.id), "strong"),
            (view.root_job or view.title, "plain"),
            closed if view.closed else act_by(view.act_by, look),
            (short(since), "plain"),
            (str(view.services), "plain" if view.services else "dim"),
            (view.taken_by, "ok") if view.taken_by else (look.glyphs.sign("dash"), "dim") if view.closed else nobody,
            row_told(view, look, is_short=True),
            (others, "key"),
            (view.reason, "dim"),
        ),
    )


def incident_about(view: IncidentRow, look: Look, width: int, others: str) -> list[list[Run]]:
    """What the line of an incident has no room for, on as many lines as it takes."""
    when = look.clock.hm(view.failed_since, look.now)
    parts: list[Run] = [(view.reason or view.title, "strong"), (f"failed since {when}, bd {view.bd}", "dim")]
    if view.closed is not None:
        parts.append((f"closed {look.clock.hm(view.closed, look.now)}", "ok"))
    elif view.act_by is not None:
        parts.append((f"can be mended until {look.clock.hm(view.act_by, look.now)}", "warn"))
    parts.append((f"hits {', '.join(view.hits)}" if view.hits else "hits no service", "plain"))
    parts += [(f"{counted(view.hurt, 'run')} red or stale", "plain")] if view.hurt else []
    parts += [(f"owner {view.owner}", "dim")] if view.owner else []
    if view.taken_by:
        parts.append((f"{view.taken_by} is on it until {look.clock.hm(view.taken_until, look.now)}", "ok"))
    parts.append(row_told(view, look))
    parts += [(f"also here: {others}", "key")] if others else []
    return flowing(parts, width)


def systems_columns(views: Sequence[TargetView]) -> tuple[Column, ...]:
    """The columns of Systems, as wide as what they hold: what says nothing leaves its room to the others."""
    system = max((len(target_name(view)) for view in views), default=0)
    longest = {
        "kind": max((len(_kind(view)) for view in views), default=0),
        "can": max((len(_can(view)) for view in views), default=0),
    }
    speaks = any(view.says for view in views)

    def fitted(column: Column) -> Column:
        if column.title == "system":
            return column._replace(width=max(column.width, min(system, WIDEST_NAME)), flex=1, most=system)
        if column.title in longest:
            return column._replace(most=max(column.width, longest[column.title]), flex=6)
        return column._replace(width=4, flex=0) if column.title == "says" and not speaks else column

    return tuple(map(fitted, SYSTEMS))


def target_name(view: TargetView) -> str:
    """ "etl-hosts/db07"; the system alone where its one target has the same name."""
    return view.system if view.name in ("", view.system) else f"{view.system}/{view.name}"


def target(view: TargetView, look: Look, is_watched: bool = True) -> Row:
    """A line of Systems; while nobody watches, none is well."""
    sick = view.failing_since is not None or view.pause is not None
    length = short if sick else span
    age = f"{length(look.now - view.last_ok)} ago" if view.last_ok else "never"
    stale = look.glyphs.sign("stale")
    mark, word, style = _health(view, look, is_watched)
    return Row(
        target_name(view),
        (
            (mark, style),
            (target_name(view), "strong" if sick else "plain"),
            (_kind(view), "dim"),
            (word, style),
            (f"{stale} {age}" if sick else age, "warn" if sick else "plain"),
            (span(timedelta(seconds=view.poll_every_s)), "dim"),
            ("" if view.poll_ms is None else f"{view.poll_ms:.0f}ms", "dim"),
            (f"{view.jobs:,}", "plain"),
            (_can(view), "dim"),
            _says(view, look),
        ),
    )


def _health(view: TargetView, look: Look, is_watched: bool) -> tuple[str, str, str]:
    """How it stands: mark, word and style."""
    if view.failing_since is not None or view.pause is not None:
        return look.glyphs.sign("stale"), "paused" if view.pause is not None else "out of reach", "warn"
    if view.last_ok is None:
        return look.glyphs.mark("state", State.WAITING)[0], "not seen yet", "dim"
    if view.stands_still:
        return look.glyphs.mark("state", State.MISSED)[0], "stands still", "bad"
    if not is_watched:
        return "?", "not watched", "dim"
    return look.glyphs.mark("state", State.SUCCEEDED)[0], "in reach", "ok"


def _kind(view: TargetView) -> str:
    """What it is, and which version of it, which may name what it is."""
    return view.version if view.version.startswith(f"{view.kind} ") else f"{view.kind} {view.version}".strip()


def _can(view: TargetView) -> str:
    """What can be done there, as verbs; how it is read is no matter of the person's."""
    return " ".join(verb.replace("_", " ") for verb in view.capabilities if verb not in READING)


def _says(view: TargetView, look: Look) -> Run:
    if view.pause is not None:
        return paused_words(view.pause, look), "warn"
    return view.says, "bad" if view.error or view.stands_still else "warn"


def hold(view: HoldView, look: Look) -> Row:
    """A line of Holds."""
    mark, _, style = look.glyphs.mark("state", State.HELD)
    when = look.clock.hm(view.until, look.now)
    left = view.until - look.now
    seen = f"; last seen held {look.clock.hm(view.seen, look.now)}" if view.seen is not None else ""
    until: Run = (f"{when} {short(left)}", "plain") if left > timedelta(0) else (f"{when} past", "warn")
    return Row(
        view.key,
        (
            (mark, "warn" if view.state in ("held", "found") else style),
            (view.job, "plain"),
            (view.state.replace("_", " "), "strong"),
            until,
            (look.clock.day(view.due, look.now), "dim"),
            (view.held_by, "dim"),
            (view.kind, "dim"),
            (f"{view.told}{seen}", "plain"),
        ),
    )
