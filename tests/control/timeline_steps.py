"""The `at ` and `expect ` lines of a timeline, one function each; its pattern is the line, `{name}` what differs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from connectors.sdk.states import RunState, Verb
from console.domain.alert import AlertKind
from console.domain.decision import AffectedServiceVerdict, Decisions, IncidentDecision, Notice
from console.domain.estate import JobFacts, RepairFacts, TargetFacts
from tests.control.ledger import Ledger
from tests.control.timeline_estate import Opening, Unreadable, period

Do = Callable[..., None]
Lines = list[tuple[re.Pattern[str], Do]]
EVENTS: Lines = []
EXPECTATIONS: Lines = []


@dataclass
class Told:
    """What was decided since the last expectations."""

    decisions: list[Decisions] = field(default_factory=list)
    unexpected: list[Notice] = field(default_factory=list)

    def incidents(self) -> list[IncidentDecision]:
        return [one for each in self.decisions for one in each.incidents]

    def take(self, wanted: Callable[[Notice], bool]) -> list[Notice]:
        """The notices that are expected now."""
        found = [one for one in self.unexpected if wanted(one)]
        self.unexpected = [one for one in self.unexpected if not wanted(one)]
        return found


class Night(Protocol):
    """What a line may look at."""

    opening: Opening
    told: Told
    now: datetime | None

    @property
    def ledger(self) -> Ledger: ...


def titles(notices: list[Notice]) -> list[str]:
    return [f"{one.kind.value} to {one.route}: {one.title}" for one in notices]


def same(expected: object, actual: object, why: object = "") -> None:
    """Raises AssertionError with both where they differ."""
    if expected != actual:
        raise AssertionError(f"expected {expected!r}, and it is {actual!r} {why}".rstrip())


def says(table: Lines, pattern: str) -> Callable[[Do], Do]:
    """Adds a line to a table."""
    parts = re.split(r"\{(\w+)\}", pattern)
    source = "".join(f"(?P<{each}>.+?)" if place % 2 else re.escape(each) for place, each in enumerate(parts))

    def keep(do: Do) -> Do:
        table.append((re.compile(source), do))
        return do

    return keep


# -- what happens -----------------------------------------------------------------------------------------------------
@says(EVENTS, "nothing happens")
def nothing_happens(night: Night) -> None:
    """Time goes on, and it is looked at."""


@says(EVENTS, "{name} is due")
def is_due(night: Night, name: str) -> None:
    """Says what a reader should know; the job's clock has to agree."""
    if period(night.opening.job(name), now_of(night)) != night.now:
        raise Unreadable(f"its clock is {night.opening.job(name).schedule.expression or 'none'}")


@says(EVENTS, "{name} starts")
def starts(night: Night, name: str) -> None:
    """The run of the instant that is due last starts; without a clock, a new run."""
    job = night.opening.job(name)
    due = period(job, now_of(night)) or now_of(night)
    known = _run(night, job, due)
    if known is not None and known.started_at is not None:
        raise Unreadable(f'it started {known.started_at:%H:%M} already: "is rerun", if it starts again')
    _tell(night, job, due, RunState.RUNNING, started_at=night.now)


@says(EVENTS, "{name} is rerun")
def is_rerun(night: Night, name: str) -> None:
    """Its last run starts once more."""
    job = night.opening.job(name)
    _tell(night, job, _last(night, job), RunState.RUNNING, started_at=night.now)


@says(EVENTS, "{name} is rerun by {who}")
def is_rerun_by(night: Night, name: str, who: str) -> None:
    """The same, requested through Headway."""
    job = night.opening.job(name)
    run = _run(night, job, _last(night, job))
    if run is None:
        raise Unreadable("it has no run yet")
    repair = RepairFacts(run.job_id, Verb.RERUN, who, now_of(night))
    night.ledger.estate = replace(night.ledger.estate, repairs={**night.ledger.estate.repairs, run.id: repair})
    is_rerun(night, name)


@says(EVENTS, "{name} fails")
def fails(night: Night, name: str) -> None:
    _ends(night, name, RunState.FAILED)


