"""An incident as lines: whom it hurts, its runs, what was told and done, in the order that one asks at night."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from operator import attrgetter
from textwrap import wrap
from typing import TYPE_CHECKING

from console.clean import clean_line
from console.model.forecasts import late_words
from console.model.ids import incident_name
from console.model.promises import not_too_many
from console.model.views import HurtService, IncidentView, MemberView
from console.tui.before import last_time
from console.tui.cells import Look, act_by, counted, flowing, heading, line
from console.tui.course import held_words, last_told, receipt
from console.tui.glyphs import Role
from console.tui.order import verb_word
from console.tui.when import short
from console.tui.widgets.paint import Run, fit
from console.tui.widgets.table import Row

if TYPE_CHECKING:
    from console.store.reads.audit import ApprovalView

REASON_LINES = 4
WIDE_REASON_LINES = 8
"""Lines of a service's reason, and where there is room; the record (`i`) has all of it."""
WIDE = 24
"""Lines of a story from which there is room."""
FOLLOWERS = (Role.RED, Role.STALE)
_ORDER = {role: place for place, role in enumerate((Role.ROOT, Role.RED, Role.STALE, Role.THREATENED, Role.REPAIRED))}


def title(view: IncidentView, look: Look, width: int) -> tuple[list[Run], list[Run]]:
    """The one line that says it: what broke, and until when it can be mended."""
    row = view.row
    mark: Run = ("X" if look.glyphs.plain else "✖", "bad")
    if row.closed is not None:
        mark = ("+" if look.glyphs.plain else "●", "ok")
    left: list[Run] = [(f" {incident_name(row.id)} ", "key"), mark, (f" {row.root_job or row.title}", "strong")]
    if row.closed is not None:
        return left, [(f"closed {look.clock.hm(row.closed, look.now)} ", "ok")]
    if row.act_by is None:
        return left, [("no act-by ", "dim")]
    when, style = act_by(row.act_by, look)
    return left, [("act by ", "dim"), (when, style), (" ", "plain"), *_budget(view, look, width), (" ", "plain")]


def _budget(view: IncidentView, look: Look, width: int) -> list[Run]:
    """How much of the time from failure to act-by is left: a bar that empties."""
    row = view.row
    if row.act_by is None or width < 100:
        return []
    whole = max(row.act_by - row.failed_since, timedelta(seconds=1))
    full = round(8 * min(1.0, max(0.0, (row.act_by - look.now) / whole)))
    return [(look.glyphs.sign("full") * full, "warn"), (look.glyphs.sign("empty") * (8 - full), "dim")]


def clocks(view: IncidentView, look: Look, width: int, others: str = "") -> list[list[Run]]:
    """Reason, business date, the other clock, who is on it, who else looks, and the last word to anybody: on as many
    lines as it takes. `others`: who else has it open, in words."""
    row = view.row
    since = f"{look.clock.hm(row.failed_since, look.now)} ({short((row.closed or look.now) - row.failed_since)})"
    parts: list[Run] = [(f"bd {row.bd}", "dim"), (f"failed since {since}", "dim")]
    parts += [(f"owner {row.owner}", "dim")] if row.owner else []
    if row.taken_by:
        parts.append((f"{row.taken_by} is on it until {look.clock.hm(row.taken_until, look.now)}", "ok"))
    elif row.closed is None:
        parts.append(("nobody is on it", "warn"))
    parts += [(f"also here: {others}", "key")] if others else []
    words, style = last_told(view, look)
    return flowing([(row.reason or row.title, "plain"), *parts, (clean_line(words), style)], width)


def lines(view: IncidentView, look: Look, width: int, height: int = 0) -> list[Row]:
    """Everything of the incident, section by section, for `width` cells; services and runs can be picked."""
    return [
        *_services(view, look, width, WIDE_REASON_LINES if height >= WIDE else REASON_LINES),
        *_members(view, look, width),
        *_changed(view, width),
        *_actions(view, look),
        *_told(view, look, width),
    ]


def approval(one: ApprovalView, look: Look) -> list[Run]:
    """What waits for another person, in one line."""
    words = f"{verb_word(one.verb)} {one.job}, asked by {one.requested_by}: {one.why}".removesuffix(": ")
    return [
        (" waits for approval ", "mark"),
        (f" {words}", "plain"),
        (f"   {look.key('incident', 'approvals')} approves", "dim"),
    ]


def _services(view: IncidentView, look: Look, width: int, most: int) -> Iterator[Row]:
    left = f"{counted(view.row.hurt, 'run')} left red or stale" if view.row.hurt else ""
    yield heading("hurts", f"HURTS {counted(len({one.name for one in view.services}), 'service')}", left)
    for service, more in not_too_many(view.services, attrgetter("name")):
        key = (service.name, service.instance)
        yield line(("service", *key), _service(service, look, view.row.closed is not None), pick=True)
        for number, text in enumerate(wrap(_why(service, look), max(20, width - 4), max_lines=most, placeholder=" …")):
            yield line(("why", *key, number), [(f"   {text}", "dim")])
        if more:
            yield line(("more", service.name), [(f"   and {more} more of {service.name}", "dim")])


