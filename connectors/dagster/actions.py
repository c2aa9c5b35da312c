"""All actions of one Dagster: START, RERUN and CANCEL; HOLD and RELEASE are handled in `hold`.

Dagster has no idempotency key: a tag carries ours and is looked up before each send. A rerun is a new run, from the
failed steps on or of the whole job. Dagster cannot set a run's result.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from connectors.dagster import parse
from connectors.dagster.client import DagsterClient
from connectors.dagster.hold import DagsterHolder
from connectors.dagster.parse import parse_reference
from connectors.sdk import fields
from connectors.sdk.action_router import ActionRouter, period_of, run_parts
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, LookUpResult, Preview, Receipt
from connectors.sdk.errors import ActionRefused, NotSupported, OutcomeUnknown, RecordUnreadable
from connectors.sdk.records import RunRef, instant_key
from connectors.sdk.run_canceller import RunCanceller, RunNow
from connectors.sdk.states import RunState, Verb

FROM_FAILURE, ALL_STEPS = "FROM_FAILURE", "ALL_STEPS"


class DagsterActions(ActionRouter):
    def __init__(self, client: DagsterClient, settle_seconds: float) -> None:
        launcher, holder = DagsterLauncher(client), DagsterHolder(client, settle_seconds)
        parts = run_parts(launcher, launcher, DagsterTerminator(client), holder)
        super().__init__("Dagster", client, parts, settle_seconds=settle_seconds, has_run=parse_reference)
        self._put_back = holder.put_back

    def look_up(self, preview: Preview, key: str) -> LookUpResult:
        """As the contract says. A hold that arrived in part is undone."""
        answer = super().look_up(preview, key)
        if isinstance(answer, ActionAbsent) and preview.plan["how"] == "hold":
            self._put_back(preview.plan, key)
        return answer


class DagsterLauncher:
    plans = ("launch", "reexecute")

    def __init__(self, client: DagsterClient) -> None:
        self._client = client

    def preview(self, spec: ActionSpec) -> Preview:
        if spec.verb is Verb.RERUN and (run := parse_reference(spec.run)):
            return self._preview_rerun(spec, run)
        job, at, place = spec.run.job, period_of(spec), self._selector(spec.run.job)
        plan = {"how": "launch", "job": job, "selector": place, "at": instant_key(at) if at else ""}
        label, name = f"{at:%Y-%m-%d %H:%MZ}" if at else "now", spec.run.period_name
        try:
            partition = parse.launched_partition(self._client.partition(place, name), name)
        except NotSupported as error:
            raise ActionRefused(f"{job}: {error}") from None
        if partition is not None:
            plan |= {"config": partition.config, "tags": dict(partition.tags)}
        return Preview(
            verb="launch",
            summary=f"launch a run of {job} for {label}, with the job's own config"
            if partition is None
            else f"launch a run of {job} for its partition {name}, with the partition's config",
            scope=f"all steps of {job}",
            overlap=self._active(place["jobName"], job),
            native_calls=(f"mutation launchRun {fields.to_json(_launch_variables(plan, 'KEY'))}",),
            notes=("the run gets no date: it runs for the present time; its tag has the period",) * (partition is None),
            plan=plan,
        )

    def _selector(self, job: str) -> dict[str, str]:
        for node in self._client.repositories():
            with suppress(RecordUnreadable):
                row = fields.table(node)
                location, repository = fields.text(fields.table(row.get("location")), "name"), fields.text(row, "name")
                for job_row in fields.rows(row.get("jobs")):
                    name = fields.text(fields.table(job_row), "name")
                    if job == parse.job_id(location, repository, name):
                        return {"repositoryLocationName": location, "repositoryName": repository, "jobName": name}
        raise ActionRefused(f"Dagster has no job {job}, or its code location is not loaded")

    def _active(self, name: str, job: str, but: str = "") -> str | None:
        rows = fields.readable(self._client.active(name), lambda row: (parse.run_job_id(fields.table(row)), row))
        names = [
            f"{str(row.get('runId'))[:8]} ({row.get('status')})"
            for run_job, row in rows
            if run_job == job and row.get("runId") != but
        ]
        return fields.clean(f"other runs of {job} are active: {', '.join(names)}") if names else None

    def _preview_rerun(self, spec: ActionSpec, run: str) -> Preview:
        row = _read_run(self._client, run)
        native = fields.text(row, "status")
        state = parse.state_of(native)
        if state.is_open or state is RunState.UNKNOWN:
            raise ActionRefused(f"the run is {native}: cancel it first, or let it end")
        partly = str(spec.parameters.get("scope") or "failed") != "all" and native in ("FAILURE", "CANCELED")
        strategy = FROM_FAILURE if partly else ALL_STEPS
        plan = {"how": "reexecute", "run": run, "was": native, "strategy": strategy, "job": spec.run.job}
        extent = "from its failed steps on" if partly else "whole"
        return Preview(
            verb="re-execute from failure" if partly else "re-execute all steps",
            summary=f"execute {run[:8]} of {spec.run.job} again, {extent}, as a new run with its config and tags",
            scope=f"{'failed steps and all that follow' if partly else 'all steps'} of {spec.run.job}",
            overlap=self._active(fields.text(row, "jobName"), spec.run.job, run),
            native_calls=(f"mutation launchRunReexecution {fields.to_json(_reexecute_variables(plan, 'KEY'))}",),
            notes=("steps before the failed ones are not run: their stored outputs are read",) if partly else (),
            plan=plan,
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. Not sent again if a run with this key exists."""
        if run_id := self._run_with_key(plan, key):
            return Receipt(parse.run_ref(run_id), "was launched under this key before")
        if plan["how"] == "launch":
            answer = self._client.launch(_launch_variables(plan, key))
        else:
            status = _run_status(self._client, plan)
            if status != plan["was"]:
                raise ActionRefused(f"Dagster: the run changed since the preview, it is {status}")
            answer = self._client.reexecute(_reexecute_variables(plan, key))
        launched = fields.subtable(answer, "run").get("runId")
        if not isinstance(launched, str):
            raise OutcomeUnknown(
                "Dagster: the reply to a launch names no run. Outcome unknown: checking Dagster for this action."
            )
        return Receipt(parse.run_ref(launched), f"launched as {launched}")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        run_id = self._run_with_key(plan, key)
        return ActionFound(parse.run_ref(run_id), "a run carries our key in its tag") if run_id else ActionAbsent()

    def _run_with_key(self, plan: Mapping[str, Any], key: str) -> str:
        value = parse.key_tag(key, str(plan.get("run") or ""))
        rows = self._client.runs_tagged(parse.KEY_TAG, value)
        keys = [(parse.action_key(fields.table(row)), fields.text(row, "runId")) for row in rows]
        return next((run_id for action_key, run_id in keys if action_key == key), "")


