"""What one instance of a service that is promised end to end sees of the night: its own runs and nobody else's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from console.clean import clean_line
from console.control.instances import key_of_run
from console.control.picture import Key, Picture, key_of
from console.model.promises import Instance
from console.model.values import DependencyFacts, RunFacts, ServiceFacts

CLOCKS = timedelta(seconds=2)
"""Two systems' clocks differ by as much without a run having begun before its submission."""


@dataclass(slots=True)
class Claims:
    """Runs without a key that instances have been given, so that no two get the same."""

    taken: dict[Key, str] = field(default_factory=dict)
    keyed: dict[tuple[str, int], dict[str, list[RunFacts]]] = field(default_factory=dict)
    """Parameter and job -> value -> the runs that carry it, in order: looked up once for all instances."""
    edges: dict[frozenset[int], tuple[DependencyFacts, ...]] = field(default_factory=dict)
    """Members -> the dependencies between them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An instance's picture, and which members were told apart by their order alone."""

    picture: Picture
    by_order: tuple[str, ...]


def seen_by(picture: Picture, service: ServiceFacts, members: Iterable[int], claims: Claims) -> Seen:
    """The instance's runs, all on the business date of its submission, members upstream first. `service.instance` is
    set; instances are asked in the order of their submissions."""
    one = service.instance
    assert one is not None
    order = picture.graph.ordered(each for each in {*members, one.submission[0]} if each in picture.estate.jobs)
    chosen: dict[int, list[RunFacts]] = {}
    guessed: list[str] = []
    for job_id in order:
        runs = _keyed(picture, service, one, job_id, claims)
        if runs is None:
            runs = _in_order(picture, service, one, job_id, chosen, claims)
            guessed += [clean_line(picture.job(job_id).name)] if runs else []
        chosen[job_id] = [replace(run, bd=one.bd) for run in runs]
    chosen |= _tasks(picture, service, chosen)
    estate = replace(
        picture.estate,
        jobs={job_id: picture.job(job_id) for job_id in chosen},
        runs=tuple(run for job_id in sorted(chosen) for run in chosen[job_id]),
        dependencies=_between(picture, frozenset(chosen), claims),
        services=(service,),
        incidents=(),
        holds=(),
    )
    return Seen(Picture(estate, picture.now), tuple(guessed))


def _tasks(picture: Picture, service: ServiceFacts, chosen: dict[int, list[RunFacts]]) -> dict[int, list[RunFacts]]:
    """Of each task that delivers it the runs within those of its job: a task's own context names no submission."""
    found: dict[int, list[RunFacts]] = {}
    for task in service.terminals:
        read = {run.period_key: run.bd for run in chosen.get(picture.graph.unit(task), ())}
        if task in picture.estate.jobs and task not in chosen:
            runs = picture.runs.get(task, ())
            found[task] = [replace(run, bd=read[run.period_key]) for run in runs if run.period_key in read]
    return found


def _between(picture: Picture, job_ids: frozenset[int], claims: Claims) -> tuple[DependencyFacts, ...]:
    if job_ids not in claims.edges:
        every = picture.estate.dependencies
        claims.edges[job_ids] = tuple(
            each for each in every if each.upstream_id in job_ids and each.downstream_id in job_ids
        )
    return claims.edges[job_ids]


def _keyed(
    picture: Picture, service: ServiceFacts, one: Instance, job_id: int, claims: Claims
) -> Sequence[RunFacts] | None:
    """The runs that carry the instance's key; None where no run of the job carries any."""
    name = service.promise.deadline.key
    if (name, job_id) not in claims.keyed:
        claims.keyed[name, job_id] = _by_key(picture, name, job_id)
    known = claims.keyed[name, job_id]
    if job_id == one.submission[0]:
        told = known.get(one.key if one.is_keyed else "", ())
        return [run for run in told if key_of(run) == one.submission]
    if not one.is_keyed or not known.keys() - {""}:
        return None
    return [run for run in known.get(one.key, ()) if _is_in(run, one)]


def _by_key(picture: Picture, name: str, job_id: int) -> dict[str, list[RunFacts]]:
    """Value -> the job's runs that carry it; under "" those that carry none."""
    found: dict[str, list[RunFacts]] = {}
    for run in picture.runs.get(job_id, ()):
        found.setdefault(key_of_run(picture.estate, run, name), []).append(run)
    return found


def _in_order(
    picture: Picture,
    service: ServiceFacts,
    one: Instance,
    job_id: int,
    chosen: dict[int, list[RunFacts]],
    claims: Claims,
) -> Sequence[RunFacts]:
    """The first of its runs that nobody has and that began after all it waits for had ended; none while one goes on."""
    ready = one.submitted_at
    for edge in picture.graph.into(job_id):
        if edge.upstream in chosen:
            ends = [run.ended_at for run in chosen[edge.upstream]]
            known = [at for at in ends if at is not None]
            if not known or len(known) < len(ends):
                return ()
            ready = max(ready, *known)
    for run in picture.runs.get(job_id, ()):
        began = run.first_started_at
        if began is None or began + CLOCKS < ready:
            continue
        if claims.taken.setdefault(key_of(run), service.name) == service.name:
            return (run,)
    return ()


def _is_in(run: RunFacts, one: Instance) -> bool:
    began: datetime | None = run.first_started_at or run.period_at
    if began is None:
        return True
    return began + CLOCKS >= one.submitted_at and (one.until is None or began < one.until)