def _why(service: HurtService, look: Look) -> str:
    """The other clock, where the estimate comes from, and the reason of the verdict."""
    known = service.green_by is not None
    green_by = f", green by {look.clock.hm(service.green_by, look.now, service.zone)}" if known else ""
    source = f" · {service.source}" if service.source and not service.reason.startswith(service.source) else ""
    odds = "" if service.p_late is None else f", {late_words(service.p_late)}"
    odds += ", its forecast is not to be trusted" if odds and service.distrust else ""
    return clean_line(f"tier {service.tier}{odds}{green_by}{source}: {service.reason}".removesuffix(": "))


def _service(service: HurtService, look: Look, is_over: bool) -> list[Run]:
    mark, _, style = look.glyphs.mark("timeliness", service.timeliness)
    when, urgent = act_by(service.act_by, look, service.zone)
    deadline = look.clock.hm(service.deadline, look.now, service.zone)
    label = look.clock.label(service.deadline, service.zone)
    return [
        (f" {mark} ", style),
        (fit(service.title or service.name, 18), "strong"),
        (f" {deadline} {label}  ", "plain"),
        *([] if is_over and service.act_by is None else [("act by ", "dim"), (when, urgent)]),
    ]


def _members(view: IncidentView, look: Look, width: int) -> Iterator[Row]:
    followers = sum(member.role in FOLLOWERS and member.can_rerun for member in view.members)
    note = f"after the root, {followers} to rerun: {look.key('incident', 'recover')} plans it" if followers else ""
    yield heading("runs", f"RUNS {len(view.members)}", note)
    for member in sorted(view.members, key=lambda one: _ORDER.get(Role(one.role), 9) if one.role in _ORDER else 9):
        runs = [*_member(member, look), *_acted(view, member, look)]
        yield line(("run", member.run_id, member.job), runs, pick=member.run_id is not None)
    if told := last_time(view, look):
        yield from _wrapped(("before", 0), f"{told}: {look.key('incident', 'before')}", "dim", width)


def _changed(view: IncidentView, width: int) -> Iterator[Row]:
    """What differs from the last good run of the root, and what the incident was a part of or came back as."""
    row = view.row
    kin = [f"split from {incident_name(row.split_from)}"] if row.split_from is not None else []
    kin += [f"merged into {incident_name(row.merged_into)}"] if row.merged_into is not None else []
    kin += [f"reopened {'once' if row.reopened == 1 else f'{row.reopened} times'}"] if row.reopened else []
    if row.changes or kin:
        yield heading("changed", "CHANGED since it was last green", "")
    if kin:
        yield line(("kin",), [(f"   {', '.join(kin)}", "warn")])
    for number, words in enumerate(row.changes):
        for part, text in enumerate(wrap(words, max(20, width - 4), max_lines=2, placeholder=" …")):
            yield line(("changed", number, part), [(f"   {text}", "plain")])


def _member(member: MemberView, look: Look) -> list[Run]:
    role_mark, role, role_style = look.glyphs.mark("role", member.role)
    state_mark, state, state_style = look.glyphs.mark("state", member.state)
    when = look.clock.hm(member.ended or member.started, look.now)
    stale: Run = (" read stale data", "warn") if member.stale_read else ("", "plain")
    return [
        (f" {role_mark} {role:<7}", role_style),
        (f" {state_mark} {fit(f'{state} {when}', 16)} ", state_style),
        (member.job, "strong" if member.role == Role.ROOT else "plain"),
        stale,
    ]


def _acted(view: IncidentView, member: MemberView, look: Look) -> list[Run]:
    """How far the newest action on a member has come."""
    own = [action for action in view.actions if action.run_id == member.run_id]
    if not own:
        return []
    newest = max(own, key=lambda action: action.requested)
    mark, word, style = look.glyphs.mark("action", newest.state)
    return [(f"  {verb_word(newest.verb)} ", "dim"), (f"{mark} {word}", style)]


def _actions(view: IncidentView, look: Look) -> Iterator[Row]:
    if not view.actions:
        return
    yield heading("done", f"DONE {len(view.actions)}")
    for action in view.actions:
        mark, word, style = look.glyphs.mark("action", action.state)
        when = look.clock.hm(action.requested, look.now)
        yield line(
            ("run", action.run_id, action.key),
            [(f" {mark} ", style), (f"{when} {verb_word(action.verb)} {action.job} ", "plain"), (word, style),
             (f"  {action.words}", "dim"), (f"  {action.requested_by}", "dim")],
            pick=True,
        )  # fmt: skip


def _told(view: IncidentView, look: Look, width: int) -> Iterator[Row]:
    yield heading("told", f"TOLD {len(view.deliveries)}", "" if view.deliveries else "nobody yet")
    for number, one in enumerate(view.held):
        if one.ended is None or one.ended_why not in ("", "told"):
            yield from _wrapped(("held", number), clean_line(held_words(one)), "warn", width)
    for number, delivery in enumerate(view.deliveries):
        words, style = receipt(delivery, look)
        yield from _wrapped(("told", number), clean_line(f"{delivery.kind}: {words}"), style, width)


def _wrapped(key: tuple[str, int], words: str, style: str, width: int) -> Iterator[Row]:
    for place, text in enumerate(wrap(words, max(20, width - 4), max_lines=3, placeholder=" …")):
        yield line((*key, place), [(f"   {'  ' if place else ''}{text}", style)])