class DagsterTerminator(RunCanceller):
    plans, source, verb = ("terminate",), "Dagster", "terminate"
    notes = (
        "its steps are interrupted; finished steps are not undone",
        "a process that ignores the signal stays Canceling",
    )

    def __init__(self, client: DagsterClient) -> None:
        self._client = client

    def reference(self, run: RunRef) -> dict[str, Any]:
        return {"run": run_id} if (run_id := parse_reference(run)) else {}

    def read(self, plan: Mapping[str, Any]) -> RunNow:
        run, native = str(plan["run"]), _run_status(self._client, plan)
        return RunNow(parse.run_ref(run), run[:8], native, parse.state_of(native))

    def call(self, plan: Mapping[str, Any]) -> str:
        return f'mutation terminateRun {{"runId": "{plan["run"]}", "terminatePolicy": "SAFE_TERMINATE"}}'

    def send(self, plan: Mapping[str, Any], key: str) -> None:
        self._client.terminate(str(plan["run"]))


def _read_run(client: DagsterClient, run: str) -> fields.Row:
    """Raises ActionRefused where it is gone."""
    for row in fields.tables(client.runs_of([run])):
        if row.get("runId") == run:
            return row
    raise ActionRefused(f"Dagster no longer has the run {run}")


def _run_status(client: DagsterClient, plan: Mapping[str, Any]) -> str:
    return fields.optional_text(_read_run(client, str(plan["run"])), "status")


def _launch_variables(plan: Mapping[str, Any], key: str) -> dict[str, Any]:
    own = {parse.KEY_TAG: parse.key_tag(key)} | ({parse.PERIOD_TAG: str(plan["at"])} if plan.get("at") else {})
    tags = [{"key": name, "value": value} for name, value in {**plan.get("tags", {}), **own}.items()]
    config = plan.get("config") or {}
    return {"selector": dict(plan["selector"]), "runConfigData": config, "executionMetadata": {"tags": tags}}


def _reexecute_variables(plan: Mapping[str, Any], key: str) -> dict[str, Any]:
    tags = [{"key": parse.KEY_TAG, "value": parse.key_tag(key, str(plan["run"]))}]
    return {"parentRunId": plan["run"], "strategy": plan["strategy"], "extraTags": tags}