@says(EVENTS, "{name} fails: {text}")
def fails_with(night: Night, name: str, text: str) -> None:
    """Words: "exit 1", a message, or "exit 1, message"."""
    code = re.fullmatch(r"exit (\d+)(?:, (.+))?", text)
    if code:
        _ends(night, name, RunState.FAILED, exit_code=int(code[1]), message=code[2] or "")
    else:
        _ends(night, name, RunState.FAILED, message=text)


@says(EVENTS, "{name} is green")
def is_green(night: Night, name: str) -> None:
    _ends(night, name, RunState.SUCCEEDED)


@says(EVENTS, "the log of {name} ends with: {text}")
def log_ends(night: Night, name: str, text: str) -> None:
    job = night.opening.job(name)
    run = _run(night, job, _last(night, job))
    if run is None:
        raise Unreadable("it has no run yet")
    night.ledger.tails[run.id] = text + "\n"


@says(EVENTS, "target {name} does not answer: {text}")
def is_silent(night: Night, name: str, text: str) -> None:
    now = night.now
    night.ledger.target(_target(night, name).id, failing_since=now, last_ok_at=now, seen_until=now, error=text,
                        error_kind="unreachable")  # fmt: skip


@says(EVENTS, "target {name} answers again")
def answers(night: Night, name: str) -> None:
    night.ledger.target(_target(night, name).id, failing_since=None, error="", error_kind="")


# -- what is expected -------------------------------------------------------------------------------------------------
@says(EXPECTATIONS, "nothing new")
def nothing_new(night: Night) -> None:
    same([], titles(night.told.unexpected))


@says(EXPECTATIONS, "one page to {route} naming {text}")
def one_page(night: Night, route: str, text: str) -> None:
    one_word(night, AlertKind.OPENED, route, text)


@says(EXPECTATIONS, "one update to {route} naming {text}")
def one_update(night: Night, route: str, text: str) -> None:
    one_word(night, AlertKind.UPDATED, route, text)


@says(EXPECTATIONS, "the all-clear to {route} naming {text}")
def all_clear(night: Night, route: str, text: str) -> None:
    one_word(night, AlertKind.RECOVERED, route, text)


@says(EXPECTATIONS, "it closed: {text}")
def it_closed(night: Night, text: str) -> None:
    same([text], [one.close_reason for one in night.told.incidents() if one.closed])


@says(EXPECTATIONS, "{number} open incident")
@says(EXPECTATIONS, "{number} open incidents")
def open_incidents(night: Night, number: str) -> None:
    counted = {"no": 0, "one": 1, "two": 2, "three": 3}
    wanted = counted[number] if number in counted else int(number)
    is_open = [one.title for one in night.ledger.estate.incidents]
    same(wanted, len(is_open), is_open)


@says(EXPECTATIONS, "the root cause {text}")
def root_cause(night: Night, text: str) -> None:
    """The title of an open incident."""
    among(text, [one.title for one in night.told.decisions[-1].incidents if not one.closed])


@says(EXPECTATIONS, "{name} as a symptom of {root}")
def symptom(night: Night, name: str, root: str) -> None:
    """Red or stale in the incident whose title names that root."""
    hurt = {one.job_id for one in about(night, root).members if one.role in ("red", "stale")}
    among(night.opening.job(name).id, hurt)


@says(EXPECTATIONS, "the timeline of {root} to say: {text}")
def timeline_says(night: Night, root: str, text: str) -> None:
    among(text, [one.event for one in night.told.incidents() if one.event and root in one.title])


@says(EXPECTATIONS, "the words: {text}")
def the_words(night: Night, text: str) -> None:
    """They stand in the text of each technical notice since the last expectations."""
    bodies = [one.body for each in night.told.incidents() for one in each.notices if one.style == "technical"]
    same(True, bool(bodies), "nothing was told")
    same([], [each for each in bodies if text not in each])


@says(EXPECTATIONS, "the words to {route}: {text}")
def the_words_to(night: Night, route: str, text: str) -> None:
    """They stand in the text of each notice to that route since the last expectations."""
    bodies = [one.body for each in night.told.incidents() for one in each.notices if one.route == route]
    same(True, bool(bodies), "nothing was told")
    same([], [each for each in bodies if text not in each])


