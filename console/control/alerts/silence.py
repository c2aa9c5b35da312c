"""A person muted it, by matchers and window."""

from __future__ import annotations

from console.clean import clean_line
from console.control.alerts.scene import Held, Scene, Wanted, fits


def hold(scene: Scene, wanted: Wanted) -> Held | None:
    """Holds everything but that it is over: whoever was told of it may rest. Who was not is not told then either."""
    is_over = wanted.subject.decision.closed
    if is_over and wanted.before is not None:
        return None
    for one in scene.telling.silences:
        if one.until <= scene.now or not fits(one.matchers, wanted.subject, wanted.route):
            continue
        if scene.is_due(one.begins):
            why = f": {clean_line(one.why)}" if one.why else ""
            return Held("silence", f"silence {one.id} of {clean_line(one.by)}{why}", None if is_over else one.until)
    return None
