"""What is still open and nobody acknowledged is told again."""

from __future__ import annotations

from console.control.alerts.scene import Scene, Subject
from console.durations import duration_words
from console.model.alerting import ToldFacts


def why_again(scene: Scene, subject: Subject, told: ToldFacts) -> str:
    """Why the route is told again now; empty while it is not."""
    every = scene.rule(told.route).repeat_every
    if every is None or not scene.is_due(told.last_at + every):
        return ""
    open_for = duration_words((scene.now - told.first_at).total_seconds())
    return f"Still open {open_for} after the first word, and nobody has acknowledged it."
