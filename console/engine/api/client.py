"""Requests of the console and the CLI: answered by the engine, or written at once.

A request that needs the engine is a row of the `RequestQueue`; switches, notes, actions and plans are written at once,
whether or not an engine runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from connectors.sdk.states import Verb
from console.control.access.authorization import AccessGranted, AccessRefusal
from console.domain.hold import hold_end_fault
from console.domain.ids import incident_name, instant
from console.domain.job import is_less_cautious
from console.domain.plan import StepKey
from console.domain.request import RequestKind
from console.domain.switches import MAX_PAUSE, SystemPause, pause_length_fault, switch_request
from console.engine.access import AccessRights, all_granted
from console.engine.api.action_request import ActionRequest, insert_request, refuse_duplicate
from console.engine.api.plan_client import MAX_RUNS, PlanClient
from console.engine.api.queue import raise_if_refused, refusal_error
from console.engine.api.requests import EditCard, PreviewAction, ProposeBulk, RelaxRerunSafety
from console.store import access, events, subjects, switches
from console.store.db import client
from console.store.errors import NotAllowed, NotFound
from console.store.new_actions import has_action


class EngineClient(PlanClient):
    """The requests that people make of one store. Every call is short. All raise StoreUnusable if the store cannot be
    read or written, NotAllowed if the person lacks the right, and ReasonNeeded if only a reason is missing."""

    def preview(self, action: ActionRequest) -> int:
        """Requests a preview of the action."""
        return self.ask(PreviewAction(action.run_id, action.job_id, action.verb, dict(action.parameters)))

    def edit_card(self, job_id: int, given: Mapping[str, str], why: str = "") -> int:
        """Requests new values for fields of a job's card; an empty value restores the config's. Making a rerun less
        cautious takes an admin."""
        with self.transaction(writes=False) as session:
            now, declared = subjects.rerun_safety(session, job_id)
        rerun = given.get("rerun")
        loosens = rerun is not None and is_less_cautious(now, rerun or declared or now)
        return self.ask((RelaxRerunSafety if loosens else EditCard)(job_id, dict(given), why))

    def propose_bulk(self, run_ids: Sequence[int], verb: Verb, leave_out: Collection[StepKey] = ()) -> int:
        """Requests a plan that does the same with each of these runs, without the steps `leave_out`. Raises NotAllowed
        for more than MAX_RUNS."""
        if (count := len(run_ids)) > MAX_RUNS:
            raise NotAllowed(f"{count} runs are more than the {MAX_RUNS} that one plan takes. Fix: select fewer runs")
        request = ProposeBulk(tuple(run_ids), verb, tuple(sorted(leave_out)))
        return self.ask(request, self.subjects(request.jobs))

    def turn(self, name: str, value: str, why: str, system: str = "") -> bool:
        """Set a switch of `console.domain.switches` at once, engine or not; False if it had that value. `system`: of
        a switch that is about one. Raises NotAllowed."""
        operation = switch_request(name, value)
        with self.transaction() as session:
            person = self.person(session)
            answer = AccessRights(session).may(person, operation, system=system, why=why)
            if isinstance(answer, AccessGranted):
                now = client.store_now_us(session)
                return switches.set_switch(session, name, value, person.name, self.origin, why, now)
            self.audit(session, person.name, f"refuse {operation}", name, answer.audit_detail, why)
        raise NotAllowed(answer.reason)

    def pause_polling(self, system: str, seconds: float, why: str) -> SystemPause:
        """Pauses the polls of a system for so long, or resumes them with 0 seconds; the pause as it is now. Raises
        NotFound, NotAllowed."""
        operation = RequestKind.PAUSE_POLLING if seconds > 0 else RequestKind.RESUME_POLLING
        with self.transaction() as session:
            if not subjects.has_system(session, system):
                raise NotFound(f"system {system}")
            person, now = self.person(session), client.store_now_us(session)
            answer = AccessRights(session).may(person, operation, system=system, why=why)
            if isinstance(answer, AccessGranted) and seconds > 0:
                if fault := pause_length_fault(timedelta(seconds=min(seconds, 2 * MAX_PAUSE.total_seconds()))):
                    answer = AccessRefusal(f"polls of {system} are paused for {fault}")
                elif not why.strip():
                    fault = f"pausing the polls of {system} needs a reason"
                    answer = AccessRefusal(fault, wants_reason=True)
            if isinstance(answer, AccessGranted):
                until = (instant(now) + timedelta(seconds=max(seconds, 0.0))).replace(microsecond=0)
                pause = SystemPause(system, person.name, why, instant(now), until)
                switches.set_pause(session, pause, self.origin, now)
                return pause
            self.audit(session, person.name, f"refuse {operation}", system, answer.audit_detail, why)
        raise refusal_error(answer)

    def note(self, incident_id: int, text: str) -> None:
        """Adds a note to an incident's timeline. Raises NotFound, NotAllowed."""
        with self.transaction() as session:
            job_id = events.root_job(session, incident_id)
            person = self.person(session)
            answer = AccessRights(session).may(person, RequestKind.NOTE, job_id)
            if isinstance(answer, AccessGranted):
                now = client.store_now_us(session)
                return events.add_note(session, incident_id, text, person.name, self.origin, now)
            about = incident_name(incident_id)
            self.audit(session, person.name, f"refuse {RequestKind.NOTE}", about, answer.audit_detail)
        raise NotAllowed(answer.reason)

    def opens_shell(self, place: str) -> None:
        """Records in the audit that a shell is opened at "system/target". Raises NotAllowed."""
        with self.transaction() as session:
            person = self.person(session)
            answer = AccessRights(session).may(person, RequestKind.SHELL, system=place.partition("/")[0])
            if isinstance(answer, AccessGranted):
                return self.audit(session, person.name, RequestKind.SHELL, place, {})
            self.audit(session, person.name, f"refuse {RequestKind.SHELL}", place, answer.audit_detail)
        raise NotAllowed(answer.reason)

    def record_dependency_decision(
        self, verb: str, upstream: str, downstream: str, file: str, save: Callable[[], None]
    ) -> None:
        """Records in the audit that a suggested dependency is accepted or rejected; `save` writes that into the config.
        The config is not changed if the audit row cannot be written. Raises as `save`, and NotAllowed."""
        with self.transaction() as session:
            by, pair = self.person(session).name, f"{upstream} -> {downstream}"
            self.audit(session, by, f"{verb} dependency", pair, {"file": file})
            save()

    def act(self, action: ActionRequest, key: str) -> None:
        """Requests the action under `key`. The same key twice is one action.

        Raises AlreadyRequested if another action for this run is in flight, NotFound if the run or job is gone.
        """
        with self.transaction() as session:
            person = self.person(session)
            if has_action(session, key, person.name):
                return
            job_id = subjects.job_of_action(session, action.run_id, action.job_id)
            now = client.store_now_us(session)
            recent = access.recent_actions(session, person.name, now, key)
            rights = AccessRights(session)
            answer = rights.mode_refusal(job_id) or rights.may(
                person, action.verb, job_id, why=action.why, recent=recent
            )
            if isinstance(answer, AccessGranted) and action.verb is Verb.HOLD:
                answer = AccessRefusal(fault) if (fault := hold_end_fault(action.parameters, instant(now))) else answer
            name = subjects.name_of_job(session, job_id)
            detail: dict[str, Any] = {"key": key, "run_id": action.run_id, "parameters": dict(action.parameters)}
            if isinstance(answer, AccessGranted):
                refuse_duplicate(session, action, now)
                action = replace(action, needs_approval=action.needs_approval or answer.needs_approval)
                insert_request(session, action, key, job_id, person.name, self.origin, now)
                if not session.is_restricted:
                    detail |= {"sends": action.preview.get("native_calls", []), "needs_approval": answer.needs_approval}
                    self.audit(session, person.name, f"request {action.verb}", name, detail, action.why)
            elif not answer.wants_reason:  # the console asks for a missing reason and requests it again
                detail |= answer.audit_detail
                self.audit(session, person.name, f"refuse {action.verb}", name, detail, action.why)
        raise_if_refused(answer)

    def check(self, candidates: Iterable[ActionRequest]) -> None:
        """Raises NotAllowed or ReasonNeeded if requesting any of these without a reason would. Requests nothing."""
        with self.transaction(writes=False) as session:
            person = self.person(session)
            rights = AccessRights(session)
            requested = dict.fromkeys(
                (action.verb, subjects.job_of_action(session, action.run_id, action.job_id)) for action in candidates
            )
            answer = all_granted(
                rights.mode_refusal(job_id) or rights.may(person, verb, job_id) for verb, job_id in requested
            )
        raise_if_refused(answer)
