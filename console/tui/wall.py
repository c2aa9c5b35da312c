"""What a wallboard says: services by urgency, incidents, systems and how old all of it is. Pure; views in, lines out.

Nobody presses a key there, so nothing may look well because it is not looked at: what is old has neither its mark nor
its colour, and the line above says since when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from console.model.ids import incident_name
from console.model.views import HeaderView, IncidentRow, ServiceView, TargetView
from console.model.views.incidents import by_harm
from console.tui import digits, services
from console.tui.cells import Look, act_by, counted
from console.tui.forecast import forecast_bar
from console.tui.rows import target_name
from console.tui.service_rows import cause_words, deadline, left
from console.tui.when import short
from console.tui.widgets.bar import Line
from console.tui.widgets.paint import Run, cut, fit, length_of

PAGE_SECONDS = 12
"""How long a page stays."""
HIGH = 30
"""Lines from which there is air between what is told, and a clock that is read across a room."""
LATE = timedelta(seconds=30)
"""What was not read for so long is old, whatever the engine does."""


@dataclass(frozen=True, slots=True)
class Wall:
    """All that was read."""

    header: HeaderView | None
    services: Sequence[ServiceView]
    incidents: Sequence[IncidentRow]
    targets: Sequence[TargetView]
    error: str = ""
    read: datetime | None = None
    """When the store last answered."""

    def old_since(self, now: datetime) -> datetime | None:
        """Since when nothing here is known to be true any more; None while it is."""
        if self.header is None or self.read is None:
            return now
        if not self.header.engine.alive:
            return self.header.engine.heartbeat or now
        return self.read if self.error or now - self.read > LATE else None

    def blind(self, view: ServiceView) -> str:
        """The target out of sight that its critical path runs on; empty where all of it is seen, or it is over."""
        if self.header is None or view.delivered is not None:
            return ""
        return next((name for name, _ in self.header.sick_targets if any(_runs_on(job, name) for job in view.path)), "")


def _runs_on(job: str, target: str) -> bool:
    system, _, host = target.partition("/")
    return job.startswith(f"{system}/{host}:" if host and host != system else f"{system}/")


def lines(wall: Wall, look: Look, width: int, height: int) -> list[Line]:
    """The whole board, in exactly so many lines."""
    head = _head(wall, look, width, height)
    foot = [_line([], ()), *_systems(wall, look, width)]
    incidents = _incidents(wall, look, width, 4 if height < HIGH else height // 4)
    room = max(1, height - len(head) - len(foot) - len(incidents))
    board = _services(wall, look, width, room, height >= HIGH)
    board += [_line([], ())] * (room - len(board))
    return [*head, *board[:room], *incidents, *foot][:height]


def _line(runs: Sequence[Run], right: Sequence[Run] = (), ground: str = "") -> Line:
    return tuple(runs), tuple(right), ground


# how it stands altogether


def _head(wall: Wall, look: Look, width: int, height: int) -> list[Line]:
    name = f" Headway {wall.header.estate}".rstrip() if wall.header is not None else " Headway"
    zone = look.clock.label(look.now, look.clock.home)
    told = _headline(wall, look)
    day = look.clock.local(look.now).strftime("%A %d %B")
    if height < HIGH or look.glyphs.plain:
        clock: list[Run] = [(f"{look.clock.hms(look.now)} {zone} ", "strong")]
        return [_line([(name, "strong"), *_replayed(wall)], clock, "panel"), *told, _line([])]
    big = digits.big(look.clock.hms(look.now)[:5])
    sides: list[list[Run]] = [
        [(name, "strong"), *_replayed(wall)],
        [(f" {day} {zone}", "dim")],
        [(_age(wall, look), "dim")],
    ]
    board = [_line(left, [(f"{text} ", "key")]) for left, text in zip(sides, big, strict=True)]
    return [*board, _line([]), *told, _line([])]


def _replayed(wall: Wall) -> list[Run]:
    return [("  ", "plain"), (" REPLAY ", "mark")] if wall.header is not None and wall.header.replay else []


def _age(wall: Wall, look: Look) -> str:
    """How old the newest look at each target is at most."""
    if wall.old_since(look.now) is not None:
        return ""
    seen = [target.last_ok for target in wall.targets if target.last_ok is not None and target.failing_since is None]
    return f" all that is seen is at most {short(max(look.now - min(seen), timedelta(0)))} old" if seen else ""


def _headline(wall: Wall, look: Look) -> list[Line]:
    """One line that is read first, and why nothing is sent where that is so."""
    header, since = wall.header, wall.old_since(look.now)
    if header is None and not wall.error:
        return [_line([(" reading the store", "dim")])]
    if header is None or since is not None:
        why = f"the store cannot be read: {wall.error}" if wall.error else _nobody(wall, look)
        known = since is not None and since < look.now  # a replay's engine lives by another clock
        age = f"; what stands here is {short(look.now - since)} old" if known and since is not None else ""
        return [_line([(f" OLD: {why}{age}", "alarm")], (), "alarm")]
    found = [_line([_summary(wall, look)])]
    quiet = header.frozen or (f"shadow: {', '.join(header.in_shadow)}" if header.in_shadow else "")
    return [*found, _line([(f" nothing is sent: {quiet}", "alarm")], (), "alarm")] if quiet else found


def _nobody(wall: Wall, look: Look) -> str:
    if wall.header is None or wall.header.engine.heartbeat is None:
        return "no engine has run yet"
    if wall.header.engine.alive:
        return "the store does not answer"
    return f"no engine since {look.clock.hm(wall.header.engine.heartbeat, look.now)}"


def _summary(wall: Wall, look: Look) -> Run:
    bad = services.needing_a_person(wall.services)
    if bad:
        late = sum(view.timeliness in ("will_miss", "breached", "met_late") for view in wall.services)
        words = f" {counted(bad, 'service')} need{'s' * (bad == 1)} somebody{f', {late} late' if late else ''}"
        return words, "bad" if late else "warn"
    calm = services.calm_words(wall.services, wall.header, wall.error, look)
    return (f" {calm[0]}", calm[1]) if calm is not None else (" no service is configured yet", "dim")


# services


def _services(wall: Wall, look: Look, width: int, room: int, airy: bool) -> list[Line]:
    """What needs somebody is on every page; the others take turns where they do not fit."""
    ordered = services.by_urgency(wall.services)
    hurt = [view for view in ordered if view.needs_a_person]
    well = ordered[len(hurt) :]
    each = 2 if airy and len(ordered) * 2 <= room else 1
    fits = max(1, (room - 1) // each)
    if len(hurt) >= fits:
        hurt, well = [], ordered
    turn = max(1, fits - len(hurt))
    pages = max(1, -(-len(well) // turn))
    page = int(look.now.timestamp()) // PAGE_SECONDS % pages
    shown = [*hurt, *well[page * turn : (page + 1) * turn]]
    told: list[Line] = []
    for view in shown:
        told += [_line(_service(view, wall, look, width)), *[_line([])] * (each - 1)]
    if pages > 1:
        told = [*told[: room - 1], _line([(f" page {page + 1} of {pages}, {len(ordered)} services", "dim")])]
    return told


def _service(view: ServiceView, wall: Wall, look: Look, width: int) -> list[Run]:
    """Mark and word, name, deadline, what is left, the forecast, act by; cause and who is on it where there is room."""
    mark, word, style = look.glyphs.mark("timeliness", view.timeliness)
    blind = wall.blind(view) if style == "ok" else ""
    is_old = wall.old_since(look.now) is not None
    if is_old or blind:
        mark, word, style = "?", "not seen" if blind and not is_old else word, "dim"
    bar = 10 if width < 100 else width // 8
    name = max(14, min(34, width // 4))
    due, ahead = deadline(view, look, not look.clock.home), left(view, look)
    drawn = ("", "dim") if blind else forecast_bar(view, look, bar)
    runs: list[Run] = [
        (f" {mark} ", style),
        (fit(word, 12), style),
        (fit(view.title or view.name, name) + " ", "strong" if view.needs_a_person else "plain"),
        (fit(due[0], 10 if not look.clock.home else 6), due[1]),
        (fit(ahead[0], 7, right=True) + " ", ahead[1]),
        (fit(drawn[0], bar) + "  ", drawn[1]),
    ]
    if view.act_by is not None and view.delivered is None:
        when, urgent = act_by(view.act_by, look, view.zone)
        runs.append((f"act by {when}  " if width >= 100 else f"by {when}", urgent))
    if width >= 100:
        taken = f"{look.glyphs.sign('taken')} {view.taken_by}  " if view.taken_by else ""
        runs += [(taken, "ok"), (f"{blind} is not seen" if blind else cause_words(view), "warn" if blind else "plain")]
    return [(text, "dim" if is_old and look_of != "bad" else look_of) for text, look_of in runs]


# incidents and systems


def _incidents(wall: Wall, look: Look, width: int, most: int) -> list[Line]:
    if not wall.incidents:
        return []
    ordered = by_harm(wall.incidents)
    told = [_line([(f" {counted(len(ordered), 'INCIDENT').upper()}", "key")])]
    told += [_line(_incident(one, look, width)) for one in ordered[: max(1, most - 1)]]
    more = len(ordered) - (len(told) - 1)
    return [*told, _line([(f" {more} more", "dim")])] if more else told


def _incident(one: IncidentRow, look: Look, width: int) -> list[Run]:
    runs: list[Run] = [(f" {incident_name(one.id)} ", "bad"), (f"{short(look.now - one.failed_since)} ", "dim")]
    if one.act_by is not None:
        when, urgent = act_by(one.act_by, look)
        runs.append((f"act by {when} ", urgent))
    until = f" until {look.clock.hm(one.taken_until, look.now)}" if one.taken_until else ""
    taken: Run = (f" {look.glyphs.sign('taken')} {one.taken_by}{until}", "ok")
    who = taken if one.taken_by else (" nobody has taken it", "warn")
    room = width - length_of([*runs, who]) - 1
    return [*runs, (cut(one.title, max(10, room)), "plain"), who]


def _systems(wall: Wall, look: Look, width: int) -> list[Line]:
    """Each target with the age of its last look; what cannot be seen first. At most three lines."""
    far = look.now - timedelta(days=3650)
    is_old = wall.old_since(look.now) is not None
    ordered = sorted(wall.targets, key=lambda one: (one.is_well, one.last_ok or far, target_name(one)))
    told: list[list[Run]] = [[(" SYSTEMS", "key")]]
    for place, one in enumerate(ordered):
        runs = _target(one, look, is_old)
        if length_of(told[-1]) + length_of(runs) > width - 10:
            if len(told) == 3:
                told[-1].append((f"  +{len(ordered) - place}", "dim"))
                break
            told.append([("        ", "plain")])
        told[-1] += runs
    return [_line(runs) for runs in told]


def _target(one: TargetView, look: Look, is_old: bool) -> list[Run]:
    age = short(max(look.now - one.last_ok, timedelta(0))) if one.last_ok is not None else "never"
    if one.failing_since is not None:
        return [(f"  {look.glyphs.sign('stale')} {target_name(one)} {age}", "warn")]
    if one.stands_still:
        mark = look.glyphs.mark("state", "missed")[0]
        return [(f"  {mark} {target_name(one)} {age}, nothing starts", "bad")]
    good = one.last_ok is not None and not is_old
    mark = look.glyphs.mark("state", "succeeded")[0] if good else "?"
    return [(f"  {mark}", "ok" if good else "dim"), (f" {target_name(one)} {age}", "dim")]
