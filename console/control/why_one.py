"""Why one job does not run now, or runs so late: from its latest run, its target, its holds, its clock and calendar.

Facts come before what follows from them: who cannot be seen is asked nothing else, and a hold comes before the upstream
that it waits for. What is proved by a run of its source carries that run's poll and its native word.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from connectors.contract import State
from console.clean import clean_line
from console.control.calendars import expects, why
from console.control.expected import expects_nothing, has_started
from console.control.held import LINGERS, words_of
from console.control.maintenance import of_job
from console.control.periods import business_date
from console.control.picture import Picture, when
from console.control.pools import pool_of, slot_words
from console.control.schedule import instants, next_instant
from console.control.schedule_words import in_words
from console.control.sight import UNSEEN, out_of_sight
from console.control.unscheduled import cadence_of
from console.control.words import dated, moment
from console.durations import duration_words
from console.model.holds import HoldFacts
from console.model.reasons import Reason
from console.model.values import JobFacts, RunFacts
from console.model.words import BY_PEOPLE, Safety

_WAITS = (State.QUEUED, State.WAITING)
_UNDER_WAY = (State.RUNNING, State.RETRYING, State.CANCELLING)
_KINDS = {"slot": "slot", "resource": "slot", "approval": "approval", "upstream": "upstream", "time": "clock"}
"""The kinds of reason by the word that a connector gives for waiting; any other is "waits"."""


def latest(picture: Picture, job_id: int) -> RunFacts | None:
    """The run that the question is about: what is under way, else what came due last, else what comes next."""
    runs = picture.runs.get(job_id, ())
    under_way = [run for run in runs if run.state.is_open and run.state not in (State.PLANNED, State.HELD)]
    come = [run for run in runs if when(run) <= picture.now]
    known = under_way or come or list(runs[:1])
    return known[-1] if known else None


def reasons(picture: Picture, job_id: int) -> Iterator[Reason]:
    """Of this job alone, the most weighty first; at least one."""
    job, run = picture.job(job_id), latest(picture, job_id)
    found = [*_out_of_reach(picture, job), *_kept_back(picture, job)]
    yield from found
    if run is not None and has_started(run):
        yield from _started(picture, job, run)
    elif run is not None and run.state is State.MISSED and not found:
        yield _of(job, run, "missed", f"was due {_at(when(run), job)}: {run.reason}", act=_again(job))
    elif run is not None and when(run) <= picture.now and not found:
        yield _of(job, run, "clock", f"is due since {_at(when(run), job)}, given up after {_span(job.grace)}")
    if run is None or not has_started(run) or not run.state.is_open:
        yield from _next(picture, job)


def _out_of_reach(picture: Picture, job: JobFacts) -> Iterator[Reason]:
    target = picture.estate.targets.get(job.target_id)
    if target is None or target.failing_since is not None or out_of_sight(target, picture.now, picture.estate.settings):
        name = clean_line(f"{target.system}/{target.name}") if target else "its target"
        seen = f"last seen {_at(target.last_ok_at, job)}" if target and target.last_ok_at else "never seen"
        error = f": {clean_line(target.error)}" if target and target.error else ""
        said = UNSEEN.get(target.error_kind if target else "", "does not answer")
        words = f"{name} {said}, so that nobody knows{error}"
        since = target.failing_since if target else None
        act = "headway check"
        if target is not None and (pause := target.paused(picture.now)) is not None:
            words = f"{clean_line(pause.words)}, so that nobody knows"
            since, act = pause.at, f"headway pause {pause.system} --off"
        yield Reason(_name(job), "unreachable", words, since=since, evidence=seen, act=act)
    quiet = of_job(picture.estate, job, picture.now)
    if quiet is not None:
        yield Reason(_name(job), "maintenance", clean_line(quiet.words(job.zone)), until=quiet.until, by="config")
    if job.gone_since is not None:
        words = clean_line(job.drift_reason) or "is gone from its source"
        yield Reason(_name(job), "gone", words, since=job.gone_since, evidence=_poll(picture, job), act=_drift(job))


def _kept_back(picture: Picture, job: JobFacts) -> Iterator[Reason]:
    holds = [one for one in picture.estate.holds if one.job_id == job.id and one.state.holds_back]
    for hold in holds:
        words = clean_line(words_of(hold, _upstream(picture, hold)))
        known = f"hold {hold.key}, for the start of {_at(hold.due_at, job)}" if hold.due_at else f"hold {hold.key}"
        yield Reason(
            _name(job), "hold", words, since=hold.placed_at, until=hold.until, by=clean_line(hold.held_by),
            evidence=known, act=f"headway release {_name(job)}",
        )  # fmt: skip
    if job.paused_since is not None and not holds and not _lingers(picture, job):
        words = "is paused at its source, and not by Headway"
        act = f"enable it at {clean_line(job.system)}"
        yield Reason(_name(job), "pause", words, since=job.paused_since, evidence=_poll(picture, job), act=act)
    frozen = picture.estate.modes.frozen
    if frozen is not None and holds:
        words = f"nothing is let go or started while all sending is frozen{': ' + frozen.why if frozen.why else ''}"
        yield Reason(_name(job), "freeze", clean_line(words), 0, frozen.at, by=frozen.by, act="headway freeze --off")


def _lingers(picture: Picture, job: JobFacts) -> bool:
    """True where the pause that is told may still be that of a hold that has just ended."""
    ended = [one.ended_at for one in picture.estate.holds if one.job_id == job.id and one.ended_at is not None]
    return bool(ended) and picture.now - max(ended) < LINGERS


def _started(picture: Picture, job: JobFacts, run: RunFacts) -> Iterator[Reason]:
    if run.state in _WAITS:
        kind = _KINDS.get(run.reason, "waits")
        words = f"is {run.native_state or run.state} at its scheduler{_thing(picture, run)}"
        yield _of(job, run, kind, words, since=run.started_at)
    elif run.state in _UNDER_WAY:
        yield _of(job, run, "running", _running(picture, job, run), since=run.started_at)
        yield from _tasks(picture, job, run)
    elif run.state is State.BLOCKED:
        yield _of(job, run, "upstream", "was not started: an upstream of it failed")
    elif run.state.is_red:
        told = clean_line(run.message or run.reason)
        words = f"is {run.state} for {run.bd}{': ' + told if told else ''}"
        yield _of(job, run, "failed", words, since=run.ended_at, act=_again(job))
    elif run.state is State.SUCCEEDED and not picture.is_stale(run):
        yield _of(job, run, "done", f"is done for {run.bd}", since=run.ended_at)
    elif run.state is State.SUCCEEDED:
        words = f"is done for {run.bd}, but read what its upstream had not finished"
        yield _of(job, run, "stale", words, since=run.ended_at, act=_again(job))
    else:
        words = f"has run for {run.bd}; how it ended is {run.state}{': ' + run.reason if run.reason else ''}"
        yield _of(job, run, "unproved", clean_line(words), since=run.ended_at)
    if late := _late(picture, job, run):
        yield late


def _running(picture: Picture, job: JobFacts, run: RunFacts) -> str:
    known = picture.estimate(job.id)
    so_far = _span(picture.now - run.started_at) if run.started_at else "unknown"
    if known.p50 is None or known.p90 is None:
        return f"is running for {so_far}; nothing tells how long it takes"
    return f"is running for {so_far}; it takes {_span(known.p50)}, at most {_span(known.p90)} ({known.source})"


def _tasks(picture: Picture, job: JobFacts, run: RunFacts) -> Iterator[Reason]:
    """What its tasks wait for: a slot, an approval."""
    for task in picture.tasks_of(job.id):
        mine = [each for each in picture.of_day(task.id, run.bd) if each.state in _WAITS]
        for each in mine[-1:]:
            kind = _KINDS.get(each.reason, "waits")
            words = f"its task is {each.native_state or each.state}{_thing(picture, each)}"
            yield _of(task, each, kind, words, since=each.started_at)


def _late(picture: Picture, job: JobFacts, run: RunFacts) -> Reason | None:
    """Why it began so late: the last of its upstreams that was good only after it was due."""
    begun = run.first_started_at
    if begun is None or run.period_at is None or expects_nothing(job) or begun - run.period_at <= job.grace:
        return None
    by = f"began {_span(begun - run.period_at)} after it was due {_at(run.period_at, job)}"
    ends = [
        (good, picture.job(edge.upstream))
        for edge in picture.graph.into(job.id)
        if (read := picture.read_by(edge.upstream, run.bd, run.period_at)) is not None
        and (good := picture.standing(read).good_at) is not None
        and good > run.period_at
    ]
    if not ends:
        return _of(job, run, "waits", by)
    good, upstream = max(ends, key=lambda each: each[0])
    return _of(
        job, run, "upstream", f"{by}: {_name(upstream)} was good at {moment(good, job.zone, picture.now)}", since=good
    )


def _next(picture: Picture, job: JobFacts) -> Iterator[Reason]:
    """When its clock starts it next, and which day its calendar leaves out; nothing of a job that is gone."""
    if job.gone_since is not None:
        return
    if expects_nothing(job):
        usual = cadence_of(picture.estate, job)
        known = f"; it usually runs {usual.words}" if usual is not None else ""
        words = f"nothing starts it by the clock ({clean_line(in_words(job.schedule))}){known}"
        yield Reason(_name(job), "event", words, act=_again(job))
        return
    calendar = picture.estate.declared.calendar(job.calendar)
    at = next_instant(job.schedule, picture.now)
    if at is None:
        yield Reason(_name(job), "clock", f"its schedule has no next start ({clean_line(in_words(job.schedule))})")
        return
    bd = business_date(at, None, job.zone, job.cutoff)
    if calendar is not None and not expects(calendar, at, bd):
        words = f"no run is expected {dated(at, job.zone)}: {bd} in calendar {calendar.name} is {why(calendar, bd)}"
        yield Reason(_name(job), "calendar", clean_line(words), until=_expected(picture, job, at))
        return
    words = f"its clock starts it next {dated(at, job.zone)} ({clean_line(in_words(job.schedule))})"
    yield Reason(_name(job), "clock", words, until=at)


def _expected(picture: Picture, job: JobFacts, after: datetime) -> datetime | None:
    """The next instant that its calendar has, within two weeks."""
    calendar = picture.estate.declared.calendar(job.calendar)
    later = instants(job.schedule, after, after + timedelta(days=14))
    fitting = (at for at in later if expects(calendar, at, business_date(at, None, job.zone, job.cutoff)))
    return next(fitting, None)


def _of(job: JobFacts, run: RunFacts, kind: str, words: str, since: datetime | None = None, act: str = "") -> Reason:
    """With the evidence of a run: when it was seen, and what its source calls it."""
    seen = f"seen {dated(run.observed_at, job.zone)}" if run.observed_at else "by its schedule"
    native = f', in its words "{clean_line(run.native_state)}"' if run.native_state else ""
    proof = f"run {clean_line(run.period_key)}: {seen}{native}, evidence {run.evidence}"
    return Reason(_name(job), kind, clean_line(words), since=since, evidence=proof, act=act)


def _thing(picture: Picture, run: RunFacts) -> str:
    """What it waits for, in the words of its connector; of a slot of a pool that is known who has them."""
    if not run.reason:
        return ", which does not say for what"
    pool = pool_of(picture.estate.declared, picture.job(run.job_id)) if run.reason == "slot" else None
    if pool is not None:
        return f": it waits for {slot_words(pool, picture.slot_holders(pool))}"
    known = {"slot": "a free slot", "resource": "a free slot", "time": "its time"}
    return f": it waits for {known.get(run.reason, run.reason)}"


def _poll(picture: Picture, job: JobFacts) -> str:
    target = picture.estate.targets.get(job.target_id)
    at = target.last_ok_at if target else None
    return f"told by {clean_line(job.system)}, last poll {dated(at, job.zone)}" if at else ""


def _upstream(picture: Picture, hold: HoldFacts) -> str:
    above = picture.estate.jobs.get(hold.upstream_id or 0)
    return _name(above) if above is not None else ""


def _again(job: JobFacts) -> str:
    """How a person has it run again, and be good; where its system cannot, or its owner forbids it, at its source."""
    if job.kind == BY_PEOPLE:
        return f"headway done {_name(job)}"
    why = clean_line(job.cannot_rerun) or ('its owner marked it rerun = "never"' if job.rerun is Safety.NEVER else "")
    if why:
        return f"run it at its source ({why}), or headway mark-ok {_name(job)} where it is good"
    return f"headway rerun {_name(job)}"


def _drift(job: JobFacts) -> str:
    return f"headway drift accept {_name(job)}"


def _name(job: JobFacts) -> str:
    return clean_line(job.name)


def _at(at: datetime | None, job: JobFacts) -> str:
    return dated(at, job.zone) if at is not None else "–"


def _span(taken: timedelta) -> str:
    return duration_words(taken.total_seconds())
