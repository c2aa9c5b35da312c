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
from tests.messages import written
from tests.reasons import close_text, title_of, zoned

Do = Callable[..., None]
Lines = list[tuple[re.Pattern[str], Do]]
EVENTS: Lines = []
EXPECTATIONS: Lines = []


@dataclass
class DecidedSince:
    """What was decided since the last expectations."""

    decisions: list[Decisions] = field(default_factory=list)
    unexpected: list[Notice] = field(default_factory=list)

    def incidents(self) -> list[IncidentDecision]:
        return [incident for decisions in self.decisions for incident in decisions.incidents]

    def take(self, predicate: Callable[[Notice], bool]) -> list[Notice]:
        """The notices that are expected now."""
        notices = [notice for notice in self.unexpected if predicate(notice)]
        self.unexpected = [notice for notice in self.unexpected if not predicate(notice)]
        return notices


class Night(Protocol):
    """What a line may look at."""

    opening: Opening
    decided: DecidedSince
    now: datetime | None

    @property
    def ledger(self) -> Ledger: ...


def titles(notices: list[Notice]) -> list[str]:
    return [f"{notice.kind.value} to {notice.route}: {written(notice).title}" for notice in notices]


def same(expected: object, actual: object, why: object = "") -> None:
    """Raises AssertionError with both where they differ."""
    if expected != actual:
        raise AssertionError(f"expected {expected!r}, and it is {actual!r} {why}".rstrip())


def says(table: Lines, pattern: str) -> Callable[[Do], Do]:
    """Adds a line to a table."""
    parts = re.split(r"\{(\w+)\}", pattern)
    source = "".join(f"(?P<{part}>.+?)" if place % 2 else re.escape(part) for place, part in enumerate(parts))

    def keep(do: Do) -> Do:
        table.append((re.compile(source), do))
        return do

    return keep


# -- what happens -----------------------------------------------------------------------------------------------------
@says(EVENTS, "nothing happens")
def nothing_happens(night: Night) -> None:
    """Time goes on, and the estate is evaluated."""


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
    _record_run(night, job, due, RunState.RUNNING, started_at=night.now)


@says(EVENTS, "{name} is rerun")
def is_rerun(night: Night, name: str) -> None:
    """Its last run starts once more."""
    job = night.opening.job(name)
    _record_run(night, job, _last(night, job), RunState.RUNNING, started_at=night.now)


@says(EVENTS, "{name} is rerun by {who}")
def is_rerun_by(night: Night, name: str, who: str) -> None:
    """The same, requested through Headway."""
    job = night.opening.job(name)
    run = _run(night, job, _last(night, job))
    if run is None:
        raise Unreadable("it has no run")
    repair = RepairFacts(run.job_id, Verb.RERUN, who, now_of(night))
    night.ledger.estate = replace(night.ledger.estate, repairs={**night.ledger.estate.repairs, run.id: repair})
    is_rerun(night, name)


@says(EVENTS, "partition {partition} of {name} fails: exit {code}")
def partition_fails(night: Night, partition: str, name: str, code: str) -> None:
    """A run of that partition, which began a minute ago, ends; a further one is its rerun."""
    _partition_ends(night, partition, name, RunState.FAILED, exit_code=int(code))


@says(EVENTS, "partition {partition} of {name} is green")
def partition_is_green(night: Night, partition: str, name: str) -> None:
    _partition_ends(night, partition, name, RunState.SUCCEEDED)


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
        raise Unreadable("it has no run")
    night.ledger.log_read(run, text + "\n")


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
    same([], titles(night.decided.unexpected))


@says(EXPECTATIONS, "one page to {route} naming {text}")
def one_page(night: Night, route: str, text: str) -> None:
    one_notification(night, AlertKind.OPENED, route, text)


@says(EXPECTATIONS, "one update to {route} naming {text}")
def one_update(night: Night, route: str, text: str) -> None:
    one_notification(night, AlertKind.UPDATED, route, text)


