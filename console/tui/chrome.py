"""The lines around every screen, as runs: header, banner, footer, and the status of a terminal that is too small."""

from __future__ import annotations

from collections.abc import Sequence

from textual.geometry import Size

from console.model.views import HeaderView, ServiceView
from console.tui import keys
from console.tui.cells import Look
from console.tui.glyphs import Glyphs
from console.tui.when import ZoneMode, short
from console.tui.widgets.paint import Run, fit, length_of

SMALLEST = (60, 15)
"""Columns and lines below which only a status is shown."""
Sides = tuple[list[Run], list[Run]]


def head(view: HeaderView | None, look: Look, width: int, approvals: int = 0) -> Sides:
    """Estate and clock left; what is wrong right: services late or at risk, incidents, targets out of reach."""
    zone = look.clock.home
    clock = f"{look.clock.hms(look.now, zone)} {look.clock.label(look.now, zone)}"
    if view is None:
        return [(" Headway", "strong"), (f" {look.glyphs.sign('dot')} {clock}", "plain")], [
            ("reading the store ", "dim")
        ]
    left: list[Run] = [(f" Headway {view.estate}".rstrip(), "strong"), (f" {look.glyphs.sign('dot')} ", "dim")]
    if view.replay:
        left += [(" REPLAY ", "mark"), (" ", "plain")]
    left.append((clock, "plain"))
    return left, _wrong(view, look, width - length_of(left) - 2, approvals)


def _wrong(view: HeaderView, look: Look, room: int, approvals: int) -> list[Run]:
    at_risk = view.at_risk - view.late
    parts: list[Run] = [(f"A {approvals} to approve", "mark")] if approvals else []
    if stopped := view.stopped_plans:
        parts.append((f"{len(stopped)} plans stopped" if len(stopped) > 1 else f"plan {stopped[0]} stopped", "bad"))
    parts += [(f"{view.late} late", "bad")] if view.late else []
    parts += [
        (f"{at_risk} at risk", "warn" if at_risk else "dim"),
        (f"{view.open_incidents} incident{'s' * (view.open_incidents != 1)}", "bad" if view.open_incidents else "dim"),
    ]
    stale = look.glyphs.sign("stale")
    for number, (name, last_ok) in enumerate(view.sick_targets):
        age = short(look.now - last_ok) if last_ok else "never seen"
        text = f"{name} {stale} {age}"
        others = len("+9 stale · ") if number + 1 < len(view.sick_targets) else 0
        if sum(len(part[0]) + 3 for part in parts) + len(text) + others > room:  # the clock is never what is cut
            parts.append((f"{'+' * bool(number)}{len(view.sick_targets) - number} stale", "warn"))
            break
        parts.append((text, "warn"))
    dot = (f" {look.glyphs.sign('dot')} ", "dim")
    joined: list[Run] = []
    for part in parts:
        joined += [dot, part] if joined else [part]
    return [*joined, (" ", "dim")]


def banner(view: HeaderView | None, store_error: str, look: Look, starting: bool = False) -> str:
    """What must be known before anything on the screen is believed; empty when all is well."""
    if starting:
        return " starting the engine…"
    if store_error:
        return f" the store cannot be read: {store_error}"
    if view is not None and view.engine.alive and view.engine.trouble:
        return f" the engine has trouble, see its log: {view.engine.trouble}"
    if view is None or view.engine.alive:
        return _kept_back(view) if view is not None else ""
    since = view.engine.heartbeat
    if view.engine.stuck:
        return f" nothing is watched{f' since {look.clock.hm(since, look.now)}' if since else ''}: {view.engine.stuck}"
    if since is None:
        return ' no engine has run on this store yet: nothing is watched; start one with "headway engine"'
    at = look.clock.hm(since, look.now)
    if view.replay:  # leases stay on real time, the screen shows the night's; its config is gone with its console
        return f" no engine since {at} real time — what is below is old; leave and start anew"
    return f' no engine since {at} — the data below is old; start one with "headway engine"'


def _kept_back(view: HeaderView) -> str:
    """Why nothing is sent although somebody watches."""
    if view.frozen:
        return f" FROZEN, nothing is sent: {view.frozen.removeprefix('frozen ')}"
    if view.in_shadow:
        return f" SHADOW, nothing is sent: {', '.join(view.in_shadow)}"
    return ""


def foot(where: str, crumb: str, dead: set[str], glyphs: Glyphs, width: int) -> Sides:
    """Keys of this screen, as many as fit; what cannot run now is dim. Jump and help stay at the right edge."""
    right: list[Run] = []
    left: list[Run] = [(f" <{fit(crumb, min(len(crumb), 28))}> ", "dim")]
    for act in keys.footer(where):
        runs: list[Run] = [
            (f" {keys.shown(act.keys[0], glyphs.plain)}", "dim" if act.name in dead else "key"),
            (f" {act.word} ", "dim" if act.name in dead else "plain"),
        ]
        if act.name in ("jump", "help"):
            right += runs
        else:
            left += runs
    while left and length_of(left) + length_of(right) > width:
        del left[-2:]
    return left, right


def zone_words(look: Look) -> str:
    """Whose wall clock is shown."""
    mode = look.clock.mode
    if mode is ZoneMode.UTC:
        return "UTC"
    if mode is ZoneMode.MINE:
        return f"mine ({look.clock.label(look.now)})"
    return "each service's own" + (f" ({look.clock.label(look.now, look.clock.home)})" if look.clock.home else "")


def is_small(size: Size) -> bool:
    """True where only a status is shown: no key works but the one that leaves. A size of nothing is not known yet."""
    return bool(size) and (size.width < SMALLEST[0] or size.height < SMALLEST[1])


def small(size: Size, view: HeaderView | None, services: Sequence[ServiceView], look: Look) -> list[list[Run]]:
    """A terminal under 60x15: one line for each service that is not well, and how much room a screen needs."""
    lines: list[list[Run]] = [[(f"terminal too small: {size.width}x{size.height}; 60x15 shows a screen", "warn")]]
    lines.append([("no key works here but ^C, which leaves", "dim")])
    for service in sorted(services, key=lambda one: (not one.needs_a_person, one.act_by or one.deadline)):
        mark, word, style = look.glyphs.mark("timeliness", service.timeliness)
        when = look.clock.hm(service.deadline, look.now, service.zone) if service.is_promised else ""
        lines.append(
            [(f"{mark} ", style), (fit(service.title or service.name, 20), "plain"), (f" {when} {word}", style)]
        )
    return lines
