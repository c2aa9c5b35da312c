"""Proposals of plans: decided from the estate, each step previewed by its own scheduler."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import date
from typing import Any

from connectors.sdk.contract import ActionSpec
from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import Capability, RunState, Verb
from console.control.access.authorization import AccessRefusal
from console.control.recovery.backfill import MAX_PERIODS, backfill_periods, propose_backfill
from console.control.recovery.minimise import CanAct
from console.control.recovery.proposal import propose_bulk, propose_recovery, with_tier_1_services
from console.domain.estate import Estate, JobFacts
from console.domain.ids import incident_name
from console.domain.plan import WAIT, DraftStep, PlanDraft
from console.engine.access import AccessRights, all_granted
from console.engine.actions.previews import fetch_preview, preview_to_json, unsupported_reason
from console.engine.api.origin import hold_owner
from console.engine.api.server import RequestFailed
from console.engine.connector_pool import ConnectorPool
from console.engine.evaluation.forecaster import ServiceForecaster
from console.engine.polling.sanitize import sanitize_text
from console.store import access, actions, jobs
from console.store.db.database import Database
from console.timing.clock import Clock

PREVIEW_SECONDS = 25.0
"""For the previews of all steps together; the requester waits 45 s."""
PARALLEL_PREVIEWS = 32
"""Targets asked in parallel."""
_LATER = (WAIT, Verb.RELEASE)
"""Steps without a preview: nothing is sent, or the job is not held yet."""


def _with_hold_owner(draft: PlanDraft, name: str) -> PlanDraft:
    """The draft with `name` as the owner of its holds."""
    held = (replace(step, parameters={**step.parameters, "by": name}) for step in draft.steps if step.verb == Verb.HOLD)
    named = {step.place: step for step in held}
    return replace(draft, steps=tuple(named.get(step.place, step) for step in draft.steps))


class PlanProposer:
    """Proposes plans: recovery of an incident, a bulk action, a backfill."""

    def __init__(
        self, store: Database, clock: Clock, doors: ConnectorPool, secrets: SecretStore, estate: Callable[[], Estate]
    ) -> None:
        self._store = store
        self._clock = clock
        self._doors = doors
        self._secrets = secrets
        self._estate = estate

    def propose(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The draft as JSON, if the requester may see every job in it. Raises RequestFailed with the reason."""
        estate = self._estate()
        draft = with_tier_1_services(estate, self._draft(arguments, estate))
        by = str(arguments.get("by", ""))
        self._check_rights(draft, by)
        return self._previewed(_with_hold_owner(draft, hold_owner(by))).as_json()

    def _check_rights(self, draft: PlanDraft, by: str) -> None:
        """Checks the right to see every job of the draft's steps."""
        with self._store.read() as session:
            person = access.person_by_name(session, by, not self._store.is_sqlite)
            jobs = dict.fromkeys(step.job_id for step in draft.steps)
            rights = AccessRights(session)
            answer = all_granted(rights.may(person, "plan preview", job) for job in jobs)
        if isinstance(answer, AccessRefusal):
            raise RequestFailed(answer.reason)

    def _draft(self, arguments: Mapping[str, Any], estate: Estate) -> PlanDraft:
        now, can = self._clock.now(), self._can()
        if arguments.get("incident_id") is not None:
            everything = arguments.get("all") is True
            found = propose_recovery(
                estate, int(arguments["incident_id"]), now, can, everything, ServiceForecaster(), ServiceForecaster
            )
            if found is None:
                raise RequestFailed(f"{incident_name(int(arguments['incident_id']))} is not open: nothing to repair")
            return found
        if arguments.get("run_ids") is not None:
            return propose_bulk(
                estate, [int(argument) for argument in arguments["run_ids"]], Verb(arguments["verb"]), now, can
            )
        job = estate.jobs.get(int(arguments["job_id"]))
        if job is None:
            raise RequestFailed(f"no job {arguments['job_id']}")
        first, last = date.fromisoformat(arguments["first"]), date.fromisoformat(arguments["last"])
        runs = jobs.runs_between(self._store, job.id, first, last)
        since = None if arguments.get("unseen") is True else jobs.job_first_seen(self._store, job.id)
        limit = arguments.get("limit")
        found = propose_backfill(estate, job.id, backfill_periods(job, first, last, now), runs, limit, now, can, since)
        if limit is None and len(found.steps) > MAX_PERIODS:
            many = len(found.steps)
            raise RequestFailed(
                f"{many} periods have no good run, and one backfill runs at most {MAX_PERIODS} without a limit."
                f" Fix: --limit {many} for all of them, or --limit {MAX_PERIODS} for the oldest {MAX_PERIODS}"
            )
        return found

    def _can(self) -> CanAct:
        def can(job: JobFacts, capability: Capability) -> bool:
            place = self._doors.places.get(job.target_id)
            return place is not None and capability in place.system.capabilities

        return can

    def _previewed(self, draft: PlanDraft) -> PlanDraft:
        """Each step with its scheduler's preview, as far as these arrive in time. Targets are asked in parallel,
        each one serially."""
        asks: dict[int, list[tuple[DraftStep, ActionSpec]]] = defaultdict(list)
        found = dict[int, DraftStep]()
        for step in draft.steps:
            target = self._ref(step) if step.verb not in _LATER else None
            if target is not None and (
                cannot := unsupported_reason(self._doors.places[target[0]], step.system, Verb(step.verb))
            ):
                found[step.place] = replace(step, cannot=cannot)
            elif target is not None:
                asks[target[0]].append((step, target[1]))
            else:
                gone = f"{step.system} is not in the config of the running engine"
                found[step.place] = step if step.verb in _LATER else replace(step, trouble=gone)
        until = time.monotonic() + PREVIEW_SECONDS
        pool = ThreadPoolExecutor(min(PARALLEL_PREVIEWS, len(asks) or 1), thread_name_prefix="proposal")
        asking = [pool.submit(self._preview_all, target, each, until, found) for target, each in asks.items()]
        done, _ = wait(asking, timeout=PREVIEW_SECONDS)
        pool.shutdown(wait=False, cancel_futures=True)
        for one in done:
            one.result()  # raises its exception
        late = "the scheduler did not answer in time; it is asked again before anything is sent"
        told = tuple(found.get(step.place) or replace(step, trouble=late) for step in draft.steps)
        return replace(draft, steps=self._with_who_said(told))

    def _with_who_said(self, steps: tuple[DraftStep, ...]) -> tuple[DraftStep, ...]:
        """Adds to each preview which person declared the rerun safety, and when, if it was not the config."""
        said = jobs.stated_safety(self._store, {step.job_id for step in steps})
        return tuple(
            replace(step, preview={**step.preview, "safety_said": list(said[step.job_id])})
            if step.job_id in said and step.preview
            else step
            for step in steps
        )

    def _ref(self, step: DraftStep) -> tuple[int, ActionSpec] | None:
        """The target and the request of a step; None if its run or system is gone."""
        run_id = step.run_id
        found = actions.job_ref(self._store, step.job_id) if run_id is None else actions.run_ref(self._store, run_id)
        if found is None or found[2] not in self._doors.places:
            return None
        ref = found[0] if run_id is not None else replace(found[0], period_key=step.period_key)
        return found[2], ActionSpec(Verb(step.verb), ref, RunState(found[3]), dict(step.parameters))

    def _preview_all(
        self, target_id: int, asks: Sequence[tuple[DraftStep, ActionSpec]], until: float, found: dict[int, DraftStep]
    ) -> None:
        for step, ask in asks:
            if time.monotonic() >= until:
                return
            found[step.place] = self._preview(target_id, step, ask)

    def _preview(self, target_id: int, step: DraftStep, ask: ActionSpec) -> DraftStep:
        try:
            with self._doors.question(target_id, PREVIEW_SECONDS) as connector:
                preview = fetch_preview(connector, self._doors.places[target_id], ask, PREVIEW_SECONDS)
        except ConnectorError as error:
            return replace(step, trouble=self._shown(str(error)))
        return replace(step, preview=preview_to_json(preview, self._shown))

    def _shown(self, text: str) -> str:
        return sanitize_text(text, self._secrets.mask)
