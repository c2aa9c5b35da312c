"""How a service day stands, and why, in one sentence: delivered, threatened by what is broken, or as it is forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from connectors.contract import State
from console.clean import clean_line
from console.control.data_state import partial_words
from console.control.delivery import waits_for
from console.control.estimate import ENOUGH_RUNS
from console.control.forecast import Finish, Forecast, How
from console.control.forecast.odds import Odds
from console.control.kept_too_long import kept_too_long
from console.control.moments import up
from console.control.picture import Picture
from console.control.readiness import Waiting
from console.control.recovery import Budget
from console.control.risk import alarm_of, has_passed, judged
from console.control.scoring import distrust_of
from console.control.words import moment
from console.model.forecasts import late_words
from console.model.words import Timeliness

SAID = 0.05
"""From here on a reason says how likely it is late."""
NOT_TRUSTED = "its forecasts are not to be trusted"


@dataclass(frozen=True, slots=True)
class Threat:
    """What endangers one service day: an incident's cause and the tightest of its clocks for this service."""

    key: str
    cause: str
    """Name of the job or target, cleaned."""
    budget: Budget | None
    waits_for_restart: bool
    """False while all that is broken is running again: then its forecast counts, and there is no act-by any more."""

    hangs: bool = False
    """True where what runs takes too long: then it stands by its forecast, and a restart saves it until the act-by."""

    @property
    def act_by(self) -> datetime | None:
        return self.budget.act_by if self.budget is not None and (self.waits_for_restart or self.hangs) else None


def timeliness_of(
    picture: Picture, day: Forecast, done: datetime | None, threat: Threat | None
) -> tuple[Timeliness, str]:
    """How it stands, and why. `done`: when it was delivered; `threat`: the most urgent one."""
    zone = day.service.zone
    if done is not None:
        late = done > day.deadline
        partial = partial_words(picture, day)
        at, how = moment(done, zone, day.deadline), f", partial: {partial}" if partial else ""
        words = f"delivered {at}{_late_words(late)}{how}"
        return (Timeliness.MET_LATE if late else Timeliness.MET), words
    if checks := waits_for(picture, day):
        return _unready(picture, day, checks)
    unproved = _unproved(picture, day)
    if unproved:
        return Timeliness.NO_ESTIMATE, unproved
    if picture.now > day.deadline:
        return Timeliness.BREACHED, f"not delivered by {moment(day.deadline, zone, picture.now)}{_because(threat)}"
    if kept := kept_too_long(picture, day):
        return Timeliness.WILL_MISS, kept
    if threat is not None and threat.waits_for_restart:
        return _threatened(picture, day, threat)
    if day.finish is None:  # what is broken is no calmer for it that nobody can tell how long its repair takes
        return (Timeliness.AT_RISK if threat else Timeliness.NO_ESTIMATE), f"{_missing(picture, day)}{_because(threat)}"
    return _by_forecast(picture, day, day.finish, threat)


def _by_forecast(picture: Picture, day: Forecast, finish: Finish, threat: Threat | None) -> tuple[Timeliness, str]:
    """By when it will be done, and how likely that is too late."""
    expected = f"expected {moment(up(finish.p50), day.service.zone, picture.now)}"
    if finish.p50 > day.deadline:
        expected += ", after its deadline"
    if day.odds is None:
        stands = Timeliness.WILL_MISS if finish.p50 > day.deadline else Timeliness.ON_TIME
    else:
        estate, name = picture.estate, day.service.name
        alarm = alarm_of(day.service.risk, day.service.promise.false_alarm_days, estate.peaks.get(name, ()))
        stands = judged(day.odds.late, alarm.late, estate.stood.get((name, day.bd)))
        if day.odds.late >= SAID or stands is not Timeliness.ON_TIME:
            expected = f"{late_words(day.odds.late)}: {expected}{_why(day.odds, distrust_of(estate.tallies, name))}"
        else:
            expected += _why(day.odds, "")
    if threat is not None and stands is Timeliness.ON_TIME:
        stands = Timeliness.AT_RISK  # until it is good: that it runs again proves nothing
    return stands, f"{expected}{_because(threat)}"