@says(EXPECTATIONS, "the all-clear to {route} naming {text}")
def all_clear(night: Night, route: str, text: str) -> None:
    one_notification(night, AlertKind.RECOVERED, route, text)


@says(EXPECTATIONS, "it closed: {text}")
def it_closed(night: Night, text: str) -> None:
    """One incident, for a reason of this class ("green again") or with this text."""
    closed = [incident for incident in night.decided.incidents() if incident.closed]
    kinds = [re.sub("(?<=[a-z])([A-Z])", r" \1", type(incident.close_reason).__name__).lower() for incident in closed]
    same([text], kinds if text in kinds else [close_text(incident) for incident in closed])


@says(EXPECTATIONS, "{number} open incident")
@says(EXPECTATIONS, "{number} open incidents")
def open_incidents(night: Night, number: str) -> None:
    counted = {"no": 0, "one": 1, "two": 2, "three": 3}
    expected = counted[number] if number in counted else int(number)
    is_open = [title_of(incident) for incident in night.ledger.estate.incidents]
    same(expected, len(is_open), is_open)


@says(EXPECTATIONS, "the root cause {text}")
def root_cause(night: Night, text: str) -> None:
    """The title of an open incident."""
    among(text, [title_of(incident) for incident in night.decided.decisions[-1].incidents if not incident.closed])


@says(EXPECTATIONS, "{name} as a symptom of {root}")
def symptom(night: Night, name: str, root: str) -> None:
    """Red or stale in the incident whose title names that root."""
    job_ids = {member.job_id for member in about(night, root).members if member.role in ("red", "stale")}
    among(night.opening.job(name).id, job_ids)


@says(EXPECTATIONS, "the timeline of {root} to say: {text}")
def timeline_says(night: Night, root: str, text: str) -> None:
    among(
        text,
        [
            zoned(incident.event)
            for incident in night.decided.incidents()
            if incident.event and root in title_of(incident)
        ],
    )


@says(EXPECTATIONS, "the words: {text}")
def text_contains(night: Night, text: str) -> None:
    """They stand in the text of each technical notice since the last expectations."""
    bodies = [
        written(notice).body
        for incident in night.decided.incidents()
        for notice in incident.notices
        if notice.style == "technical"
    ]
    same(True, bool(bodies), "nothing was told")
    same([], [body for body in bodies if text not in body])


@says(EXPECTATIONS, "the words to {route}: {text}")
def text_to_route_contains(night: Night, route: str, text: str) -> None:
    """They stand in the text of each notice to that route since the last expectations."""
    bodies = [
        written(notice).body
        for incident in night.decided.incidents()
        for notice in incident.notices
        if notice.route == route
    ]
    same(True, bool(bodies), "nothing was told")
    same([], [body for body in bodies if text not in body])


@says(EXPECTATIONS, "no word to {route} of: {text}")
def text_to_route_omits(night: Night, route: str, text: str) -> None:
    """That route was notified, and none of its texts has this text."""
    texts = [
        f"{written(notice).title}\n{written(notice).body}"
        for incident in night.decided.incidents()
        for notice in incident.notices
        if notice.route == route
    ]
    same(True, bool(texts), "nothing was told")
    same([], [name for name in texts if text in name])


@says(EXPECTATIONS, "service {service} {text}, act by {clock}")
def act_by(night: Night, service: str, text: str, clock: str) -> None:
    affected_service = _affected(night, service)
    shown = f"{affected_service.act_by:%H:%M}" if affected_service.act_by else "no act-by"
    same((text, clock), (affected_service.timeliness.value.replace("_", " "), shown))


@says(EXPECTATIONS, "service {service} {text}")
def service_has_status(night: Night, service: str, text: str) -> None:
    days = [service_day for service_day in night.decided.decisions[-1].service_days if service_day.service == service]
    among(
        text,
        [
            service_day.timeliness.value.replace("_", " ")
            for service_day in days
            if service_day.business_date.isoformat() == "2026-11-19"
        ],
    )


