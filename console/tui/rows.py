"""Services, incidents, systems and holds as rows: views in, cells out. Pure; the time is an argument."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from connectors.words import Capability, State
from console.model.ids import incident_name
from console.model.views import HoldView, IncidentRow, ServiceView, TargetView
from console.model.words import Timeliness
from console.tui.cells import Look, act_by, counted
from console.tui.when import short, signed, span
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Column, Row

SERVICES = (
    Column("", 1, 1),
    Column("service", 16, 1, flex=2, most=34),
    Column("tier", 4, 4, right=True),
    Column("deadline", 8, 1),
    Column("left", 6, 2, right=True),
    Column("slack", 6, 2, right=True),
    Column("act by", 11, 1),
    Column("cause", 14, 3, flex=3, middle=True),
    Column("stands", 11, 6),
    Column("expected", 9, 7),
)
SERVICES_ZONED = tuple(column._replace(width=10) if column.title == "deadline" else column for column in SERVICES)
"""Where services do not share one zone, each deadline carries its own."""
INCIDENTS = (
    Column("", 1, 1),
    Column("incident", 8, 1),
    Column("cause", 30, 1, flex=4, middle=True),
    Column("hurts", 11, 2),
    Column("act by", 11, 1),
    Column("age", 6, 2, right=True),
    Column("runs hurt", 9, 5, right=True),
    Column("owner", 14, 4),
    Column("reason", 14, 6, flex=2),
)
SYSTEMS = (
    Column("", 1, 1),
    Column("system", 19, 1, flex=2, most=34),
    Column("kind", 14, 4),
    Column("polled", 10, 1),
    Column("every", 6, 5, right=True),
    Column("took", 6, 5, right=True),
    Column("jobs", 7, 2, right=True),
    Column("can", 12, 6, flex=1, most=30),
    Column("says", 26, 1, flex=3),
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


def service(view: ServiceView, look: Look, zoned: bool = False) -> Row:
    """A line of Services. `zoned`: the deadline carries its zone, because not all rows share one. A deadline with a
    plus was extended: its reason says by whom."""
    mark, word, style = look.glyphs.mark("timeliness", view.timeliness)
    dash = look.glyphs.sign("dash")
    deadline = look.clock.hm(view.deadline, look.now, view.zone)
    if zoned and len(deadline) < 6:
        deadline += " " + look.clock.label(view.deadline, view.zone)[:4]
    if view.extension:
        deadline = f"{deadline}+"
    left: Run = (short(view.deadline - look.now), "plain" if view.deadline > look.now else "bad")
    if not view.is_promised:
        deadline, left = dash, (dash, "dim")
    elif view.given:
        word_for, is_whole = view.given.removeprefix("delivered, "), view.given == "delivered"
        left = ("done", "ok") if is_whole else (word_for, "warn")
    return Row(
        view.id,
        (
            (mark, style),
            (view.title or view.name, "strong" if view.needs_a_person else "plain"),
            (str(view.tier), "dim"),
            (deadline, "plain"),
            left,
            _slack(view, look),
            act_by(view.act_by, look, view.zone) if view.delivered is None else (dash, "dim"),
            (view.cause.partition("/")[2] or view.cause, "plain") if view.is_promised else (view.reason, "dim"),
            (word, style),
            (look.clock.hm(view.delivered or view.expected, look.now, view.zone), "dim"),
        ),
    )


def _slack(view: ServiceView, look: Look) -> Run:
    """Deadline − expected finish; where an act-by stands, the time left to act is what counts."""
    if view.delivered is not None or view.timeliness == Timeliness.NO_ESTIMATE or view.expected is None:
        return look.glyphs.sign("dash"), "dim"
    slack = view.act_by - look.now if view.act_by is not None else view.deadline - view.expected
    return signed(slack), "bad" if slack < timedelta(0) else "plain"


def incident(view: IncidentRow, look: Look) -> Row:
    mark, style = ("✖", "bad") if view.closed is None else ("●", "ok")
    if look.glyphs.plain:
        mark = "X" if view.closed is None else "+"
    since = (view.closed or look.now) - view.failed_since
    hurts = counted(view.services, "service") if view.services else "nobody"
    return Row(
        view.id,
        (
            (mark, style),
            (incident_name(view.id), "strong"),
            (view.root_job or view.title, "plain"),
            (hurts, "plain"),
            ("closed", "ok") if view.closed else act_by(view.act_by, look),
            (short(since), "plain"),
            (str(view.hurt), "plain" if view.hurt else "dim"),
            (view.owner, "dim"),
            (f"{view.taken_by} is on it" if view.taken_by else view.reason, "ok" if view.taken_by else "dim"),
        ),
    )


def systems_columns(views: Sequence[TargetView]) -> tuple[Column, ...]:
    """The columns of Systems, as wide as what they hold: what says nothing leaves its room to the others."""
    longest = {
        "system": max((len(target_name(view)) for view in views), default=0),
        "can": max((len(_can(view)) for view in views), default=0),
    }
    speaks = any(_says(view)[0] for view in views)

    def fitted(column: Column) -> Column:
        if column.title == "system":
            return column._replace(width=max(column.width, min(longest["system"], WIDEST_NAME)), flex=1)
        if column.title in longest:
            return column._replace(most=max(column.width, longest[column.title]), flex=6)
        return column._replace(width=4, flex=0) if column.title == "says" and not speaks else column

    return tuple(map(fitted, SYSTEMS))


def target_name(view: TargetView) -> str:
    """ "etl-hosts/db07"; the system alone where its one target has the same name."""
    return view.system if view.name in ("", view.system) else f"{view.system}/{view.name}"


def target(view: TargetView, look: Look) -> Row:
    sick = view.failing_since is not None
    age = f"{span(look.now - view.last_ok)} ago" if view.last_ok else "never"
    stale = look.glyphs.sign("stale")
    mark: Run = (stale, "warn") if sick else (look.glyphs.mark("state", State.SUCCEEDED)[0], "ok")
    if view.last_ok is None and not sick:
        mark = (look.glyphs.mark("state", State.WAITING)[0], "dim")
    return Row(
        target_name(view),
        (
            mark,
            (target_name(view), "strong" if sick else "plain"),
            (f"{view.kind} {view.version}".strip(), "dim"),
            (f"{stale} {age}" if sick else age, "warn" if sick else "plain"),
            (span(timedelta(seconds=view.poll_every_s)), "dim"),
            ("" if view.poll_ms is None else f"{view.poll_ms:.0f}ms", "dim"),
            (f"{view.jobs:,}", "plain"),
            (_can(view), "dim"),
            _says(view),
        ),
    )


def _can(view: TargetView) -> str:
    """What can be done there, as verbs; how it is read is no matter of the person's."""
    return " ".join(verb.replace("_", " ") for verb in view.capabilities if verb not in READING)


def _says(view: TargetView) -> Run:
    if view.error:
        return f"{view.error_kind}: {view.error}" if view.error_kind else view.error, "bad"
    lacking = [str(right.get("name", "")) for right in view.rights if right.get("held") is False]
    if lacking:
        return f"missing right: {', '.join(lacking)}", "warn"
    if view.warnings:
        more = f" (+{len(view.warnings) - 1} more)" if len(view.warnings) > 1 else ""
        return f"{view.warnings[0]}{more}", "warn"
    if view.skew_s is not None and abs(view.skew_s) >= 2:
        return f"its clock is {view.skew_s:+.1f} s off", "warn"
    return f"{view.skipped} records skipped: {'; '.join(view.skipped_words[-1:])}" if view.skipped else "", "warn"


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
