"""Which steps of a plan a service of tier 1 hangs on: nobody starts those by a slip of two keys."""

from __future__ import annotations

from dataclasses import replace

from console.clean import clean_line
from console.control.graph import Graph
from console.model.plans import Draft
from console.model.values import Estate


def with_first_tier(estate: Estate, draft: Draft) -> Draft:
    """The draft, each step with the services of tier 1 that its job feeds or delivers."""
    first = [service for service in estate.services if service.tier == 1]
    if not first:
        return draft
    graph = Graph(estate.jobs, estate.dependencies)
    found: dict[int, list[str]] = {}
    for service in first:
        for job_id in graph.members(each for each in service.terminals if each in estate.jobs):
            found.setdefault(job_id, []).append(clean_line(service.name))
    steps = (replace(step, first_tier=tuple(found.get(graph.unit(step.job_id), ()))) for step in draft.steps)
    return replace(draft, steps=tuple(steps))
