"""All actions of one Airflow: routes each to its handler; CANCEL, MARK_OK and SKIP are here.

CANCEL, MARK_OK and SKIP set the state of a run or task. State and note of a run are set in one request and one
transaction, so the note proves that ours arrived. Measured on 3.3.2: cancelling a run fails its running tasks (the
process ends at its next heartbeat) and skips the waiting ones; marking a run leaves its tasks alone; marking a task
clears failed downstream tasks, which then run.

For a task that waits for a person (3.1 and later) MARK_OK approves and SKIP rejects. An answer carries no key:
Airflow checks its input against the question's parameters. It accepts one answer only (409 for a second), so an equal
answer of a person counts as ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from connectors.airflow import inventory, parse
from connectors.airflow.client import AirflowClient, question_path, run_path, task_path
from connectors.airflow.hold import AirflowHolder
from connectors.airflow.parse import AirflowRunReference, AirflowTaskInstance, action_mark, parse_reference, run_ref
from connectors.airflow.rerun import OPEN_RUN_STATES, AirflowRerunner, unchanged_run
from connectors.airflow.runs import question_options, question_text
from connectors.airflow.start import AirflowBackfiller, AirflowStarter
from connectors.sdk import fields
from connectors.sdk.action_router import ActionRouter, RunPart
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, LookUpResult, Preview, Receipt
from connectors.sdk.errors import ActionRefused, NotSupported
from connectors.sdk.send_outcome import accepted
from connectors.sdk.states import Verb


class AirflowActions(ActionRouter):
    def __init__(self, client: AirflowClient, settle_seconds: float) -> None:
        starter, answerer = AirflowStarter(client), AirflowApprovals(client)
        self._holder, self._rerunner = AirflowHolder(client), AirflowRerunner(client, starter)
        parts: dict[Verb, RunPart] = {Verb.RERUN: self._rerunner, Verb.START: starter}
        parts |= dict.fromkeys((Verb.CANCEL, Verb.MARK_OK, Verb.SKIP), AirflowStateSetter(client, answerer))
        parts |= {Verb.HOLD: self._holder, Verb.RELEASE: self._holder, Verb.BACKFILL: AirflowBackfiller(client)}
        super().__init__("Airflow", client, parts, {}, settle_seconds)

    def look_up(self, preview: Preview, key: str) -> LookUpResult:
        """As the contract says. Once the outcome is known, a mark that was left behind is removed."""
        answer, how = super().look_up(preview, key), preview.plan.get("how")
        if isinstance(answer, ActionUnknown):
            return answer
        if how in self._holder.plans:
            self._holder.tidy(preview.plan, key)
        elif how in self._rerunner.plans:
            self._rerunner.tidy(preview.plan, key)
        return answer


RUNNING_TASK_STATES = ("running", "deferred", "up_for_reschedule", "awaiting_input", "restarting")
ENDED_TASK_STATES = ("success", "failed", "skipped", "upstream_failed", "removed")
FAILED_TASK_STATES = ("failed", "upstream_failed")
NATIVE_STATES = {Verb.CANCEL: "failed", Verb.MARK_OK: "success", Verb.SKIP: "skipped"}
"""States of a task; a run cannot be "skipped": it is "success" with a note."""


DELAYED_END = (
    "Airflow says failed at once; the process of a running task ends at its next heartbeat, some seconds later"
)


class AirflowStateSetter:
    """CANCEL, MARK_OK and SKIP. One per Airflow."""

    plans = ("run_state", "task_state", "answer")

    def __init__(self, client: AirflowClient, answerer: AirflowApprovals) -> None:
        self._client, self._answerer = client, answerer

    def preview(self, spec: ActionSpec) -> Preview:
        """As the contract says. Raises NotSupported for a run without a row in Airflow."""
        verb, at = spec.verb, parse_reference(spec.run)
        if at is None:
            raise NotSupported(
                f"Airflow has no row of the run {spec.run.period_key} of {spec.run.job}: nothing to change"
            )
        if at.task and verb is Verb.CANCEL:
            raise NotSupported(f"Airflow: a single task is not cancelled: cancel the run of its DAG {at.dag}")
        reply = self._client.run(at.dag, at.run)
        if reply.status == 404:
            raise ActionRefused(f"Airflow no longer has the run {at.run} of {at.dag}")
        row = reply.table()
        tasks = inventory.read_task_instances(self._client, at.dag, at.run) or []
        if at.task:
            return self._preview_mark_task(
                verb, at, row, [instance for instance in tasks if instance.key[2] == at.task]
            )
        return (
            self._preview_cancel(at, row, tasks)
            if verb is Verb.CANCEL
            else self._preview_mark_run(verb, at, row, tasks)
        )

    def _preview_cancel(
        self, at: AirflowRunReference, row: fields.Row, tasks: Sequence[AirflowTaskInstance]
    ) -> Preview:
        native = fields.optional_text(row, "state")
        if native not in OPEN_RUN_STATES:
            raise ActionRefused(f"the run has ended: Airflow says {native}")
        running = [task for task in tasks if task.native in RUNNING_TASK_STATES]
        waiting = [task for task in tasks if task.native not in (*RUNNING_TASK_STATES, *ENDED_TASK_STATES)]
        label = inventory.run_label(row, at.run)
        failed = f"Airflow fails running tasks ({inventory.task_names_text(running)})" if running else "no task runs"
        skipped = f"skips waiting ones ({inventory.task_names_text(waiting)})" if waiting else "no task waits"
        return Preview(
            verb="fail the run",
            summary=f"end {at.dag} {label}: {failed}, {skipped}",
            scope=f"{inventory.count_text(running)} running and {len(waiting)} waiting of {at.dag} {label}",
            affected=tuple(parse.instance_name(instance) for instance in (*running, *waiting)),
            native_calls=self._state_calls(at, "failed", Verb.CANCEL),
            notes=(DELAYED_END, "effects of its tasks so far are not undone; teardown tasks still run"),
            plan=_state_plan(at, row, Verb.CANCEL, "failed"),
        )

    def _preview_mark_run(
        self, verb: Verb, at: AirflowRunReference, row: fields.Row, tasks: Sequence[AirflowTaskInstance]
    ) -> Preview:
        native = fields.optional_text(row, "state")
        red = [task for task in tasks if task.native in FAILED_TASK_STATES]
        if native in OPEN_RUN_STATES:
            raise ActionRefused(f"the run is {native}: cancel it first, or let it end")
        if native == "success":
            ended_by = parse.ending_verb(parse.note_text(row), fields.optional_text(row, "queued_at"))
            hint = (
                f"; mark the tasks that are not green: {inventory.task_names_text(red)}" if red and not ended_by else ""
            )
            raise ActionRefused(f"Airflow says success already{hint}")
        label = inventory.run_label(row, at.run)
        state = "success" if verb is Verb.MARK_OK else "success (Airflow has no skipped run; its note says skipped)"
        names = inventory.task_names_text(red)
        if self._client.major == 2:
            task_note = f"Airflow 2 sets its tasks to success too ({names})" if red else "its tasks are green"
        else:
            task_note = f"its tasks stay as they are ({names} not green)" if red else "its tasks stay as they are"
        return Preview(
            verb="mark run success",
            summary=f"mark {at.dag} {label} as {state}",
            scope=f"the run {at.dag} {label}; " + ("all its tasks" if self._client.major == 2 else "no task"),
            native_calls=self._state_calls(at, "success", verb),
            notes=(f"nothing runs: {task_note}", "no asset is updated by it: DAGs that wait for one are not started"),
            plan=_state_plan(at, row, verb, "success"),
        )

    def _state_calls(self, at: AirflowRunReference, state: str, verb: Verb) -> tuple[str, ...]:
        body = {"state": state, "note": action_mark("KEY", verb=str(verb))}
        return self._client.calls("PATCH", run_path(at.dag, at.run), body)

    def _preview_mark_task(
        self, verb: Verb, at: AirflowRunReference, row: fields.Row, group: Sequence[AirflowTaskInstance]
    ) -> Preview:
        state = NATIVE_STATES[verb]
        in_approval = next((instance for instance in group if instance.reason == "approval"), None)
        if in_approval is not None:
            return self._answerer.preview(verb, at, in_approval)
        if row.get("state") in OPEN_RUN_STATES:
            raise ActionRefused(f"the run of {at.dag} is {row.get('state')}: let it end first, or cancel it")
        changed = self._client.preview_mark_task(at.dag, at.run, at.task, {"new_state": state})
        affected = inventory.readable_instances(changed.table().get("task_instances")) if changed.status == 200 else []
        if not affected:
            detail = f" ({changed.error})" if changed.error else ""
            raise ActionRefused(f"nothing to do: {at.task} is {_states_text(group) or 'gone'}{detail}")
        label = inventory.run_label(row, at.run)
        body = {"new_state": state, "note": action_mark("KEY", verb=str(verb))}
        plan = {"how": "task_state", "word": str(verb), "dag": at.dag, "run": at.run, "task": at.task}
        was = sorted({instance.native for instance in group})
        return Preview(
            verb=f"mark task {state}",
            summary=f"mark task {at.task} of {at.dag} {label} as {state}",
            scope=f"{inventory.count_text(affected)} of {at.dag} {label}: {inventory.task_names_text(affected)}",
            affected=tuple(parse.instance_name(instance) for instance in affected),
            native_calls=self._client.calls("PATCH", task_path(at.dag, at.run, at.task), body),
            notes=(*inventory.paused_note(self._client, at.dag), self._downstream_note(at, row)),
            plan={**plan, "try": at.try_number, "state": state, "was": was},
        )

    def _downstream_note(self, at: AirflowRunReference, row: fields.Row) -> str:
        """Airflow clears failed downstream tasks when the task is marked, so they run."""
        body = {"dag_run_id": at.run, "task_ids": [at.task], "include_downstream": True, "only_failed": True}
        reply = self._client.preview_clear_tasks(at.dag, body)
        instances = inventory.readable_instances(reply.table().get("task_instances")) if reply.status == 200 else []
        cleared = [instance for instance in instances if instance.key[2] != at.task]
        if cleared:
            return f"Airflow then clears the failed downstream tasks, which run: {inventory.task_names_text(cleared)}"
        return f"no downstream task failed: the run of {at.dag} stays {row.get('state')}; mark the run itself too"

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        if plan["how"] == "answer":
            return self._answerer.act(plan, key)
        if plan["how"] == "task_state":
            return self._set_task(plan, key)
        dag, run, verb = plan["dag"], plan["run"], plan["word"]
        row = unchanged_run(self._client, plan, plan["was"], _same_states(plan))
        mark = action_mark(key, str(plan["queued_at"] or ""), verb=verb)
        body = {"state": plan["state"], "note": parse.note_with_mark(mark, parse.note_text(row), True)}
        answer = accepted(self._client.patch_run(dag, run, body))
        return Receipt(run_ref(dag, run), f"Airflow says {answer.get('state')}")

    def _set_task(self, plan: Mapping[str, Any], key: str) -> Receipt:
        dag, run, task = plan["dag"], plan["run"], plan["task"]
        group = self._group(plan)
        if not group or sorted({instance.native for instance in group}) != plan["was"]:
            raise ActionRefused(f"Airflow: {task} of {dag} {run} is {_states_text(group) or 'gone'} by now")
        note = parse.note_with_mark(action_mark(key, verb=plan["word"]), group[0].note, True)
        accepted(self._client.mark_task(dag, run, task, {"new_state": plan["state"], "note": note}))
        return Receipt(parse.task_ref((dag, run, task), plan["try"], -1), f"marked {plan['state']}")

    def _group(self, plan: Mapping[str, Any]) -> list[AirflowTaskInstance]:
        tasks = inventory.read_task_instances(self._client, str(plan.get("dag")), str(plan.get("run")))
        return [instance for instance in tasks or () if instance.key[2] == plan.get("task")]

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        """By the note; without it, an unchanged run or task proves that nothing arrived."""
        if plan["how"] == "answer":
            return self._answerer.look_up(plan, key)
        if plan["how"] == "task_state":
            return self._find_task_mark(plan, key)
        dag, run = str(plan.get("dag")), str(plan.get("run"))
        reply = self._client.run(dag, run)
        if reply.status == 404:
            return ActionUnknown(f"Airflow no longer has the run {run} of {dag}")
        row = reply.table()
        if parse.note_has_key(row.get("note"), key):
            return ActionFound(run_ref(dag, run), f"the note carries our key; Airflow says {row.get('state')}")
        if row.get("queued_at") == plan.get("queued_at") and row.get("state") in _same_states(plan):
            return ActionAbsent()
        return ActionUnknown(
            f"{dag} {run} is {row.get('state')} by now and its note does not carry our key: "
            "it ended by itself, another user set it, or rewrote the note"
        )

    def _find_task_mark(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        group = self._group(plan)
        if any(parse.note_has_key(instance.note, key) for instance in group):
            return ActionFound(
                parse.task_ref((plan["dag"], plan["run"], plan["task"]), plan["try"], -1), "marked under our key"
            )
        if group and sorted({instance.native for instance in group}) == plan.get("was"):
            return ActionAbsent()
        return ActionUnknown(
            f"{plan.get('task')} is {_states_text(group) or 'gone'} by now, and its note does not carry our key"
        )


def _state_plan(at: AirflowRunReference, row: fields.Row, verb: Verb, state: str) -> dict[str, Any]:
    known = {"queued_at": row.get("queued_at"), "was": row.get("state")}
    return {"how": "run_state", "word": str(verb), "dag": at.dag, "run": at.run, "state": state, **known}


def _same_states(plan: Mapping[str, Any]) -> tuple[Any, ...]:
    """States in which the run is as the preview saw it; queued and running are one: it is open."""
    return OPEN_RUN_STATES if plan.get("was") in OPEN_RUN_STATES else (plan.get("was"),)


def _states_text(group: Sequence[AirflowTaskInstance]) -> str:
    return ", ".join(sorted({instance.native for instance in group}))


FRESH_QUESTION = timedelta(seconds=15)
"""Seen with 3.3.2: the executor's report of the ended process arrives after an early answer and counts as a crash."""
ANSWER_OPTIONS = {Verb.MARK_OK: ("approve", "ok"), Verb.SKIP: ("reject",)}
"""Options that count as this verb's answer, in lower case."""


