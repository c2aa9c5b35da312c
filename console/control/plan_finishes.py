"""When the services that a plan is for are there if it is carried out, and how likely that is late: from the simulation
of the night as the plan has it, as it is proposed and with one of its steps skipped or marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from connectors.contract import Verb, instant_key
from console.control.forecast import Forecast
from console.control.forecast.odds import Foresee
from console.control.forecast.points import Point
from console.control.forecast.what_if import Planned
from console.control.moments import up
from console.control.picture import Picture
from console.control.saving import Days
from console.model.plans import HOLDING, WAIT, Draft, PlanFinish, Step

ForeseeOtherwise = Callable[[Callable[[Point], Point]], Foresee]
"""The simulation of a night of which each point is another."""
MOST_STEPS = 6
"""Steps of which it is told what becomes of the services without them: each is a simulation of its own."""
_DONE = ("skip", "mark-ok")


def with_finishes(
    picture: Picture, draft: Draft, near: Sequence[Forecast], days: Days, otherwise: ForeseeOtherwise
) -> Draft:
    """`days`: those that the plan is for; `near`: they and all that is foreseen together with them."""
    sending = [step for step in draft.steps if step.verb not in (WAIT, *HOLDING)]
    skipped = [step for step in sending if set(_DONE) & set(step.alternatives)][:MOST_STEPS]
    found: list[PlanFinish] = []
    for step in [None, *skipped] if days else ():
        # A plan that only waits changes nothing: each day is done as it is foreseen.
        as_it_is = [day for day, _ in days.values()]
        foreseen = otherwise(_planned(picture, draft, sending, step))(picture, near) if sending else as_it_is
        found += [
            PlanFinish(day.service.name, day.bd.isoformat(), step.place if step else 0, day.odds.late,
                       instant_key(up(day.odds.by)))
            for day in foreseen if (day.service.name, day.bd) in days and day.odds is not None
        ]  # fmt: skip
    return replace(draft, finishes=tuple(found))


def _planned(picture: Picture, draft: Draft, sending: Sequence[Step], done: Step | None) -> Planned:
    held = frozenset(step.job_id for step in draft.steps if step.verb == Verb.HOLD)
    jobs = frozenset(step.job_id for step in sending)
    return Planned(picture.now, jobs, held, frozenset([done.job_id] if done is not None else []))
