"""For what the back-tests of a service hold: its promise and its jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping

from console.control.expected import expects_nothing
from console.model.past_shape import PastShape
from console.model.values import JobFacts, ServiceFacts

VERSION = 1
"""Of how nights are back-tested: with another one, what was found before counts no more."""


def can_be_tested(service: ServiceFacts) -> bool:
    """False for what is promised end to end: histories do not tell submissions apart."""
    return service.instance is None and not service.promise.deadline.key


def shape_of(service: ServiceFacts, jobs: Mapping[int, JobFacts]) -> PastShape:
    """For what back-tests of that service hold. `jobs`: its own."""
    rule = service.promise.deadline
    by = [service.deadline, service.zone, service.cutoff, service.calendar, rule.day, rule.after_start, rule.of]
    promise = json.dumps([VERSION, *map(str, by), *sorted(service.terminals)])
    return PastShape(promise, {job_id: _clock_words(job) for job_id, job in jobs.items()})


def _clock_words(job: JobFacts) -> str:
    said = job.schedule
    return "" if expects_nothing(job) else f"{said.dialect} {said.expression} {said.zone} {job.calendar}".strip()
