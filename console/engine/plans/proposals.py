"""Proposals of plans: decided from the estate, each step previewed by its own scheduler."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import date, datetime
from typing import Any, TypeAlias

from connectors.sdk.contract import ActionSpec
from connectors.sdk.errors import ConnectorError
from connectors.sdk.states import Capability, RunState, Verb
from console.control.access.authorization import AccessRefusal
from console.control.recovery.backfill import MAX_PERIODS, backfill_periods, propose_backfill
from console.control.recovery.exclusion import without_saves, without_steps
from console.control.recovery.proposal import propose_bulk, propose_recovery, with_tier_1_services
from console.domain.estate import Estate, JobFacts
from console.domain.ids import incident_name
from console.domain.plan import WAIT, DraftStep, PlanDraft, StepKey
from console.engine.access import AccessRights, all_granted
from console.engine.actions.previews import fetch_preview, preview_to_json, unsupported_reason
from console.engine.api.origin import hold_owner
from console.engine.api.requests import ProposeBackfill, ProposeBulk, ProposeRecovery
from console.engine.api.server import AnsweringEngine, Handlers, RequestFailed
from console.engine.evaluation.forecaster import ServiceForecaster
from console.engine.polling.sanitize import sanitizer
from console.store import access, actions, jobs
from console.timing.zones import business_window, zone_of

PREVIEW_SECONDS = 25.0
"""For the previews of all steps together; the requester waits 45 s."""
PARALLEL_PREVIEWS = 32
"""Targets previewed in parallel."""
_LATER = (WAIT, Verb.RELEASE)
"""Steps without a preview: nothing is sent, or the job is not held yet."""

ProposePlan: TypeAlias = ProposeRecovery | ProposeBulk | ProposeBackfill


class PlanProposer:
    """Proposes plans: recovery of an incident, a bulk action, a backfill."""

    def __init__(self, engine: AnsweringEngine) -> None:
        self._store, self._clock, self._connectors = engine.store, engine.clock, engine.connectors
        self._estate, self._shown = engine.estate, sanitizer(engine.secrets)

    def propose(self, request: ProposePlan, by: str) -> dict[str, Any]:
        """The draft as JSON, if the requester may see every job in it, also of the steps that it leaves out. Raises
        RequestFailed with the reason."""
        estate = self._estate()
        left_out = set[StepKey]() if isinstance(request, ProposeBackfill) else set(request.leave_out)
        draft = with_tier_1_services(estate, self._draft(request, estate, left_out))
        with self._store.read() as session:
            person = access.person_by_name(session, by, not self._store.is_sqlite)
            jobs = {step.job_id for step in draft.steps} | {job_id for job_id, _ in left_out if job_id in estate.jobs}
            rights = AccessRights(session)
            answer = all_granted(rights.may(person, request.kind, job) for job in sorted(jobs))
        if isinstance(answer, AccessRefusal):
            raise RequestFailed(answer.reason)
        owner = {"by": hold_owner(by)}
        steps = (
            replace(step, parameters={**step.parameters, **owner}) if step.verb == Verb.HOLD else step
            for step in draft.steps
        )
        draft = self._previewed(replace(draft, steps=tuple(steps)))
        refused = [step for step in draft.steps if step.cannot]
        return without_saves(draft, refused, "cannot be run again from here").as_json()

    def _draft(self, request: ProposePlan, estate: Estate, left_out: Collection[StepKey]) -> PlanDraft:
        now = self._clock.now()

        def can(job: JobFacts, capability: Capability) -> bool:
            place = self._connectors.places.get(job.target_id)
            return place is not None and capability in place.system.capabilities

        if isinstance(request, ProposeRecovery):
            number = request.incident_id
            draft = propose_recovery(estate, number, now, can, request.all, left_out, ServiceForecaster)
            if draft is None:
                raise RequestFailed(f"{incident_name(number)} is not open: nothing to repair")
            return draft
        if isinstance(request, ProposeBulk):
            return without_steps(propose_bulk(estate, request.run_ids, request.verb, now, can), left_out)
        first, last = date.fromisoformat(request.first), date.fromisoformat(request.last)
        job, limit = estate.jobs.get(request.job_id), request.limit
        if job is None:
            raise RequestFailed(f"no job {request.job_id}")
        stored_runs = jobs.runs_between(self._store, job.id, first, last)
        since = None if request.unseen else self._known_since(job)
        instants = backfill_periods(job, first, last, now)
        draft = propose_backfill(estate, job.id, instants, stored_runs, limit, now, can, since)
        if limit is None and len(draft.steps) > MAX_PERIODS:
            many = len(draft.steps)
            raise RequestFailed(
                f"{many} periods have no successful run, and one backfill runs at most {MAX_PERIODS} without a limit."
                f" Fix: --limit {many} for all of them, or --limit {MAX_PERIODS} for the oldest {MAX_PERIODS}"
            )
        return draft

    def _known_since(self, job: JobFacts) -> datetime | None:
        """From when on a period without a run has not run; before, its run may never have been seen, or be deleted."""
        first_seen, deleted = jobs.job_first_seen(self._store, job.id), jobs.last_deleted_date(self._store, job.id)
        if deleted is None:
            return first_seen
        known_from = business_window(deleted, zone_of(job.zone), job.cutoff)[1]
        return max(first_seen or known_from, known_from)

    def _previewed(self, draft: PlanDraft) -> PlanDraft:
        """Each step with its scheduler's preview, as far as these arrive in time, and with the person who declared
        its rerun safety and when, if it was not the config. Targets answer in parallel, each one serially."""
        requests: dict[int, list[tuple[DraftStep, ActionSpec]]] = defaultdict(list)
        finished = dict[int, DraftStep]()
        for step in draft.steps:
            target = self._request(step) if step.verb not in _LATER else None
            if step.verb in _LATER:
                finished[step.place] = step
            elif target is None:
                problem = f"{step.system} is not in the config of the running engine"
                finished[step.place] = replace(step, problem=problem)
            elif cannot := unsupported_reason(self._connectors.places[target[0]], step.system, Verb(step.verb)):
                finished[step.place] = replace(step, cannot=cannot)
            else:
                requests[target[0]].append((step, target[1]))
        until = time.monotonic() + PREVIEW_SECONDS

        def preview_all(target_id: int) -> None:
            for step, request in requests[target_id]:
                if time.monotonic() < until:
                    finished[step.place] = self._preview(target_id, step, request)

        pool = ThreadPoolExecutor(min(PARALLEL_PREVIEWS, len(requests) or 1), thread_name_prefix="proposal")
        done, _ = wait([pool.submit(preview_all, target) for target in list(requests)], timeout=PREVIEW_SECONDS)
        pool.shutdown(wait=False, cancel_futures=True)
        for future in done:
            future.result()  # raises its exception
        late = "the scheduler did not answer in time; the preview is repeated before anything is sent"
        steps = [finished.get(step.place) or replace(step, problem=late) for step in draft.steps]
        stated = jobs.stated_safety(self._store, {step.job_id for step in steps})
        steps = [
            replace(step, preview={**step.preview, "safety_said": list(stated[step.job_id])})
            if step.job_id in stated and step.preview
            else step
            for step in steps
        ]
        return replace(draft, steps=tuple(steps))

    def _request(self, step: DraftStep) -> tuple[int, ActionSpec] | None:
        """The target and the request of a step; None if its run or system is gone."""
        run_id = step.run_id
        native = actions.job_ref(self._store, step.job_id) if run_id is None else actions.run_ref(self._store, run_id)
        if native is None or native.target_id not in self._connectors.places:
            return None
        ref = native.ref if run_id is not None else replace(native.ref, period_key=step.period.key)
        request = ActionSpec(Verb(step.verb), ref, RunState(native.state), dict(step.parameters))
        return native.target_id, request

    def _preview(self, target_id: int, step: DraftStep, request: ActionSpec) -> DraftStep:
        try:
            with self._connectors.for_request(target_id, PREVIEW_SECONDS) as connector:
                preview = fetch_preview(connector, self._connectors.places[target_id], request, PREVIEW_SECONDS)
        except ConnectorError as error:
            return replace(step, problem=self._shown(str(error)))
        return replace(step, preview=preview_to_json(preview, self._shown))


HANDLERS: Handlers = dict.fromkeys(
    (ProposeRecovery, ProposeBulk, ProposeBackfill),
    lambda engine, request, caller: PlanProposer(engine).propose(request, caller.by),
)
