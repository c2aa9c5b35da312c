"""Whom a plan helps: which service days each run is needed for, and whether there still is time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from connectors.contract import Evidence, State, instant_key
from console.clean import clean_line
from console.control.cases import Case
from console.control.fingerprint import Day
from console.control.forecast import Forecast, How, Node
from console.control.held import kept_back_by
from console.control.incidents import threat
from console.control.picture import Key, Picture, key_of, when
from console.control.recovery import Budgets
from console.control.words import moment
from console.model.plans import Save
from console.model.values import RunFacts

TO_COME = (How.CLOCK, How.WAITS, How.UNKNOWN)
"""Runs that are about to start."""
Days = Mapping[Day, tuple[Forecast, list[Node]]]
"""The service days that a cause hurts, each with what is broken in it."""


def to_come(node: Node, day: Forecast) -> RunFacts:
    """A run that nobody has seen yet; its period is not known before it starts."""
    return RunFacts(0, node.job_id, "", node.due, day.bd, State.PLANNED, Evidence.INFERRED)


def saves_of(picture: Picture, case: Case, days: Days) -> dict[Key, tuple[Save, ...]]:
    """Run -> the service days that need it, whether there still is time, and by when it must start."""
    found: dict[Key, list[Save]] = {}
    for day, nodes in days.values():
        save = _save(picture, day, threat(picture, case, day, nodes).act_by)
        save = replace(_unless_held(picture, day, save), deadline=instant_key(day.deadline), zone=day.service.zone)
        budgets = Budgets(picture, day)
        for node in day.unfinished():
            act_by = budgets.of(node.job_id).act_by
            slack = None if act_by is None else (act_by - picture.now).total_seconds()
            takes = picture.takes(node.job_id, day.service.risk)
            key = key_of(node.run or to_come(node, day))
            told = replace(save, slack_s=slack, takes_s=None if takes is None else takes.total_seconds())
            found.setdefault(key, []).append(told)
    return {key: tuple(each) for key, each in found.items()}


def _unless_held(picture: Picture, day: Forecast, save: Save) -> Save:
    """No plan saves what waits for a job that a person keeps back."""
    for node in day.unfinished() if save.saved is not False else ():
        due = when(node.run) if node.run is not None else node.due
        if node.how in TO_COME and (words := kept_back_by(picture.estate, node.job_id, due, picture.now)):
            job = clean_line(picture.job(node.job_id).name)
            return replace(save, saved=False, words=f"not by this plan: {job} is {words}", waits_for=job)
    return save


def _save(picture: Picture, day: Forecast, act_by: datetime | None) -> Save:
    name, bd = day.service.name, day.bd.isoformat()
    if picture.now > day.deadline:
        shown = moment(day.deadline, day.service.zone, picture.now)
        return Save(name, bd, saved=False, words=f"its deadline {shown} has passed")
    if act_by is None:
        return Save(name, bd, saved=None, words="nobody can tell: no estimate")
    shown = moment(act_by, day.service.zone, picture.now)
    if picture.now > act_by:
        return Save(name, bd, saved=False, words=f"its act-by {shown} has passed")
    return Save(name, bd, saved=True, words=f"act by {shown}")


def notes_of(picture: Picture, case: Case, days: Days) -> tuple[str, ...]:
    target = case.group.target
    if target is not None and target.failing_since is not None:
        name = clean_line(f"{target.system}/{target.name}")
        return (f"{name} does not answer: nothing can be sent there before it does",)
    lost = sorted({day.service.name for day, nodes in days.values()
                   if _save(picture, day, threat(picture, case, day, nodes).act_by).saved is False})  # fmt: skip
    return tuple(f"{name} cannot be saved any more; the plan repairs it for those who read it late" for name in lost)
