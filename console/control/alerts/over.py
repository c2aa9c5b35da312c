"""When an incident was over: what held its alert back may have ended before that, while nobody looked."""

from __future__ import annotations

from datetime import datetime

from console.control.alerts.scene import Scene, Subject
from console.control.cases import hurt_runs


def over_at(scene: Scene, subject: Subject) -> datetime:
    """The last end of all that it had broken; now, where nothing says when: once too often is better than never."""
    case, now = subject.case, scene.now
    if case.incident is None or case.incident.rule or not case.group.roots():
        return now
    runs = [*case.group.roots(), *hurt_runs(scene.picture, case.incident)]
    return min(now, max(run.ended_at or now for run in runs))
