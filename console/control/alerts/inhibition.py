"""Inhibition: another open incident explains this one, so that its first notification and its repeats wait.

An incident explains another by its unreachable target, or by an `[[inhibit]]` rule of config.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, product

from console.control.alerts.context import (
    AlertContext,
    AlertSubject,
    Notification,
    Suppression,
    matches_root,
    resolved_since,
)
from console.domain.alert import AlertKind
from console.domain.dependency import find_components
from console.domain.ids import incident_name
from console.text.cleaning import clean_line

INHIBIT_STAGE = "inhibit"
Topic = tuple[object, ...]
"""Key that the explaining and the explained side share: a target, or a rule with the values that both must have."""


def suppress_inhibited(context: AlertContext, notification: Notification) -> Suppression | None:
    """The first notification and repeats, while another incident explains it."""
    if notification.before is not None and notification.kind is not AlertKind.REPEATED:
        return None
    if context.explained is None:
        context.explained = inhibiting_topics(context)
    explanation = context.explained.get(id(notification.subject))
    if explanation is None:
        return None
    explaining, is_target = explanation
    number = explaining.decision.incident_id
    name = (
        incident_name(number)
        if number is not None
        else clean_line(explaining.roots[0].job or explaining.decision.title)
    )
    reason = "its target is down" if is_target else "inhibited by a rule of the config"
    return Suppression(INHIBIT_STAGE, f"{name}: {reason}")


def inhibiting_topics(context: AlertContext) -> Mapping[int, tuple[AlertSubject, bool]]:
    """By `id` of a subject: the subject that explains it, and whether by its target.

    If subjects explain each other, over however many rules, the older explains the younger: one of them is notified.
    """
    by, what = _topics(context)
    pairs: list[tuple[object, object]] = [
        (id(subject), topic) for topic, subjects in by.items() for subject in subjects
    ]
    pairs += [(topic, id(subject)) for subject, topics in what for topic in topics if topic in by]
    knots = {member: number for number, (knot, _) in enumerate(find_components(pairs)) for member in knot}
    first = {topic: _first_two(subjects, knots) for topic, subjects in by.items()}
    explained: dict[int, tuple[AlertSubject, bool]] = {}
    for subject, topics in what:
        for topic in topics:
            explaining = _explaining(subject, first.get(topic, ()), knots)
            if explaining is not None and id(subject) not in explained:
                explained[id(subject)] = explaining, topic[0] == "target"
    return explained


def inhibited_until(context: AlertContext, subject: AlertSubject) -> datetime | None:
    """Until when the subject was explained: now, while an explaining incident is open; None if none is open or was
    just resolved."""
    if context.explaining is None:
        context.explaining = _ends(context)
    topics = chain(_on_target(context, subject), _as(context, subject, by=False))
    ends = (at for topic in topics for at, explaining in context.explaining.get(topic, ()) if explaining is not subject)
    return max(ends, default=None)


def _ends(context: AlertContext) -> Mapping[Topic, Sequence[tuple[datetime, AlertSubject]]]:
    """By topic, the two subjects that explain it longest: one of them differs from the explained one."""
    by_topic: dict[Topic, list[tuple[datetime, AlertSubject]]] = {}
    for subject in context.subjects:
        at = resolved_since(context, subject) if subject.decision.closed else context.now
        for topic in chain(_as_target(subject), _as(context, subject, by=True)):
            by_topic.setdefault(topic, []).append((at, subject))
    return {topic: sorted(ends, key=lambda end: end[0])[-2:] for topic, ends in by_topic.items()}


def _topics(context: AlertContext) -> tuple[dict[Topic, list[AlertSubject]], list[tuple[AlertSubject, list[Topic]]]]:
    """The explaining subjects by topic, the oldest first; and each subject with the topics that explain it."""
    by: dict[Topic, list[AlertSubject]] = {}
    what: list[tuple[AlertSubject, list[Topic]]] = []
    for subject in sorted(context.subjects, key=_age):
        for topic in (
            ()
            if subject.decision.closed or subject.match.is_repaired
            else chain(_as_target(subject), _as(context, subject, by=True))
        ):
            by.setdefault(topic, []).append(subject)
        what.append((subject, [*_on_target(context, subject), *_as(context, subject, by=False)]))
    return by, what


def _as_target(subject: AlertSubject) -> Iterator[Topic]:
    for target in subject.match.group.targets:
        yield "target", target.id


def _on_target(context: AlertContext, subject: AlertSubject) -> Iterator[Topic]:
    root = subject.match.group.root
    if root is not None:
        yield "target", context.index.job(root.job_id).target_id


def _as(context: AlertContext, subject: AlertSubject, by: bool) -> Iterator[Topic]:
    """Topics of the rules that it fits on that side, with each combination of the values that both sides must share.
    Of several targets each explains; they are explained by what explains all of them."""
    for place, rule in enumerate(context.alerting.inhibit):
        topics = [
            dict.fromkeys(product(*(subject.values(root)[name] for name in rule.equal)))
            if matches_root(rule.by if by else rule.what, subject, root)
            else {}
            for root in subject.roots
        ]
        for combination in dict.fromkeys(chain(*topics)):
            if by or all(combination in known for known in topics):
                yield "rule", place, *combination


def _first_two(subjects: Sequence[AlertSubject], knots: Mapping[object, int]) -> list[AlertSubject]:
    untied = (subject for subject in subjects[1:] if not _is_tied(subject, subjects[0], knots))
    return [subjects[0], *([second] if (second := next(untied, None)) is not None else [])]


def _explaining(
    subject: AlertSubject, candidates: Sequence[AlertSubject], knots: Mapping[object, int]
) -> AlertSubject | None:
    for candidate in candidates:
        if candidate is not subject and (_age(candidate) < _age(subject) or not _is_tied(candidate, subject, knots)):
            return candidate
    return None


def _is_tied(first: AlertSubject, second: AlertSubject, knots: Mapping[object, int]) -> bool:
    return id(first) in knots and knots[id(first)] == knots.get(id(second))


def _age(subject: AlertSubject) -> tuple[bool, int, datetime, str]:
    number = subject.decision.incident_id
    return number is None, number or 0, subject.decision.failed_since, subject.decision.key
