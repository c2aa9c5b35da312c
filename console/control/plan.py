"""What repairs an incident, or a set of runs: the fewest steps, upstreams first, with what each is worth.

Of an incident: the runs that its hit services still need to have run again; where none is hit, all that is red or
stale. What starts by itself (its clock is ahead, its scheduler waits for its upstream) is no step, nor is what is good
again. Runs join by business date, as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from connectors.contract import Capability, Evidence, State, Verb, instant_key
from connectors.words import STARTING
from console.clean import clean_line
from console.control.cases import Case, cases
from console.control.comes_again import starts_s, with_own_starts
from console.control.conditions import policies
from console.control.delivery import delivered_at
from console.control.estimate import label
from console.control.expected import expectations, has_started
from console.control.fewest import Can, stand_ins, superseded, waits_for
from console.control.forecast import Forecast, Node
from console.control.forecast.neighbours import with_neighbours
from console.control.forecast.odds import Foresee
from console.control.hits import hits
from console.control.own_sleep import woken
from console.control.picture import Key, Picture, key_of, when
from console.control.plan_finishes import ForeseeOtherwise, with_finishes
from console.control.plan_holds import collisions, with_holds
from console.control.rules.telling import causes_of
from console.control.saving import Days, notes_of, saves_of, to_come
from console.control.services import service_days
from console.control.shared import root_causes
from console.control.starts_itself import starts_itself
from console.control.titles import cause_name
from console.control.words import moment
from console.model.plans import WAIT, Draft, LeftOut, Save, Step
from console.model.shaping import judged
from console.model.values import Estate, JobFacts, RunFacts
from console.model.words import NOTHING_TO_MARK, Safety

_MARKS = (Verb.MARK_OK, Verb.SKIP)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A run that must run again, why, and whom it helps."""

    run: RunFacts
    why: str
    saves: tuple[Save, ...] = ()
    verb: str = ""
    """Empty: whichever way it can run again."""


def recovery(
    estate: Estate,
    incident_id: int,
    now: datetime,
    can: Can,
    everything: bool = False,
    foresee: Foresee | None = None,
    otherwise: ForeseeOtherwise | None = None,
) -> Draft | None:
    """The plan for an open incident; None when there is no such. Without steps where nothing is left to send.
    `everything`: also what is red or stale and no service that is hit waits for, so that the incident closes.
    `foresee`: the simulation that its clocks come from, as those of an evaluation; `otherwise`: the same of a night
    that goes as the plan has it."""
    estate = woken(estate)
    due = expectations(estate, now)
    picture = Picture(estate, now, due.runs, due.withdrawn)
    case = _case_of(picture, incident_id)
    if case is None:
        return None
    near = with_neighbours(picture, service_days(picture), lambda days: _undelivered(picture, case, days))
    days = _undelivered(picture, case, foresee(picture, near) if foresee is not None else near)
    draft = _draft(picture, case, days, can, everything)
    return draft if otherwise is None else with_finishes(picture, draft, near, days, otherwise)


def _draft(picture: Picture, case: Case, days: Days, can: Can, everything: bool) -> Draft:
    todo, saves = _todo(picture, case, days)
    wanted, starting = _needed(picture, days, todo, saves) if days else (todo, {})
    wanted = todo if everything else wanted
    runs = {key: one.run for key, one in todo.items()}
    instead = stand_ins(picture, runs.values(), can)
    wanted = {key_of(instead[key]): replace(todo[key_of(instead[key])], saves=one.saves) for key, one in wanted.items()}
    clash = collisions(picture, days, starting.keys(), can)
    wanted |= {key: _after_its_start(picture, starting.pop(key), due) for key, due in clash.to_repeat.items()}
    held = {key: starting[key] for key in clash.to_hold}
    read = {**wanted, **held}
    between = {key: one for key, one in starting.items() if key in held or _is_read_by_one_of(picture, one, read)}
    left_out = [(one.run, one.why) for key, one in starting.items() if key not in between]
    left_out += [(todo[key].run, "no service that is hit waits for it") for key in todo.keys() - wanted]
    left_out += [(run, "it is good again") for run in case.broken() if picture.is_green(run)]
    wanted, blocked = _without_blocked(picture, wanted)
    steps = judged(with_holds(picture, _steps(picture, [*wanted.values(), *between.values()], can), clash))
    out = [*(_left(picture, run, why) for run, why in left_out), *blocked]
    left = (*_once(out, steps), *superseded(picture, runs, instead, wanted))
    title, notes = f"repair {cause_name(picture, case)}", notes_of(picture, case, days)
    return Draft("recovery", title, case.incident.id if case.incident else None, steps, left, notes)


