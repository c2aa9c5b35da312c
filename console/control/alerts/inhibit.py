"""A notice that another one explains is not told: an outage is one alert, not one for each job on it."""

from __future__ import annotations

from collections.abc import Iterator

from console.control.alerts.scene import Held, Scene, Subject, Wanted, fits
from console.model.alerting import InhibitRule
from console.model.ids import incident_name
from console.model.values import AlertKind


def hold(scene: Scene, wanted: Wanted) -> Held | None:
    """Holds what is not told yet while an incident that was opened before explains it."""
    if wanted.before is not None and wanted.kind is not AlertKind.REPEATED:
        return None
    return next(_explained(scene, wanted), None)


def _explained(scene: Scene, wanted: Wanted) -> Iterator[Held]:
    subject = wanted.subject
    for other in scene.subjects:
        if other.decision.incident_id is None or other.decision.closed or other is subject:
            continue
        name = incident_name(other.decision.incident_id)
        if _is_its_target(scene, subject, other):
            yield Held("inhibit", f"{name} explains it: its target is not to be seen")
        elif any(_explains(rule, other, subject) for rule in scene.alerting.inhibit):
            yield Held("inhibit", f"{name} explains it, by a rule of the config")


def _is_its_target(scene: Scene, subject: Subject, other: Subject) -> bool:
    """Whether the other is about the target on which this one's job runs."""
    root, target = subject.case.group.root, other.case.group.target
    return root is not None and target is not None and scene.picture.job(root.job_id).target_id == target.id


def _explains(rule: InhibitRule, other: Subject, subject: Subject) -> bool:
    """Never each other: what fits both ends of a rule is explained by what was opened before it."""
    if not fits(rule.by, other) or not fits(rule.what, subject):
        return False
    if fits(rule.what, other) and fits(rule.by, subject) and not _is_older(other, subject):
        return False
    ours, theirs = subject.values(), other.values()
    return all(not set(ours[name]).isdisjoint(theirs[name]) for name in rule.equal)


def _is_older(other: Subject, subject: Subject) -> bool:
    mine, its = subject.decision.incident_id, other.decision.incident_id
    return its is not None and (mine is None or its < mine)