@says(EXPECTATIONS, "no word to {route} of: {text}")
def no_word_of(night: Night, route: str, text: str) -> None:
    """That route was told something, and these words stand in none of it."""
    texts = [
        f"{one.title}\n{one.body}" for each in night.told.incidents() for one in each.notices if one.route == route
    ]
    same(True, bool(texts), "nothing was told")
    same([], [each for each in texts if text in each])


@says(EXPECTATIONS, "service {service} {text}, act by {clock}")
def act_by(night: Night, service: str, text: str, clock: str) -> None:
    hurt = _hurt(night, service)
    shown = f"{hurt.act_by:%H:%M}" if hurt.act_by else "no act-by"
    same((text, clock), (hurt.timeliness.value.replace("_", " "), shown))


@says(EXPECTATIONS, "service {service} {text}")
def stands(night: Night, service: str, text: str) -> None:
    days = [one for one in night.told.decisions[-1].service_days if one.service == service]
    among(
        text, [one.timeliness.value.replace("_", " ") for one in days if one.business_date.isoformat() == "2026-11-19"]
    )


# -- small helps ------------------------------------------------------------------------------------------------------
def now_of(night: Night) -> datetime:
    """The time of the line. Raises Unreadable before the first."""
    if night.now is None:
        raise Unreadable("it has no time yet")
    return night.now


def _run(night: Night, job: JobFacts, due: datetime) -> Any:
    runs = (one for one in night.ledger.estate.runs if one.job_id == job.id)
    return next((one for one in runs if due in (one.period_at, one.first_started_at)), None)


def _last(night: Night, job: JobFacts) -> datetime:
    """The place of its latest run that has started, else of the one that is due last."""
    runs = [one for one in night.ledger.estate.runs if one.job_id == job.id and one.first_started_at is not None]
    if runs:
        last = max(runs, key=lambda one: one.first_started_at or now_of(night))
        return last.period_at or last.first_started_at or now_of(night)
    due = period(job, now_of(night))
    if due is None:
        raise Unreadable("it has no clock and no run: let it start first")
    return due


def _ends(night: Night, name: str, state: RunState, **more: object) -> None:
    """What runs ends; what has not started yet started at its instant, without a clock a minute ago."""
    job, now = night.opening.job(name), now_of(night)
    due = period(job, now) or now_of(night) - timedelta(minutes=1)
    open_runs = [one for one in night.ledger.estate.runs if one.job_id == job.id and one.state is RunState.RUNNING]
    if open_runs:
        due = open_runs[-1].period_at or open_runs[-1].first_started_at or due
    known = _run(night, job, due)
    if known is not None and known.started_at is not None and not known.state.is_open:
        raise Unreadable(f'it is over since {known.ended_at:%H:%M}: "is rerun" first')
    started = known.started_at if known is not None and known.started_at is not None else due
    _tell(night, job, due, state, started_at=started, ended_at=now, **more)


def _tell(night: Night, job: JobFacts, due: datetime, state: RunState, **facts: object) -> None:
    night.ledger.run(job, f"{due:%H:%M:%S}", state, **facts)


def _target(night: Night, name: str) -> TargetFacts:
    if name not in night.opening.targets:
        raise Unreadable(f"the targets are {', '.join(night.opening.targets)}")
    return night.opening.targets[name]


def one_word(night: Night, kind: AlertKind, route: str, text: str) -> None:
    """Exactly one word of that kind to that route, with these words in its title."""
    told = night.told.take(lambda one: (one.kind, one.route) == (kind, route) and text in one.title)
    same(1, len(told), f"told: {titles(night.told.unexpected)}")


def about(night: Night, root: str) -> IncidentDecision:
    """The incident of the last look whose title names that root."""
    found = [one for one in night.told.decisions[-1].incidents if root in one.title]
    same(1, len(found), [one.title for one in night.told.decisions[-1].incidents])
    return found[0]


def _hurt(night: Night, service: str) -> AffectedServiceVerdict:
    hurt = [each for one in night.told.decisions[-1].incidents for each in one.services if each.service == service]
    same(True, bool(hurt), "no incident hurts it")
    return hurt[0]


def among(wanted: object, found: Collection[object]) -> None:
    """Raises AssertionError with what there is."""
    same(True, wanted in found, f"among {found!r}")