def _case_of(picture: Picture, incident_id: int) -> Case | None:
    told = cases(picture, causes_of(picture, root_causes(picture)))
    return next((one for one in told if one.incident is not None and one.incident.id == incident_id), None)


def _undelivered(picture: Picture, case: Case, days: Sequence[Forecast]) -> Days:
    hurt = hits(picture, case, days)
    return {name: found for name, found in hurt.items() if delivered_at(picture, found[0]) is None}


def _todo(picture: Picture, case: Case, days: Days) -> tuple[dict[Key, _Wanted], Mapping[Key, tuple[Save, ...]]]:
    """What of the cause is broken, or runs again; and of every run of the days whom it helps."""
    saves = saves_of(picture, case, days)
    broken = [run for run in case.broken() if _is_broken(picture, run)]
    again = [run for run in case.broken() if run.state.is_open and has_started(run) and run not in broken]
    todo = {key_of(run): _Wanted(run, _why(run), saves.get(key_of(run), ())) for run in broken}
    for run in again:
        why = f"it runs {'again already' if run.attempt > 1 else 'still'}"
        todo[key_of(run)] = _Wanted(run, why, saves.get(key_of(run), ()), WAIT)
    return todo, saves


def bulk(estate: Estate, run_ids: Iterable[int], verb: Verb, now: datetime, can: Can) -> Draft:
    """The same verb for each of these runs, upstreams before their downstreams; runs out of view are left out."""
    estate = woken(estate)
    due = expectations(estate, now)
    picture = Picture(estate, now, due.runs, due.withdrawn)
    found = {number: picture.run_by_id(number) for number in dict.fromkeys(run_ids)}
    good = [run for run in found.values() if run is not None and verb in _MARKS and _is_good(picture, run)]
    wanted = [
        _Wanted(run, f"marked; it is {run.state}") for run in found.values() if run is not None and run not in good
    ]
    gone = [LeftOut(f"run {number}", number, "out of view") for number, run in found.items() if run is None]
    steps = _steps(picture, wanted, can, verb)
    left = (*gone, *(_left(picture, run, NOTHING_TO_MARK) for run in good))
    return Draft("bulk", f"{verb} {len(steps)} runs", None, steps, left)


def _is_good(picture: Picture, run: RunFacts) -> bool:
    """True for a success of its source's own that read nothing stale."""
    asserted = run.evidence is Evidence.ASSERTED
    return run.state is State.SUCCEEDED and not asserted and not picture.is_stale(run)


def _needed(
    picture: Picture, days: Days, todo: Mapping[Key, _Wanted], saves: Mapping[Key, tuple[Save, ...]]
) -> tuple[dict[Key, _Wanted], dict[Key, _Wanted]]:
    """What the hit services need to have run again of what this cause broke; what of them starts by itself after."""
    wanted: dict[Key, _Wanted] = {}
    starting: dict[Key, _Wanted] = {}
    held = policies(picture)
    for day, _ in days.values():
        for node in day.unfinished():
            if node.run is not None and key_of(node.run) in todo:
                wanted[key_of(node.run)] = todo[key_of(node.run)]
            elif (why := starts_itself(picture, held, node)) and _waits_for(picture, day, node, wanted):
                run = node.run or to_come(node, day)
                starting[key_of(run)] = _Wanted(run, why, saves.get(key_of(run), ()), WAIT)
    return wanted, starting


def _after_its_start(picture: Picture, one: _Wanted, due: datetime) -> _Wanted:
    """What its clock starts too early runs again after what it reads; started later than that, it is good itself."""
    at = moment(due, picture.job(one.run.job_id).zone, picture.now)
    why = (
        f"its own clock starts it at {at}, before what it reads is good: run again after both, where it came too early"
    )
    return replace(one, verb=Verb.RERUN, why=why)


def _is_read_by_one_of(picture: Picture, one: _Wanted, wanted: Mapping[Key, _Wanted]) -> bool:
    """True for what starts by itself and must be good before a step can go on, or what is held is let go."""
    below = picture.graph.descendants(one.run.job_id)
    return any(each.run.job_id in below and each.run.bd == one.run.bd for each in wanted.values())


def _waits_for(picture: Picture, day: Forecast, node: Node, wanted: Mapping[Key, _Wanted]) -> bool:
    """True when something of the plan lies upstream of it."""
    above = picture.graph.ancestors(node.job_id)
    return any(each.run.job_id in above and each.run.bd == day.bd for each in wanted.values())