def _odds_words(day: Forecast) -> str:
    """How likely it is late as repairs go here, and why; empty where it hardly is, or nothing stands out."""
    if day.odds is None or day.odds.late < SAID or not day.odds.why:
        return ""
    return f"; {late_words(day.odds.late)}: {day.odds.why}"


def _why(odds: Odds, distrusted: str) -> str:
    return "; ".join(["", *filter(None, [odds.why, distrusted and f"{NOT_TRUSTED}: {distrusted}"])])


def _threatened(picture: Picture, day: Forecast, threat: Threat) -> tuple[Timeliness, str]:
    budget, zone = threat.budget, day.service.zone
    if budget is None or budget.act_by is None or budget.green_by is None:
        return Timeliness.AT_RISK, _without_figures(picture, day, threat)
    after = (f"; {budget.reason}" if budget.reason else "") + _odds_words(day)
    act_by, green_by = (moment(at, zone, picture.now) for at in (budget.act_by, budget.green_by))
    was = picture.estate.stood.get((day.service.name, day.bd))
    if has_passed(budget.act_by, picture.now, was if day.odds is not None else None):
        return Timeliness.WILL_MISS, f"{threat.cause}: its act-by {act_by} has passed{after}"
    job = _name(picture, budget.job_id)
    what = "restart" if job == threat.cause else f"restart {job}"
    return Timeliness.AT_RISK, f"{threat.cause}: {what} by {act_by}, green by {green_by}{after}"


def _without_figures(picture: Picture, day: Forecast, threat: Threat) -> str:
    """That somebody must act, and why nobody can say by when."""
    job = _name(picture, threat.budget.job_id) if threat.budget is not None else ""
    what = "restart it now" if job == threat.cause else f"restart {job} now" if job else "a person must act now"
    why = _missing(picture, day).removeprefix("no estimate: ").replace(f"{threat.cause} ", "it ", 1)
    return f"{threat.cause}: {what}; no act-by can be told: {why}"


def _unready(picture: Picture, day: Forecast, checks: Sequence[Waiting]) -> tuple[Timeliness, str]:
    """Its jobs are done, and checks are not proved yet: at risk as soon as one was looked at."""
    words, zone = "; ".join(one.words for one in checks), day.service.zone
    if picture.now > day.deadline:
        return Timeliness.BREACHED, f"not delivered by {moment(day.deadline, zone, picture.now)}; {words}"
    failing = any(one.since is not None for one in checks)
    return (Timeliness.AT_RISK if failing else Timeliness.ON_TIME), f"its jobs are done; {words}"


def _unproved(picture: Picture, day: Forecast) -> str:
    """Why nobody can say whether it was delivered: a terminal has ended and its source cannot prove how."""
    for each in day.ends:
        node = day.nodes.get(each)
        if node is not None and node.how is How.OVER and node.run is not None and node.run.state is State.UNKNOWN:
            return f"{_name(picture, each)} has run; its source does not prove how it ended"
    return ""


def _missing(picture: Picture, day: Forecast) -> str:
    """The first job on the way for which there is no figure, and why."""
    for node in day.unfinished():
        known = picture.estimate(node.job_id)
        if node.how is How.UNKNOWN:
            held = node.run is not None and node.run.state is State.HELD
            return f"no estimate: {_name(picture, node.job_id)} " + (
                f"is held ({node.run.reason})"
                if held and node.run
                else "starts neither by the clock nor after another job"
            )
        if known.source == "none":
            name, ran = _name(picture, node.job_id), f"{known.runs} of {ENOUGH_RUNS} runs"
            return f'no estimate: {name} has {ran}; say how long it takes: expected = "…" in [jobs."{name}"]'
    return "no estimate"


def _because(threat: Threat | None) -> str:
    return f"; cause: {threat.cause}" if threat else ""


def _late_words(late: bool) -> str:
    return ", after its deadline" if late else ""


def _name(picture: Picture, job_id: int) -> str:
    return clean_line(picture.job(job_id).name)
