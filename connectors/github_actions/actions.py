"""All actions of one repository: START, RERUN and CANCEL; HOLD and RELEASE are handled in `hold`.

START is a workflow_dispatch event. Our key is passed in the input `headway_key` if the workflow has it, and is shown
in the run's title if `run-name` has it; GitHub itself takes no key. Without it a lost answer looks like another
person's start, and such a start is never repeated.

RERUN has no key either: it is found by the run's next attempt and the account that started it. Nothing runs twice:
GitHub rejects a rerun of a run in progress, and an action is sent only while the run is at the previewed attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.github_actions import parse
from connectors.github_actions.client import PAGE_LIMIT, GitHubClient
from connectors.github_actions.inventory import ACTIVE_STATE, WorkflowFiles, active_runs_note, find_workflow
from connectors.github_actions.parse import KEY_INPUT, PERIOD_INPUT, GitHubWorkflow
from connectors.github_actions.runs import RERUN_PERIOD, parse_reference, read_job_rows
from connectors.sdk import fields
from connectors.sdk.action_router import period_of
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, LookUpResult, Preview, Receipt
from connectors.sdk.errors import ActionRefused, NotSupported, OutcomeUnknown
from connectors.sdk.records import RunRef, instant_key
from connectors.sdk.run_canceller import RunCanceller, RunNow
from connectors.sdk.send_outcome import raise_if_refused, sent_response
from connectors.sdk.settle import arrival_window
from connectors.sdk.states import RunState

RETURN_DETAILS = "return_run_details"
KEY_NOT_VISIBLE = (
    f"its run cannot carry our key: give workflow_dispatch an input {KEY_INPUT} and show it in run-name, else a lost"
    " answer cannot be looked up"
)


class GitHubDispatcher:
    plans = ("dispatch",)

    def __init__(
        self, client: GitHubClient, definitions: WorkflowFiles, ref: str, inputs: Mapping[str, Mapping[str, str]]
    ) -> None:
        self._client, self._definitions, self._ref, self._inputs = client, definitions, ref, inputs

    def preview(self, spec: ActionSpec) -> Preview:
        job, at = spec.run.job, period_of(spec)
        row = find_workflow(self._client, job)
        path = parse.workflow_path(row)
        self._definitions.refresh()
        definition = self._definitions.of(path)
        values = dict(self._inputs.get(path.removeprefix(parse.WORKFLOW_PREFIX), {}))
        if row.get("state") != ACTIVE_STATE:
            raise ActionRefused(f"GitHub starts no workflow that is {fields.optional_text(row, 'state')}")
        if definition is None:
            raise ActionRefused("its file is not on the default branch, or cannot be read")
        _check_inputs(definition, values)
        plan: dict[str, Any] = {
            "how": "dispatch",
            "job": job,
            "workflow": fields.positive(row, "id"),
            "ref": self._ref or fields.text(self._client.repository_row().table(), "default_branch"),
            "inputs": values,
            "key": KEY_INPUT in definition.inputs,
            "shown": definition.shows_key,
        }
        if at is not None and PERIOD_INPUT in definition.inputs:
            plan["inputs"] = {**values, PERIOD_INPUT: instant_key(at)}
        label = f"{at:%Y-%m-%d %H:%MZ}" if at else "now"
        undated = f"the run gets no date: it runs for now (an input {PERIOD_INPUT} would get it)"
        body = fields.to_json(dispatch_body(plan, "KEY"))
        return Preview(
            verb="dispatch the workflow",
            summary=f"start {job} on {plan['ref']} for {label}",
            scope="all jobs of the workflow",
            overlap=active_runs_note(self._client, plan["workflow"]),
            native_calls=(f"POST /actions/workflows/{plan['workflow']}/dispatches {body}",),
            notes=(
                *(() if PERIOD_INPUT in plan["inputs"] else (undated,)),
                *(() if plan["shown"] else (KEY_NOT_VISIBLE,)),
            ),
            plan=plan,
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. Not sent again if a run with this key exists."""
        if plan["shown"] and (run_id := _run_with_key(self._dispatched_runs(plan), key)):
            return Receipt(parse.run_ref(run_id, 1), "was dispatched under this key before")
        workflow, body = int(plan["workflow"]), dispatch_body(plan, key)
        reply = self._client.dispatch(workflow, body)
        if reply.status == 422 and RETURN_DETAILS in reply.error:  # an Enterprise Server that does not know it yet
            reply = self._client.dispatch(
                workflow, {name: value for name, value in body.items() if name != RETURN_DETAILS}
            )
        raise_if_refused(reply)
        if reply.status == 204 or not reply.body:
            return Receipt(str(plan["job"]), "dispatched; GitHub did not say as which run")
        run = sent_response(reply).get("workflow_run_id")
        if not isinstance(run, int):
            raise OutcomeUnknown(f"{reply.place} names no run. Outcome unknown: checking GitHub for this action.")
        return Receipt(parse.run_ref(run, 1), f"dispatched as run {run}")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        """By the key in a title; without it, whether our account dispatched anything since."""
        listed = self._dispatched_runs(plan)
        if plan.get("shown") and (run_id := _run_with_key(listed, key)):
            return ActionFound(parse.run_ref(run_id, 1), "a run's title has our key")
        if len(listed) >= PAGE_LIMIT:
            return ActionUnknown(f"{len(listed)} runs and more were dispatched then: ours may be an unlisted one")
        if plan.get("shown"):
            return ActionAbsent()
        me = account_login(self._client)
        if not me:
            return ActionUnknown("the run's title does not show our key, and the token has no user to look for")
        count = sum(parse.actor_login(row) == me for row in listed)
        why = f"{count} runs were dispatched by {me} since: none shows our key, one may be it"
        return ActionUnknown(why) if count else ActionAbsent()

    def _dispatched_runs(self, plan: Mapping[str, Any]) -> list[fields.Row]:
        first, last = (f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else "" for at in arrival_window(plan))
        created = f"{first}..{last}" if last else f">={first}"
        reply = self._client.runs_of(int(plan["workflow"]), event="workflow_dispatch", created=created)
        return fields.tables(reply.rows("workflow_runs"))


