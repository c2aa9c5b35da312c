"""Somebody is on it: nothing is repeated and nobody else is called until that lapses."""

from __future__ import annotations

from console.clean import clean_line
from console.control.alerts.scene import Held, Scene, Wanted
from console.control.words import moment
from console.model.words import AlertKind


def hold(scene: Scene, wanted: Wanted) -> Held | None:
    """Holds repeats and escalations; what is new is told all the same."""
    ack = wanted.subject.ack
    if ack is None or wanted.kind not in (AlertKind.REPEATED, AlertKind.ESCALATED):
        return None
    return Held("acknowledge", f"{clean_line(ack.by)} is on it until {moment(ack.until, 'UTC', scene.now)}", ack.until)
