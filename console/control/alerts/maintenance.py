"""What is planned is no alert: while a maintenance covers the root, what is new waits for its end."""

from __future__ import annotations

from console.control.alerts.scene import Held, Scene, Wanted
from console.control.fingerprint import read_told
from console.control.quiet import maintenance_of

STAGE = "maintenance"


def hold(scene: Scene, wanted: Wanted) -> Held | None:
    """Holds what `console.control.quiet.quieted` marked: whoever was told before hears of the end all the same."""
    if not read_told(wanted.subject.decision.fingerprint).quiet:
        return None
    found = maintenance_of(scene.picture, wanted.subject.case)
    return Held(STAGE, found.words("UTC"), found.until) if found is not None else Held(STAGE, "a maintenance")