class AirflowApprovals:
    def __init__(self, client: AirflowClient) -> None:
        self._client = client

    def preview(self, verb: Verb, at: AirflowRunReference, instance: AirflowTaskInstance) -> Preview:
        """The answer that would be sent, or why a person must give it in Airflow."""
        do = "approve" if verb is Verb.MARK_OK else "reject"
        reply = self._client.question(at.dag, at.run, at.task, instance.map_index)
        question = reply.table() if reply.status == 200 else {}
        if not question:
            raise ActionRefused(f"{at.task} waits, and Airflow reports no question of it ({reply.error})")
        if question.get("response_received") is True:
            raise ActionRefused(f"it was answered already: {_answered_text(question)}")
        created = fields.parse_instant(question.get("created_at"))
        age = inventory.server_time(reply) - created if created else FRESH_QUESTION
        if abs(age) < FRESH_QUESTION:  # the server's time is in whole seconds, and its clock may be another one
            raise ActionRefused(
                f"the question of {at.task} is new: Airflow fails what is answered before its scheduler "
                f"has seen that it waits. Try again in {FRESH_QUESTION.seconds} s",
            )
        answers = [option for option in question_options(question) if option.lower() in ANSWER_OPTIONS[verb]]
        if not answers:
            raise ActionRefused(
                f"{at.task} {question_text(question)}: none of these options is to {do}, answer it in Airflow"
            )
        values = {
            name: parameter.get("value") if isinstance(parameter, dict) else parameter
            for name, parameter in fields.subtable(question, "params").items()
        }
        if missing := sorted(fields.clean(name) for name, value in values.items() if value is None):
            raise ActionRefused(f"{at.task} asks for values too ({', '.join(missing)}): answer it in Airflow")
        body = {"chosen_options": answers[:1], "params_input": values}
        place = {"dag": at.dag, "run": at.run, "task": at.task, "map": instance.map_index, "try": at.try_number}
        return Preview(
            verb=f"answer {answers[0]}",
            summary=f"answer {answers[0]} to {parse.instance_name(instance)} of {at.dag}, "
            f"which {question_text(question)}",
            scope=f"1 question of {at.dag} {at.run}",
            affected=(parse.instance_name(instance),),
            native_calls=self._client.calls("PATCH", question_path(at.dag, at.run, at.task, instance.map_index), body),
            notes=("Airflow records Headway's account as the responder; an answer cannot be revoked",),
            plan={"how": "answer", **place, "body": body},
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says; the same answer already given counts as ours."""
        place = _question_key(plan)
        reply = self._client.answer(*place, plan["body"])
        if reply.status == 409:
            existing = self.look_up(plan, key)
            if isinstance(existing, ActionFound):
                return Receipt(existing.native_ref, existing.message)
            raise NotSupported(f"Airflow: {place[2]} has another answer now; nothing was done")
        accepted(reply)
        return Receipt(
            parse.task_ref(place[:3], plan["try"], place[3]), f"answered {plan['body']['chosen_options'][0]}"
        )

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        """By the given answer; no answer proves that ours did not arrive."""
        place = _question_key(plan)
        reply = self._client.question(*place)
        if reply.status != 200:
            return ActionUnknown(f"Airflow no longer shows the question of {place[2]} ({reply.error})")
        question = reply.table()
        if question.get("response_received") is not True:
            return ActionAbsent()
        if question.get("chosen_options") == plan["body"]["chosen_options"]:
            return ActionFound(parse.task_ref(place[:3], plan["try"], place[3]), f"answered {_answered_text(question)}")
        return ActionUnknown(f"{place[2]} was answered otherwise: {_answered_text(question)}")


def _question_key(plan: Mapping[str, Any]) -> tuple[str, str, str, int]:
    return str(plan["dag"]), str(plan["run"]), str(plan["task"]), int(plan["map"])


def _answered_text(question: Mapping[str, Any]) -> str:
    name = fields.subtable(question, "responded_by_user").get("name")
    chosen = [option for option in fields.rows(question.get("chosen_options")) if isinstance(option, str)]
    return fields.clean(f"{', '.join(chosen) or '?'} by {name or 'an unknown user'}")