def _run_with_key(listed: list[fields.Row], key: str) -> int:
    return min((fields.positive(row, "id") for row in listed if key in str(row.get("display_title"))), default=0)


def dispatch_body(plan: Mapping[str, Any], key: str) -> dict[str, Any]:
    inputs = {**plan["inputs"], **({KEY_INPUT: key} if plan["key"] else {})}
    return {"ref": plan["ref"], **({"inputs": inputs} if inputs else {}), RETURN_DETAILS: True}


def _check_inputs(definition: GitHubWorkflow, values: Mapping[str, str]) -> None:
    """Raises ActionRefused where GitHub would refuse a dispatch with these inputs."""
    if "workflow_dispatch" not in definition.triggers:
        raise ActionRefused("its file has no workflow_dispatch trigger: GitHub starts nothing else on request")
    needed = {name for name, must in definition.inputs.items() if must} - {KEY_INPUT, PERIOD_INPUT}
    if missing := [name for name in definition.inputs if name in needed - values.keys()]:
        raise ActionRefused(f"it needs the inputs {', '.join(missing)}: name them in the system's inputs")
    if unknown := sorted(values.keys() - definition.inputs.keys()):
        raise ActionRefused(f"it has no inputs {', '.join(unknown)}: correct the system's inputs")


def account_login(client: GitHubClient) -> str:
    """Our login at GitHub; "" for a token without a user."""
    reply = client.user()
    login = reply.table().get("login") if reply.status == 200 else ""
    return login if isinstance(login, str) else ""


UNNAMED_RERUN = (
    "GitHub stores no key with a rerun: it is found by the run's next attempt and the account that started it"
)


