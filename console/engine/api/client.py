"""Requests of the console and the CLI: answered by the engine, or written at once.

A request that needs the engine is a row of the `RequestQueue`, and its method returns the row's id; switches, notes,
actions and plans are written at once, whether or not an engine runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from connectors.sdk.states import Verb
from console.control.access.authorization import AccessGranted, AccessRefusal
from console.domain.access import Person
from console.domain.hold import hold_end_fault
from console.domain.ids import incident_name, instant
from console.domain.job import is_less_cautious
from console.domain.plan import PlanDraft
from console.domain.request import RequestKind
from console.domain.service import ServiceView
from console.domain.switches import MAX_PAUSE, SystemPause, pause_length_fault, switch_request
from console.engine.access import AccessRights, all_granted
from console.engine.api.action_request import ActionRequest, insert_request, refuse_duplicate
from console.engine.api.plan_client import MAX_RUNS, start_plan, steer_plan
from console.engine.api.queue import RequestAnswer, RequestQueue, raise_if_refused, refusal_error
from console.store import access, audit, events, subjects, switches
from console.store.db import client
from console.store.errors import NotAllowed, NotFound
from console.store.new_actions import has_action


class EngineClient:
    """The requests that people make of one store. Every call is short. All raise StoreUnusable if the store cannot be
    read or written, NotAllowed if the person lacks the right, and ReasonNeeded if only a reason is missing."""

    def __init__(self, url: str, person: Person | None = None, origin: str = "") -> None:
        """`person` and `origin`: as for RequestQueue."""
        self._queue = RequestQueue(url, person, origin)

    def answer(self, request_id: int) -> RequestAnswer | None:
        """The engine's answer; None until there is one."""
        return self._queue.answer(request_id)

    def wait(self, request_id: int, seconds: float) -> RequestAnswer:
        """The answer, or one that is not ok after `seconds` without any."""
        return self._queue.wait(request_id, seconds)

    def preview(self, action: ActionRequest) -> int:
        """Requests a preview of the action."""
        arguments = {"run_id": action.run_id, "job_id": action.job_id, "verb": action.verb.value}
        return self._queue.ask(RequestKind.PREVIEW, {**arguments, "parameters": dict(action.parameters)})

    def log(
        self, run_id: int, attempt_id: int | None = None, start: str | None = None, against_good: bool = False
    ) -> int:
        """Requests the log of a run's latest or given attempt, or its difference to the last good log."""
        return self._queue.ask(
            RequestKind.COMPARE_LOGS if against_good else RequestKind.LOG,
            {"run_id": run_id, "attempt_id": attempt_id, "start": start},
        )

    def what_if(self, job_id: int, ways: Sequence[Mapping[str, Any]]) -> int:
        """Requests a forecast of the services that depend on the job, for each of the scenarios `ways`: {"how":
        "restart", "skip" or "faster", "at": time, "factor": share of the usual duration}."""
        return self._queue.ask(RequestKind.WHAT_IF, {"job_id": job_id, "ways": [dict(scenario) for scenario in ways]})

    def accept_drift(self, job_id: int, shown: int) -> int:
        """Requests to accept drift up to change number `shown`, the newest the person saw of the job; 0 if there was
        none."""
        arguments = {"job_id": job_id, "change": shown, "from": self._queue.origin}
        return self._queue.ask(RequestKind.ACCEPT_DRIFT, arguments)

    def edit_card(self, job_id: int, given: Mapping[str, str], why: str = "") -> int:
        """Requests new values for fields of a job's card; an empty value restores the config's. Making a rerun less
        cautious takes an admin."""
        with self._queue.transaction(writes=False) as session:
            now, declared = subjects.rerun_safety(session, job_id)
        rerun = given.get("rerun")
        loosens = rerun is not None and is_less_cautious(now, rerun or declared or now)
        arguments = {"job_id": job_id, "card": dict(given), "from": self._queue.origin, "why": why}
        return self._queue.ask(RequestKind.RELAX_RERUN_SAFETY if loosens else RequestKind.EDIT_CARD, arguments)

    def approve(self, key: str, digest: str) -> int:
        """Requests approval of another person's action `key`, as it was shown (`ApprovalView.digest`)."""
        return self._queue.ask(RequestKind.APPROVE, {"key": key, "digest": digest, "from": self._queue.origin})

    def withdraw(self, key: str, why: str = "") -> int:
        """Requests to withdraw the unsent action `key`."""
        return self._queue.ask(RequestKind.WITHDRAW, {"key": key, "from": self._queue.origin, "why": why})

    def extend(self, day: ServiceView, until_us: int | None, why: str) -> int:
        """Requests an extension of a service day, or of one submission; None ends it."""
        promise = {name: getattr(day, name) for name in ("business_date", "submission", "instance")}
        change = {"until_us": until_us, "from": self._queue.origin, "why": why}
        return self._queue.ask(RequestKind.EXTEND, {"service": day.name, **promise, **change})

    def undo_completion(self, run_id: int, why: str) -> int:
        """Requests to undo the completion of a manual step."""
        return self._queue.ask(RequestKind.UNDO_COMPLETION, {"run_id": run_id, "from": self._queue.origin, "why": why})

    def run_check(self, check: str, business_date: str | None = None) -> int:
        """Requests to run a check now, for a business date or the present one."""
        return self._queue.ask(RequestKind.RUN_CHECK, {"check": check, "business_date": business_date or ""})

    def test_route(self, route: str) -> int:
        """Requests a test message to every URL of a route. The answer names its alert."""
        return self._queue.ask(RequestKind.TEST_ALERT, {"route": route, "from": self._queue.origin})

    def retry_parked(self, delivery: int | None) -> int:
        """Requests to send one parked delivery again, or all."""
        return self._queue.ask(RequestKind.RETRY_ALERTS, {"delivery": delivery, "from": self._queue.origin})

    def probe(self, system: str, target: str = "") -> int:
        """Requests reachability, version and rights of a system's targets, or of one."""
        return self._queue.ask(RequestKind.PROBE, {"system": system, "target": target, "from": self._queue.origin})

    def propose(self, incident_id: int, everything: bool = False) -> int:
        """Requests a plan that repairs the services affected by the incident, or `everything` it left red or stale.
        The answer, as of all proposals, is a `PlanDraft` as JSON."""
        return self._queue.ask(RequestKind.PROPOSE_PLAN, {"incident_id": incident_id, "all": everything})

    def propose_bulk(self, run_ids: Sequence[int], verb: Verb) -> int:
        """Requests a plan that does the same with each of these runs. Raises NotAllowed for more than MAX_RUNS."""
        if len(run_ids) > MAX_RUNS:
            raise NotAllowed(
                f"{len(run_ids)} runs are more than the {MAX_RUNS} that one plan takes. Fix: select fewer runs"
            )
        known = self._queue.subjects(lambda session: subjects.jobs_of_runs(session, run_ids))
        return self._queue.ask(RequestKind.PROPOSE_PLAN, {"run_ids": list(run_ids), "verb": verb.value}, known)

    def propose_backfill(
        self, job_id: int, first: date, last: date, limit: int | None = None, unseen: bool = False
    ) -> int:
        """Requests a plan for the periods without a good run on business dates `first` to `last`, both included.
        `limit`: only the oldest so many; `unseen`: also periods from before the job was first seen."""
        dates = {"first": first.isoformat(), "last": last.isoformat()}
        return self._queue.ask(RequestKind.PROPOSE_PLAN, {"job_id": job_id, **dates, "limit": limit, "unseen": unseen})

    def start_plan(self, draft: PlanDraft, key: str, why: str = "", at_once: int = 1) -> int:
        """Starts the plan under `key`; its number. Raises as `plan_client.start_plan`."""
        return start_plan(self._queue, draft, key, why, at_once)

    def request_plan(self, draft: PlanDraft, key: str, why: str = "") -> int:
        """Stores the plan under `key`, paused until a person resumes it; its number. Raises as
        `plan_client.start_plan`."""
        return start_plan(self._queue, draft, key, why, is_paused=True)

    def steer_plan(self, number: int, how: RequestKind, why: str = "") -> str:
        """Pauses, resumes or aborts a plan; its new state. Raises as `plan_client.steer_plan`."""
        return steer_plan(self._queue, number, how, why)

    def acknowledge(
        self, incident_id: int, seconds: float, why: str = "", key: str = "", keeps_later: bool = False
    ) -> int:
        """Requests to acknowledge the incident for so long. The same key twice is one acknowledgement. `keeps_later`:
        it ends no earlier than the one that it replaces."""
        arguments = {"incident_id": incident_id, "seconds": seconds, "why": why, "key": key}
        arguments["keeps_later"] = keeps_later
        return self._queue.ask(RequestKind.ACKNOWLEDGE, {**arguments, "from": self._queue.origin})

    def unacknowledge(self, incident_id: int, why: str = "") -> int:
        """Requests to unacknowledge the incident."""
        arguments = {"incident_id": incident_id, "why": why, "from": self._queue.origin}
        return self._queue.ask(RequestKind.UNACKNOWLEDGE, arguments)

    def silence(self, matchers: Mapping[str, str], seconds: float, why: str, from_us: int | None = None) -> int:
        """Requests a silence of alerts that match all matchers, from `from_us` (default: now) for so long."""
        arguments = {"matchers": dict(matchers), "seconds": seconds, "why": why, "from_us": from_us}
        return self._queue.ask(RequestKind.ADD_SILENCE, {**arguments, "from": self._queue.origin})

    def expire_silence(self, number: int, why: str) -> int:
        return self._queue.ask(RequestKind.EXPIRE_SILENCE, {"silence": number, "why": why, "from": self._queue.origin})

    def rate_alert(self, alert_id: int, useful: bool, why: str) -> int:
        """Requests to rate an alert."""
        arguments = {"alert": alert_id, "useful": useful, "why": why, "from": self._queue.origin}
        return self._queue.ask(RequestKind.RATE_ALERT, arguments)

    def turn(self, name: str, value: str, why: str, system: str = "") -> bool:
        """Set a switch of `console.domain.switches` at once, engine or not; False if it had that value. `system`: of
        a switch that is about one. Raises NotAllowed."""
        operation = switch_request(name, value)
        with self._queue.transaction() as session:
            person = self._queue.person(session)
            answer = AccessRights(session).may(person, operation, system=system, why=why)
            if isinstance(answer, AccessGranted):
                now = client.store_now_us(session)
                return switches.set_switch(session, name, value, person.name, self._queue.origin, why, now)
            self._queue.audit_refusal(session, person, operation, name, answer, why)
        raise NotAllowed(answer.reason)

    def pause_polling(self, system: str, seconds: float, why: str) -> SystemPause:
        """Pauses the polls of a system for so long, or resumes them with 0 seconds; the pause as it is now. Raises
        NotFound, NotAllowed."""
        operation = RequestKind.PAUSE_POLLING if seconds > 0 else RequestKind.RESUME_POLLING
        with self._queue.transaction() as session:
            if not subjects.has_system(session, system):
                raise NotFound(f"system {system}")
            person, now = self._queue.person(session), client.store_now_us(session)
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
                switches.set_pause(session, pause, self._queue.origin, now)
                return pause
            self._queue.audit_refusal(session, person, operation, system, answer, why)
        raise refusal_error(answer)

    def note(self, incident_id: int, text: str) -> None:
        """Adds a note to an incident's timeline. Raises NotFound, NotAllowed."""
        with self._queue.transaction() as session:
            job_id = events.root_job(session, incident_id)
            person = self._queue.person(session)
            answer = AccessRights(session).may(person, RequestKind.NOTE, job_id)
            if isinstance(answer, AccessGranted):
                now = client.store_now_us(session)
                return events.add_note(session, incident_id, text, person.name, self._queue.origin, now)
            self._queue.audit_refusal(session, person, RequestKind.NOTE, incident_name(incident_id), answer)
        raise NotAllowed(answer.reason)

    def opens_shell(self, place: str) -> None:
        """Records in the audit that a shell is opened at "system/target". Raises NotAllowed."""
        with self._queue.transaction() as session:
            person = self._queue.person(session)
            answer = AccessRights(session).may(person, RequestKind.SHELL, system=place.partition("/")[0])
            if isinstance(answer, AccessGranted):
                now = client.store_now_us(session)
                return audit.append(session, now, person.name, self._queue.origin, RequestKind.SHELL, place, {})
            self._queue.audit_refusal(session, person, RequestKind.SHELL, place, answer)
        raise NotAllowed(answer.reason)

    def record_dependency_decision(
        self, verb: str, upstream: str, downstream: str, file: str, save: Callable[[], None]
    ) -> None:
        """Records in the audit that a suggested dependency is accepted or rejected; `save` writes that into the config.
        The config is not changed if the audit row cannot be written. Raises as `save`, and NotAllowed."""
        with self._queue.transaction() as session:
            by, now = self._queue.person(session).name, client.store_now_us(session)
            pair = f"{upstream} -> {downstream}"
            audit.append(session, now, by, self._queue.origin, f"{verb} dependency", pair, {"file": file})
            save()

    def act(self, action: ActionRequest, key: str) -> None:
        """Requests the action under `key`. The same key twice is one action.

        Raises AlreadyRequested if another action for this run is in flight, NotFound if the run or job is gone.
        """
        with self._queue.transaction() as session:
            person = self._queue.person(session)
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
            detail: dict[str, Any] = {"key": key, "run_id": action.run_id, "parameters": dict(action.parameters)}
            if isinstance(answer, AccessGranted):
                refuse_duplicate(session, action, now)
                action = replace(action, needs_approval=action.needs_approval or answer.needs_approval)
                insert_request(session, action, key, job_id, person.name, self._queue.origin, now)
                if not session.is_restricted:
                    detail |= {"sends": action.preview.get("native_calls", []), "needs_approval": answer.needs_approval}
                    self._queue.audit(session, person.name, f"request {action.verb}", job_id, detail, action.why)
            elif not answer.wants_reason:  # the console asks for a missing reason and requests it again
                detail |= answer.audit_detail
                self._queue.audit(session, person.name, f"refuse {action.verb}", job_id, detail, action.why)
        raise_if_refused(answer)

    def check(self, candidates: Iterable[ActionRequest]) -> None:
        """Raises NotAllowed or ReasonNeeded if requesting any of these without a reason would. Requests nothing."""
        with self._queue.transaction(writes=False) as session:
            person = self._queue.person(session)
            rights = AccessRights(session)
            requested = dict.fromkeys(
                (action.verb, subjects.job_of_action(session, action.run_id, action.job_id)) for action in candidates
            )
            answer = all_granted(
                rights.mode_refusal(job_id) or rights.may(person, verb, job_id) for verb, job_id in requested
            )
        raise_if_refused(answer)
