"""What somebody cancelled through Headway is known to them: nobody else is woken for it, unless it is left lying until
a service that hangs on it is nearly lost, or more breaks than was cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from connectors.contract import State
from console.clean import clean_line
from console.control.alerts.scene import Held, Scene, Subject, Wanted
from console.control.titles import is_told_cancelled
from console.model.words import Timeliness

STAGE = "cancelled"
AHEAD = timedelta(minutes=30)
"""So long before an act-by, or a deadline without one, it is told: in time for a restart."""
LEAST = timedelta(minutes=15)
"""But whoever cancelled has so long to restart it, or to say what they are up to."""
_SYMPTOMS = (State.BLOCKED, State.MISSED)
"""What a cancel itself brings about below it."""


def hold(scene: Scene, wanted: Wanted) -> Held | None:
    """Holds every word but that it is over."""
    subject, picture = wanted.subject, scene.picture
    root = subject.case.group.root
    if root is None or subject.decision.closed:
        return None
    if not is_told_cancelled(picture, subject.case, subject.decision.title):
        return None
    others = (run for run in subject.case.group.red if run.job_id != root.job_id)
    cancel = picture.estate.cancels.get(root.id)
    if cancel is None or any(run.state.is_red and run.state not in _SYMPTOMS for run in others):
        return None
    by, turns = f"{clean_line(cancel.by)} cancelled it through Headway", list(_turns(subject))
    if not turns:
        return Held(STAGE, by)
    until = max(min(turns), cancel.sent_at + LEAST)
    return None if until <= scene.now else Held(STAGE, f"{by}; told before a service is lost by that", until)


def _turns(subject: Subject) -> Iterator[datetime]:
    """When each hurt service must be spoken of."""
    for one in subject.decision.services:
        if one.timeliness not in (Timeliness.MET, Timeliness.MET_LATE):
            yield (one.act_by or one.deadline) - AHEAD
