"""Services that are promised end to end: each submission is an instance with a deadline of its own, across all systems.

Runs whose context carries the key belong to the submission with the same value. A member whose runs carry no key at all
is taken in order: of its runs that began after what they wait for was done, the first that no earlier instance has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from console.control.calendars import counts
from console.model.grouped import by_job
from console.model.promises import MOST_JUDGED, Instance, instance_name
from console.model.values import Estate, RunFacts, ServiceFacts


def with_instances(estate: Estate) -> Estate:
    """The same, each service that is promised end to end replaced by its instances, in the order of their
    submissions."""
    if not any(one.promise.deadline.key and one.instance is None for one in estate.services):
        return estate
    services = [each for one in estate.services for each in _instances(estate, one)]
    return replace(estate, services=tuple(services))


def key_of_run(estate: Estate, run: RunFacts, name: str) -> str:
    """The value of that key in the run's context; empty where it has none."""
    return estate.correlated.get(run.id, {}).get(name, "")


def _instances(estate: Estate, service: ServiceFacts) -> Iterator[ServiceFacts]:
    rule = service.promise.deadline
    if not rule.key or service.instance is not None:
        yield service
        return
    told = by_job(estate.runs).get(rule.of_id, ()) if rule.of_id is not None else ()
    calendar = estate.declared.calendar(service.calendar)
    submitted = [
        run for run in told if run.first_started_at is not None and (calendar is None or counts(calendar, run.bd))
    ]
    following: dict[str, datetime] = {}
    found: list[Instance] = []
    for run in sorted(submitted, key=_began, reverse=True)[:MOST_JUDGED]:
        value = key_of_run(estate, run, rule.key)
        key = value or run.period_key
        found.append(Instance(key, (run.job_id, run.period_key), _began(run), run.bd, bool(value), following.get(key)))
        following[key] = _began(run)
    names: set[str] = set()
    for one in reversed(found):
        names.add(shown := _unlike(names, one))
        title = instance_name(service.title, shown)
        yield replace(service, name=instance_name(service.name, shown), title=title, instance=one)


def _unlike(names: set[str], one: Instance) -> str:
    """What it is called: its key, which the first to have it keeps; a later one adds when it was submitted, or which
    run that was."""
    choices = (one.key, f"{one.key} ({one.submitted_at:%H:%M})", f"{one.key} ({one.submission[1]})")
    return next((each for each in choices if each not in names), choices[-1])


def _began(run: RunFacts) -> datetime:
    assert run.first_started_at is not None
    return run.first_started_at
