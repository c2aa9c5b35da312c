"""Whom a plan helps: which service days each run is needed for, and whether there still is time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from connectors.contract import Evidence, State, instant_key
from console.clean import clean_line
from console.control.cases import Case
from console.control.fingerprint import Day
from console.control.forecast import Forecast, How, Node
from console.control.held import kept_back_by
from console.control.incidents import threat
from console.control.picture import Key, Picture, key_of, when
from console.control.recovery import Budgets
from console.control.service_standing import Threat
from console.control.words import moment
from console.model.forecasts import late_words
from console.model.plans import Save
from console.model.values import RunFacts

SURE = 0.99
"""A P(late) above this leaves no chance that is worth a word."""
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
        hurt = threat(picture, case, day, nodes)
        save = _save(picture, day, hurt.act_by)
        save = replace(_unless_held(picture, day, save), deadline=instant_key(day.deadline), zone=day.service.zone)
        clocks = _clocks(picture, day, hurt)
        for node in day.unfinished():
            act_by, takes = clocks(node.job_id)
            slack = None if act_by is None else (act_by - picture.now).total_seconds()
            key = key_of(node.run or to_come(node, day))
            told = replace(save, slack_s=slack, takes_s=None if takes is None else takes.total_seconds())
            found.setdefault(key, []).append(told)
    return {key: tuple(each) for key, each in found.items()}


def _clocks(picture: Picture, day: Forecast, hurt: Threat) -> Callable[[int], tuple[datetime | None, timedelta | None]]:
    """Of each job its latest start, and what that counts for the job itself: of what must be restarted first as its
    service tells it, of what follows from the same simulation; else by sums of quantiles."""
    budgets = Budgets(picture, day)
    ahead = {one.job_id: one for one in day.odds.jobs} if day.odds is not None else {}

    def of(job_id: int) -> tuple[datetime | None, timedelta | None]:
        known, budget = ahead.get(job_id), hurt.budget
        if budget is not None and budget.job_id == job_id and known and budget.act_by and budget.green_by:
            return budget.act_by, budget.green_by - budget.act_by
        if known is not None and known.act_by is not None and known.green_by is not None:
            return known.act_by, known.green_by - known.act_by
        return budgets.of(job_id).act_by, picture.takes(job_id, day.service.risk)

    return of


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
        chance = f", {late_words(day.odds.late)}" if _may_be_saved(picture, day) and day.odds is not None else ""
        return Save(name, bd, saved=False, words=f"its act-by {shown} has passed{chance}")
    return Save(name, bd, saved=True, words=f"act by {shown}")


def notes_of(picture: Picture, case: Case, days: Days) -> tuple[str, ...]:
    target = case.group.target
    if target is not None and target.failing_since is not None:
        name = clean_line(f"{target.system}/{target.name}")
        return (f"{name} does not answer: nothing can be sent there before it does",)
    lost = {(day.service.name, day.bd): day for day, nodes in days.values()
            if _save(picture, day, threat(picture, case, day, nodes).act_by).saved is False}  # fmt: skip
    return tuple(dict.fromkeys(_lost_words(picture, lost[each]) for each in sorted(lost)))


def _lost_words(picture: Picture, day: Forecast) -> str:
    if _may_be_saved(picture, day) and day.odds is not None:
        return f"{day.service.name}: {late_words(day.odds.late)}, its act-by has passed; the plan may still save it"
    return f"{day.service.name} cannot be saved any more; the plan repairs it for those who read it late"


def _may_be_saved(picture: Picture, day: Forecast) -> bool:
    """Past its act-by, which keeps P(late) within the service's risk, a chance may be left."""
    return day.odds is not None and day.odds.late <= SURE and picture.now <= day.deadline
