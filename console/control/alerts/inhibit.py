"""A notice that another one explains is not told: an outage is one alert, not one for each job on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, product

from console.clean import clean_line
from console.control.alerts.over import over_at
from console.control.alerts.scene import Held, Scene, Subject, Wanted, fits
from console.model.alerting import InhibitRule
from console.model.cycles import knotted
from console.model.ids import incident_name
from console.model.words import AlertKind

STAGE = "inhibit"
Topic = tuple[object, ...]
"""What explains and what is explained meet in: a target, or a rule with the values that both must have."""


def hold(scene: Scene, wanted: Wanted) -> Held | None:
    """Holds what is not told yet while another incident explains it."""
    if wanted.before is not None and wanted.kind is not AlertKind.REPEATED:
        return None
    if scene.explained is None:
        scene.explained = explained(scene)
    found = scene.explained.get(id(wanted.subject))
    if found is None:
        return None
    other, is_target = found
    number = other.decision.incident_id
    name = incident_name(number) if number is not None else clean_line(other.job or other.decision.title)
    what = "its target is not to be seen" if is_target else "by a rule of the config"
    return Held(STAGE, f"{name} explains it{':' if is_target else ','} {what}")


def explained(scene: Scene) -> Mapping[int, tuple[Subject, bool]]:
    """By `id` of a subject: what explains it, and whether that is its target.

    Of subjects that explain each other, over however many rules, the older explains the younger: one of them is told.
    """
    by, what = _topics(scene)
    knots = _knots(by, what)
    first = {topic: _first_two(subjects, knots) for topic, subjects in by.items()}
    found: dict[int, tuple[Subject, bool]] = {}
    for subject, topics in what:
        for topic in topics:
            other = _explaining(subject, first.get(topic, ()), knots)
            if other is not None and id(subject) not in found:
                found[id(subject)] = other, topic[0] == "target"
    return found


def explained_until(scene: Scene, subject: Subject) -> datetime | None:
    """Until when what explains the subject was there: now, while one of them is open; None where nothing explains it
    that is open or was found to be over just now."""
    if scene.explaining is None:
        scene.explaining = _ends(scene)
    topics = chain(_on_target(scene, subject), _as(scene, subject, by=False))
    ends = (at for topic in topics for at, one in scene.explaining.get(topic, ()) if one is not subject)
    return max(ends, default=None)


def _ends(scene: Scene) -> Mapping[Topic, Sequence[tuple[datetime, Subject]]]:
    """By topic, the two that explain it longest: one of them is another than whoever asks."""
    found: dict[Topic, list[tuple[datetime, Subject]]] = {}
    for subject in scene.subjects:
        at = over_at(scene, subject) if subject.decision.closed else scene.now
        for topic in chain(_as_target(subject), _as(scene, subject, by=True)):
            found.setdefault(topic, []).append((at, subject))
    return {topic: sorted(ends, key=lambda one: one[0])[-2:] for topic, ends in found.items()}


def _topics(scene: Scene) -> tuple[dict[Topic, list[Subject]], list[tuple[Subject, list[Topic]]]]:
    """The subjects that explain, by topic, the oldest first; and each subject with the topics that explain it."""
    by: dict[Topic, list[Subject]] = {}
    what: list[tuple[Subject, list[Topic]]] = []
    for subject in sorted(scene.subjects, key=_age):
        for topic in () if subject.decision.closed else chain(_as_target(subject), _as(scene, subject, by=True)):
            by.setdefault(topic, []).append(subject)
        what.append((subject, [*_on_target(scene, subject), *_as(scene, subject, by=False)]))
    return by, what


def _as_target(subject: Subject) -> Iterator[Topic]:
    target = subject.case.group.target
    if target is not None:
        yield "target", target.id


def _on_target(scene: Scene, subject: Subject) -> Iterator[Topic]:
    """The target on which its job runs."""
    root = subject.case.group.root
    if root is not None:
        yield "target", scene.picture.job(root.job_id).target_id


def _as(scene: Scene, subject: Subject, by: bool) -> Iterator[Topic]:
    """The rules that it fits on that side, with each of its values that both sides must share."""
    for place, rule in enumerate(scene.alerting.inhibit):
        if fits(rule.by if by else rule.what, subject):
            yield from _shared(place, rule, subject)


def _shared(place: int, rule: InhibitRule, subject: Subject) -> Iterator[Topic]:
    values = subject.values()
    for combination in product(*(dict.fromkeys(values[name]) for name in rule.equal)):
        yield "rule", place, *combination


def _knots(by: Mapping[Topic, Sequence[Subject]], what: Sequence[tuple[Subject, list[Topic]]]) -> Mapping[object, int]:
    """`id` of a subject -> the number of the knot of subjects that explain each other of which it is one."""
    pairs: list[tuple[object, object]] = [(id(one), topic) for topic, subjects in by.items() for one in subjects]
    pairs += [(topic, id(subject)) for subject, topics in what for topic in topics if topic in by]
    return {one: number for number, (knot, _) in enumerate(knotted(pairs)) for one in knot}


def _first_two(subjects: Sequence[Subject], knots: Mapping[object, int]) -> list[Subject]:
    """The oldest, and the oldest that is in no knot with it: nobody asks for more."""
    others = (one for one in subjects[1:] if not _is_tied(one, subjects[0], knots))
    return [subjects[0], *([other] if (other := next(others, None)) is not None else [])]


def _explaining(subject: Subject, candidates: Sequence[Subject], knots: Mapping[object, int]) -> Subject | None:
    for one in candidates:
        if one is not subject and (_age(one) < _age(subject) or not _is_tied(one, subject, knots)):
            return one
    return None


def _is_tied(one: Subject, other: Subject, knots: Mapping[object, int]) -> bool:
    return id(one) in knots and knots[id(one)] == knots.get(id(other))


def _age(subject: Subject) -> tuple[bool, int, datetime, str]:
    """What is not written yet is younger than what is."""
    number = subject.decision.incident_id
    return number is None, number or 0, subject.decision.failed_since, subject.decision.key