class GitHubRerunner:
    plans = ("rerun", "rerun_job")

    def __init__(self, client: GitHubClient, definitions: WorkflowFiles) -> None:
        self._client, self._definitions = client, definitions

    def preview(self, spec: ActionSpec) -> Preview:
        """As the contract says. Raises NotSupported for a run without a row in GitHub."""
        ref = parse_reference(spec.run)
        if ref is None:
            raise NotSupported(f"GitHub: nothing to rerun: {spec.run.job} {spec.run.period_key} has no run")
        plan = {"run": ref.run, "attempt": ref.attempt}
        row = _read_attempt(self._client, plan)
        state, native, _ = parse.parse_state(row)
        if state.is_open:
            raise ActionRefused(f"the run is {native}: cancel it first, or let it end")
        created = fields.instant(row, "created_at")
        if created is None or datetime.now(UTC) - created > RERUN_PERIOD:
            too_old = f"it was created {created:%Y-%m-%d}: GitHub runs again for 30 days" if created else native
            raise ActionRefused(too_old)
        return self._task(spec, row, ref.task, plan) if ref.task else self._whole(spec, row, state, plan)

    def _whole(self, spec: ActionSpec, row: fields.Row, state: RunState, plan: dict[str, Any]) -> Preview:
        failed = str(spec.parameters.get("scope") or "failed") != "all" and state is not RunState.SUCCEEDED
        run = plan["run"]
        return Preview(
            verb="re-run failed jobs" if failed else "re-run all jobs",
            summary=f"run {'failed' if failed else 'all'} jobs of {spec.run.job} #{row.get('run_number')} again",
            scope="failed jobs and all jobs that need them" if failed else "all jobs of the run",
            overlap=active_runs_note(self._client, fields.positive(row, "workflow_id"), run),
            native_calls=(f"POST /actions/runs/{run}/{'rerun-failed-jobs' if failed else 'rerun'}",),
            notes=("the same commit and inputs: a later change of the workflow's file is not in it", UNNAMED_RERUN),
            plan={**plan, "how": "rerun", "failed": failed},
        )

    def _task(self, spec: ActionSpec, row: fields.Row, task: str, plan: dict[str, Any]) -> Preview:
        definition = self._definitions.of(parse.workflow_path(row))
        if definition is None:
            raise ActionRefused("the workflow's file is missing: rerun the failed jobs of the run")
        jobs = [parse.parse_job(row) for row in read_job_rows(self._client, plan["run"], plan["attempt"])]
        task_jobs = [job for job in jobs if definition.task_of(job.display_name) == task]
        red = [job for job in task_jobs if job.state.is_red] or task_jobs
        if len(red) != 1:
            raise ActionRefused(f"{len(red)} jobs of {task} would have to run again: rerun the failed jobs of the run")
        return Preview(
            verb="re-run the job",
            summary=f"run the job {red[0].display_name} of {spec.run.job} #{row.get('run_number')} again",
            scope="the job and all jobs that need it",
            affected=(red[0].display_name,),
            native_calls=(f"POST /actions/jobs/{red[0].id}/rerun",),
            notes=("GitHub also runs again whatever needs this job", UNNAMED_RERUN),
            plan={**plan, "how": "rerun_job", "job": red[0].id},
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. Nothing is sent if the run has another attempt than at the preview."""
        run, following = int(plan["run"]), int(plan["attempt"]) + 1
        state, native, _ = parse.parse_state(_read_attempt(self._client, plan))
        if state.is_open:
            raise ActionRefused(f"GitHub: the run changed since the preview, it is {native}")
        is_job = plan["how"] == "rerun_job"
        raise_if_refused(
            self._client.rerun_job(int(plan["job"])) if is_job else self._client.rerun(run, bool(plan["failed"]))
        )
        return Receipt(parse.run_ref(run, following), f"attempt {following} of the run")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        run, following = int(plan["run"]), int(plan["attempt"]) + 1
        if parse.parse_attempt(_read_run(self._client, plan)) < following:
            return ActionAbsent()
        reply = self._client.attempt(run, following)
        login = parse.actor_login(reply.table()) if reply.status == 200 else ""
        me = account_login(self._client)
        if me and login == me:
            return ActionFound(parse.run_ref(run, following), f"attempt {following} was started by {me}")
        by = login or "an unnamed account"
        return ActionUnknown(f"attempt {following} is there, started by {by}, perhaps not by Headway")


class GitHubCanceller(RunCanceller):
    source, shows_cancel = "GitHub", False  # it is in progress until its jobs have ended
    notes = (
        "all jobs of the run; steps with if: always() still run",
        "finished steps of its jobs are not undone",
        "a runner has five minutes to end its job",
    )

    def __init__(self, client: GitHubClient) -> None:
        self._client = client

    def reference(self, run: RunRef) -> dict[str, Any]:
        ref = parse_reference(run)
        if ref is not None and ref.task:
            raise ActionRefused("GitHub cancels whole runs, not a job of one")
        return {"run": ref.run, "attempt": ref.attempt} if ref is not None else {}

    def read(self, plan: Mapping[str, Any]) -> RunNow:
        row = _read_attempt(self._client, plan)
        state, native, _ = parse.parse_state(row)
        return RunNow(parse.run_ref(int(plan["run"]), int(plan["attempt"])), f"#{row.get('run_number')}", native, state)

    def call(self, plan: Mapping[str, Any]) -> str:
        return f"POST /actions/runs/{plan['run']}/cancel"

    def send(self, plan: Mapping[str, Any], key: str) -> None:
        raise_if_refused(self._client.cancel(int(plan["run"])))


def _read_run(client: GitHubClient, plan: Mapping[str, Any]) -> fields.Row:
    """Raises ActionRefused where it is gone."""
    reply = client.run(int(plan["run"]))
    row = reply.table() if reply.status == 200 else {}
    if row.get("id") != int(plan["run"]):
        raise ActionRefused(f"GitHub no longer has the run {plan['run']}")
    return row


def _read_attempt(client: GitHubClient, plan: Mapping[str, Any]) -> fields.Row:
    """The run of a plan. Raises ActionRefused where it is gone or has another attempt by now."""
    row = _read_run(client, plan)
    if parse.parse_attempt(row) != int(plan["attempt"]):
        native = parse.parse_state(row)[1]
        raise ActionRefused(f"attempt {parse.parse_attempt(row)} of the run is there, it is {native}")
    return row
