"""Incidents that come together are one message: the first waits a little for the others."""

from __future__ import annotations

from console.control.alerts.scene import Held, Scene, Wanted
from console.durations import duration_words
from console.model.words import AlertKind

STAGE = "group"


def hold(scene: Scene, wanted: Wanted) -> Held | None:
    """Holds the first word for `group_wait` from the first that waits; what is about tier 1 waits for nothing."""
    wait = scene.rule(wanted.route).group_wait
    if not is_grouped(scene, wanted):
        return None
    begun = scene.held_since(STAGE, wanted.route)
    if begun + wait <= scene.now:
        return None
    words = f"waits {duration_words(wait.total_seconds())} for others, to leave as one message"
    return Held(STAGE, words, begun + wait)


def is_grouped(scene: Scene, wanted: Wanted) -> bool:
    return bool(scene.rule(wanted.route).group_wait) and wanted.kind is AlertKind.OPENED and wanted.subject.tier != 1