def _without_blocked(picture: Picture, wanted: Mapping[Key, _Wanted]) -> tuple[dict[Key, _Wanted], list[LeftOut]]:
    """A run that its own scheduler keeps back until a step's job is good goes on by itself."""
    jobs = {(one.run.job_id, one.run.bd) for one in wanted.values()}
    kept: dict[Key, _Wanted] = {}
    left: list[LeftOut] = []
    for key, one in wanted.items():
        above = [
            edge.upstream
            for edge in picture.graph.into(one.run.job_id)
            if edge.native and (edge.upstream, one.run.bd) in jobs
        ]
        if one.run.state is State.BLOCKED and above:
            name = clean_line(picture.job(above[0]).name)
            left.append(_left(picture, one.run, f"its own scheduler starts it once {name} is good"))
        else:
            kept[key] = one
    return kept, left


def _is_broken(picture: Picture, run: RunFacts) -> bool:
    return picture.is_red_now(run) or (has_started(run) and picture.is_stale(run))


def _steps(picture: Picture, wanted: Sequence[_Wanted], can: Can, verb: Verb | None = None) -> tuple[Step, ...]:
    rank = picture.graph.ranks({one.run.job_id for one in wanted})
    ordered = sorted(wanted, key=lambda one: (rank[one.run.job_id], when(one.run), one.run.period_key, one.run.job_id))
    after = waits_for(picture, [one.run for one in ordered])
    told = [_with_own_start(picture, one, wanted) if verb is None else one for one in ordered]
    steps = [_step(picture, one, place, after[place], can, verb) for place, one in enumerate(told, 1)]
    return with_own_starts(picture, steps, [one.run for one in told])


def _with_own_start(picture: Picture, one: _Wanted, wanted: Sequence[_Wanted]) -> _Wanted:
    """Says that its own scheduler may start it, where it takes another step's success as the sign to."""
    natively = {edge.upstream for edge in picture.graph.into(one.run.job_id) if edge.native}
    again = any(each.run.job_id in natively and each.run.bd == one.run.bd for each in wanted)
    if not again or one.verb == WAIT:
        return one
    return replace(one, why=f"{one.why}; if its own scheduler starts it meanwhile, that run stands in for this step")


def _step(picture: Picture, one: _Wanted, place: int, after: tuple[int, ...], can: Can, verb: Verb | None) -> Step:
    job, run = picture.job(one.run.job_id), one.run
    fresh = not has_started(run)
    chosen = one.verb or verb or (Verb.START if fresh and can(job, Capability.START) else Verb.RERUN)
    known = picture.estimate(job.id)
    period = {"period_at": instant_key(run.period_at)} if fresh and run.period_at is not None else {}
    runs = chosen in (Verb.RERUN, Verb.START, WAIT)
    return Step(
        place=place,
        verb=str(chosen),
        job_id=job.id,
        job=clean_line(job.name),
        system=job.system,
        run_id=run.id or None,
        period_key=run.period_key,
        state=run.state.value,
        why=one.why,
        parameters=period if chosen is Verb.START else {},
        after=after,
        starts_s=starts_s(picture, run) if chosen == WAIT else 0.0,
        safety=job.rerun.value,
        expected_s=_seconds(known.p50) if runs else None,
        source=label([known]) if runs else "",
        saves=one.saves,
        alternatives=_alternatives(job, run, chosen, can),
    )


def _alternatives(job: JobFacts, run: RunFacts, verb: str, can: Can) -> tuple[str, ...]:
    """The ways that do something else than the step as it is proposed."""
    if verb in _MARKS:
        return ("skip",) if verb == Verb.MARK_OK else ("mark-ok",)
    if verb not in STARTING:
        return ()
    has_parts = has_started(run) and job.rerun is not Safety.NEVER and can(job, Capability.TASKS)
    return (*(_of_parts(job, run) if has_parts else ()), "mark-ok", "skip")


def _of_parts(job: JobFacts, run: RunFacts) -> tuple[str, ...]:
    """A red run is proposed with what failed in it, a green one whole, a task with what follows it
    (`Connector.preview`)."""
    if job.parent_id is not None:
        return ("failed-only",)
    return ("downstream", "all") if run.state.is_red or run.state is State.PARTIAL else ()


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()


def _why(run: RunFacts) -> str:
    if run.state.is_red:
        return f"it was {run.state}" if run.state is State.MISSED else f"it ended {run.state}"
    return "it read what its upstream had not finished"


def _left(picture: Picture, run: RunFacts, why: str) -> LeftOut:
    return LeftOut(clean_line(picture.job(run.job_id).name), run.id or None, why)


def _once(left: Sequence[LeftOut], steps: Sequence[Step]) -> tuple[LeftOut, ...]:
    """Each job once, with its first reason, and none that is a step."""
    taken = {step.job for step in steps}
    return tuple({one.job: one for one in reversed(left) if one.job not in taken}.values())[::-1]
