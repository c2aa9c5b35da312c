"""A person muted it, by matchers and window."""

from __future__ import annotations

from console.clean import clean_line
from console.control.alerts.scene import Held, Scene, Wanted, fits
from console.model.values import AlertKind


def hold(scene: Scene, wanted: Wanted) -> Held | None:
    """Holds everything but that it is over: whoever was told of it may rest."""
    if wanted.subject.decision.closed and wanted.kind is not AlertKind.OPENED:
        return None
    for one in scene.telling.silences:
        if one.until <= scene.now or not fits(one.matchers, wanted.subject, wanted.route):
            continue
        if scene.is_due(one.begins):
            why = f": {clean_line(one.why)}" if one.why else ""
            return Held("silence", f"silence {one.id} of {clean_line(one.by)}{why}", one.until)
    return None
