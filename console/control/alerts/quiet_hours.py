"""Quiet hours: what can wait until the morning does, and is told then; what is over by then, as over."""

from __future__ import annotations

from datetime import datetime, timedelta

from console.control.alerts.scene import Held, Scene, Wanted
from console.control.fingerprint import said_over
from console.control.words import moment
from console.control.zones import instant_at, zone_of
from console.model.alerting import QuietHours
from console.model.words import AlertKind

STAGE = "quiet hours"


def hold(scene: Scene, wanted: Wanted) -> Held | None:
    """Holds until the quiet hours end, but for the tiers that break through. Who was told within them is told the end
    of it too."""
    quiet = scene.rule(wanted.route).quiet
    if quiet is None or wanted.subject.tier in quiet.break_through:
        return None
    until = quiet_until(quiet, scene.now)
    if until is None or (wanted.kind is AlertKind.RECOVERED and _woken(quiet, wanted, until)):
        return None
    return Held(STAGE, f"quiet hours until {moment(until, quiet.zone, scene.now)}", until)


def let_go(scene: Scene, wanted: Wanted, at: datetime) -> datetime:
    """When what is put off until then may leave: then, or when the quiet hours of that time are over."""
    quiet = scene.rule(wanted.route).quiet
    if quiet is None or wanted.subject.tier in quiet.break_through:
        return at
    return quiet_until(quiet, at) or at


def quiet_until(quiet: QuietHours, now: datetime) -> datetime | None:
    """When the quiet hours that hold `now` end; None outside of them."""
    zone = zone_of(quiet.zone)
    local = now.astimezone(zone)
    at, through_midnight = local.time(), quiet.ends <= quiet.begins
    is_late, is_early = at >= quiet.begins, at < quiet.ends
    if not (is_late or is_early if through_midnight else is_late and is_early):
        return None
    on = local.date() + timedelta(days=1) if through_midnight and is_late else local.date()
    until = instant_at(datetime.combine(on, quiet.ends), zone)
    return until if until > now else None


def _woken(quiet: QuietHours, wanted: Wanted, until: datetime) -> bool:
    """Whether the route was told within these very hours that it is broken; that it was over was put off itself."""
    before = wanted.before
    return before is not None and quiet_until(quiet, before.last_at) == until and not said_over(before.fingerprint)