# -- small helps ------------------------------------------------------------------------------------------------------
def now_of(night: Night) -> datetime:
    """The time of the line. Raises Unreadable before the first."""
    if night.now is None:
        raise Unreadable("it has no time yet")
    return night.now


def _run(night: Night, job: JobFacts, due: datetime) -> Any:
    runs = (run for run in night.ledger.estate.runs if run.job_id == job.id)
    return next((run for run in runs if due in (run.period_at, run.first_started_at)), None)


def _last(night: Night, job: JobFacts) -> datetime:
    """The place of its latest run that has started, else of the one that is due last."""
    runs = [run for run in night.ledger.estate.runs if run.job_id == job.id and run.first_started_at is not None]
    if runs:
        last = max(runs, key=lambda run: run.first_started_at or now_of(night))
        return last.period_at or last.first_started_at or now_of(night)
    due = period(job, now_of(night))
    if due is None:
        raise Unreadable("it has no clock and no run: let it start first")
    return due


def _ends(night: Night, name: str, state: RunState, **more: object) -> None:
    """What runs ends; what has not started yet started at its instant, without a clock a minute ago."""
    job, now = night.opening.job(name), now_of(night)
    due = period(job, now) or now_of(night) - timedelta(minutes=1)
    open_runs = [run for run in night.ledger.estate.runs if run.job_id == job.id and run.state is RunState.RUNNING]
    if open_runs:
        due = open_runs[-1].period_at or open_runs[-1].first_started_at or due
    known = _run(night, job, due)
    if known is not None and known.started_at is not None and not known.state.is_open:
        raise Unreadable(f'it is over since {known.ended_at:%H:%M}: "is rerun" first')
    started = known.started_at if known is not None and known.started_at is not None else due
    _record_run(night, job, due, state, started_at=started, ended_at=now, **more)


def _partition_ends(night: Night, partition: str, name: str, state: RunState, **more: object) -> None:
    began = now_of(night) - timedelta(minutes=1)
    facts: dict[str, object] = {"started_at": began, "ended_at": night.now, **more}
    night.ledger.run_of_partition(night.opening.job(name), partition, f"{began:%H:%M:%S}", state, **facts)


def _record_run(night: Night, job: JobFacts, due: datetime, state: RunState, **facts: object) -> None:
    night.ledger.run(job, f"{due:%H:%M:%S}", state, **facts)


def _target(night: Night, name: str) -> TargetFacts:
    if name not in night.opening.targets:
        raise Unreadable(f"the targets are {', '.join(night.opening.targets)}")
    return night.opening.targets[name]


def one_notification(night: Night, kind: AlertKind, route: str, text: str) -> None:
    """Exactly one word of that kind to that route, with these words in its title; "…" stands for any others."""
    notices = night.decided.take(
        lambda notice: (
            (notice.kind, notice.route) == (kind, route)
            and all(part in written(notice).title for part in text.split(" … "))
        )
    )
    same(1, len(notices), f"told: {titles(night.decided.unexpected)}")


def about(night: Night, root: str) -> IncidentDecision:
    """The incident of the last look whose title names that root."""
    incidents = [incident for incident in night.decided.decisions[-1].incidents if root in title_of(incident)]
    same(1, len(incidents), [title_of(incident) for incident in night.decided.decisions[-1].incidents])
    return incidents[0]


def _affected(night: Night, service: str) -> AffectedServiceVerdict:
    services = [
        affected_service
        for incident in night.decided.decisions[-1].incidents
        for affected_service in incident.services
        if affected_service.service == service
    ]
    same(True, bool(services), "no incident hurts it")
    return services[0]


def among(expected: object, results: Collection[object]) -> None:
    """Raises AssertionError with what there is."""
    same(True, expected in results, f"among {results!r}")
