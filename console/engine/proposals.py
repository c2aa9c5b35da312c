"""Plans as they are proposed: decided from the estate, each step previewed by its own scheduler."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import date
from typing import Any

from connectors.contract import Ask, Capability, ConnectorError, State, Verb
from connectors.secrets import SecretStore
from console.clock import Clock
from console.control.authorize import Refused
from console.control.backfill import MOST, backfill, periods
from console.control.fewest import Can
from console.control.first_tier import with_first_tier
from console.control.plan import bulk, recovery
from console.engine.answers import CannotAnswer
from console.engine.arriving import shown
from console.engine.doors import Doors
from console.engine.foreseeing import Foreseeing
from console.engine.origin import mark_name
from console.engine.previews import cleaned_preview, preview_there, why_cannot
from console.engine.rights import Rights, all_granted
from console.model.ids import incident_name
from console.model.plans import WAIT, Draft, Step
from console.model.values import Estate, JobFacts
from console.store import asked, cards, periods_ran, permissions
from console.store.open import Store
from console.store.wire import wire

PREVIEW_SECONDS = 25.0
"""For the previews of all steps together: who asked waits 45 s."""
WIDE = 32
"""Targets that are asked at once."""
_LATER = (WAIT, Verb.RELEASE)
"""Steps of which nothing can be asked yet: nothing is sent, or what it lets go is not held before."""


def _held_by(draft: Draft, name: str) -> Draft:
    """The marks of its holds bear who asks for the plan."""
    held = (replace(step, parameters={**step.parameters, "by": name}) for step in draft.steps if step.verb == Verb.HOLD)
    named = {step.place: step for step in held}
    return replace(draft, steps=tuple(named.get(step.place, step) for step in draft.steps))


class Proposals:
    """Answers what would repair an incident, be done to marked runs, or fill a job's past periods."""

    def __init__(
        self, store: Store, clock: Clock, doors: Doors, secrets: SecretStore, estate: Callable[[], Estate]
    ) -> None:
        self._store = store
        self._clock = clock
        self._doors = doors
        self._secrets = secrets
        self._estate = estate

    def propose(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The draft as JSON, for who may look at every job in it. Raises CannotAnswer with the reason."""
        estate = self._estate()
        draft = with_first_tier(estate, self._draft(arguments, estate))
        by = str(arguments.get("by", ""))
        self._check_rights(draft, by)
        return self._previewed(_held_by(draft, mark_name(by))).as_json()

    def _check_rights(self, draft: Draft, by: str) -> None:
        """By the steps as they are, whatever was said to ask for them."""
        with self._store.read() as connection:
            run = wire(connection).rows
            person = permissions.person_named(run, by, not self._store.is_sqlite)
            jobs = dict.fromkeys(step.job_id for step in draft.steps)
            rights = Rights(run)
            answer = all_granted(rights.may(person, "plan preview", job) for job in jobs)
        if isinstance(answer, Refused):
            raise CannotAnswer(answer.reason)

    def _draft(self, arguments: Mapping[str, Any], estate: Estate) -> Draft:
        now, can = self._clock.now(), self._can()
        if arguments.get("incident_id") is not None:
            everything = arguments.get("all") is True
            found = recovery(estate, int(arguments["incident_id"]), now, can, everything, Foreseeing(), Foreseeing)
            if found is None:
                raise CannotAnswer(f"{incident_name(int(arguments['incident_id']))} is not open: nothing to repair")
            return found
        if arguments.get("run_ids") is not None:
            return bulk(estate, [int(each) for each in arguments["run_ids"]], Verb(arguments["verb"]), now, can)
        job = estate.jobs.get(int(arguments["job_id"]))
        if job is None:
            raise CannotAnswer(f"no job {arguments['job_id']}")
        first, last = date.fromisoformat(arguments["first"]), date.fromisoformat(arguments["last"])
        runs = periods_ran.runs_between(self._store, job.id, first, last)
        since = None if arguments.get("unseen") is True else periods_ran.first_seen(self._store, job.id)
        limit = arguments.get("limit")
        found = backfill(estate, job.id, periods(job, first, last, now), runs, limit, now, can, since)
        if limit is None and len(found.steps) > MOST:
            many = len(found.steps)
            raise CannotAnswer(
                f"{many} periods are not good, more than the {MOST} of one backfill: --limit {many} takes them all,"
                f" --limit {MOST} the oldest {MOST}"
            )
        return found

    def _can(self) -> Can:
        def can(job: JobFacts, capability: Capability) -> bool:
            place = self._doors.places.get(job.target_id)
            return place is not None and capability in place.system.capabilities

        return can

    def _previewed(self, draft: Draft) -> Draft:
        """Each step with its scheduler's own words, as far as these come in time. A target answers one question after
        another, and is waited for by nobody else's."""
        asks: dict[int, list[tuple[Step, Ask]]] = defaultdict(list)
        found = dict[int, Step]()
        for step in draft.steps:
            target = self._ref(step) if step.verb not in _LATER else None
            if target is not None and (
                cannot := why_cannot(self._doors.places[target[0]], step.system, Verb(step.verb))
            ):
                found[step.place] = replace(step, cannot=cannot)
            elif target is not None:
                asks[target[0]].append((step, target[1]))
            else:
                gone = f"{step.system} is not in the config of the running engine"
                found[step.place] = step if step.verb in _LATER else replace(step, trouble=gone)
        until = time.monotonic() + PREVIEW_SECONDS
        pool = ThreadPoolExecutor(min(WIDE, len(asks) or 1), thread_name_prefix="proposal")
        asking = [pool.submit(self._preview_all, target, each, until, found) for target, each in asks.items()]
        done, _ = wait(asking, timeout=PREVIEW_SECONDS)
        pool.shutdown(wait=False, cancel_futures=True)
        for one in done:
            one.result()  # raises what broke there
        late = "its scheduler did not answer in time; it is asked again before anything leaves"
        told = tuple(found.get(step.place) or replace(step, trouble=late) for step in draft.steps)
        return replace(draft, steps=self._with_who_said(told))

    def _with_who_said(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """Where a person, not config, says how safe a rerun is, the preview tells who, and when."""
        said = cards.safety_said(self._store, {step.job_id for step in steps})
        return tuple(
            replace(step, preview={**step.preview, "safety_said": list(said[step.job_id])})
            if step.job_id in said and step.preview
            else step
            for step in steps
        )

    def _ref(self, step: Step) -> tuple[int, Ask] | None:
        """The target that is asked, and what; None where its run or its system is gone."""
        run_id = step.run_id
        found = asked.job_ref(self._store, step.job_id) if run_id is None else asked.run_ref(self._store, run_id)
        if found is None or found[2] not in self._doors.places:
            return None
        ref = found[0] if run_id is not None else replace(found[0], period_key=step.period_key)
        return found[2], Ask(Verb(step.verb), ref, State(found[3]), dict(step.parameters))

    def _preview_all(
        self, target_id: int, asks: Sequence[tuple[Step, Ask]], until: float, found: dict[int, Step]
    ) -> None:
        for step, ask in asks:
            if time.monotonic() >= until:
                return
            found[step.place] = self._preview(target_id, step, ask)

    def _preview(self, target_id: int, step: Step, ask: Ask) -> Step:
        try:
            with self._doors.question(target_id, PREVIEW_SECONDS) as connector:
                preview = preview_there(connector, self._doors.places[target_id], ask, PREVIEW_SECONDS)
        except ConnectorError as error:
            return replace(step, trouble=self._shown(str(error)))
        return replace(step, preview=cleaned_preview(preview, self._shown))

    def _shown(self, text: str) -> str:
        return shown(text, self._secrets.mask)
