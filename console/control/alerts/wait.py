"""`for`: a condition that is over by itself in no time wakes nobody."""

from __future__ import annotations

from console.control.alerts.scene import Held, Scene, Wanted
from console.durations import duration_words
from console.model.words import AlertKind

STAGE = "wait"


def hold(scene: Scene, wanted: Wanted) -> Held | None:
    """Holds the first word until the condition has held for the route's `for`; tier 1 waits for nothing."""
    wait = scene.rule(wanted.route).wait
    if wanted.kind is not AlertKind.OPENED or wanted.subject.tier == 1:
        return None
    until = wanted.subject.decision.failed_since + wait
    if until <= scene.now:
        return None
    return Held(STAGE, f"told once it has held for {duration_words(wait.total_seconds())}", until)
