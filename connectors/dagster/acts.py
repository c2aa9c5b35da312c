"""START, RERUN and CANCEL; HOLD and RELEASE have a part of their own. Dagster knows no idempotency key: a tag carries
ours, and so it is looked for before a send.

What is executed again is a new run, from the failed steps on or whole. Nobody sets the state of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connectors import fields
from connectors.arrival import unless_on_its_way
from connectors.contract import (
    Absent,
    Ask,
    CannotTell,
    Found,
    LookUp,
    NotSupported,
    OutcomeUnknown,
    Preview,
    Receipt,
    RecordUnreadable,
    State,
    Verb,
)
from connectors.dagster import parse
from connectors.dagster.client import DagsterClient
from connectors.dagster.hold import Holder
from connectors.dagster.references import reference
from connectors.planned import settled

FAILED_ONLY, ALL = "FROM_FAILURE", "ALL_STEPS"
HOLDS = ("hold", "release", "clear")
HOWS = ("launch", "reexecute", "terminate", *HOLDS)


class Acts:
    """All that is done to one Dagster."""

    def __init__(self, client: DagsterClient, settle_seconds: float) -> None:
        self._client = client
        self._settle_seconds = settle_seconds
        self._holder = Holder(client)

    # before

    def preview(self, ask: Ask) -> Preview:
        """As the contract says. A run that never came is started."""
        verb, run = Verb(ask.verb), reference(ask.run)
        if verb in (Verb.HOLD, Verb.RELEASE):
            return self._holder.preview(ask)
        if verb is Verb.START or (verb is Verb.RERUN and not run):
            return self._start(ask)
        if verb not in (Verb.RERUN, Verb.CANCEL) or not run:
            raise NotSupported(f"Dagster: nothing to {verb}: {ask.run.job} {ask.run.period_key} has no run")
        row = self._row(run)
        if row is None:
            return _refused(str(verb), f"Dagster no longer has the run {run} of {ask.run.job}")
        return self._rerun(ask, run, row) if verb is Verb.RERUN else _cancel(ask, run, row)

    def _start(self, ask: Ask) -> Preview:
        job, verb = ask.run.job, str(ask.verb)
        period = str(ask.parameters.get("period_at") or ask.run.period_key or "")
        at = _instant(period)
        if at is None and ask.verb is Verb.RERUN:
            return _refused(verb, f"Dagster has no run {ask.run.period_key} of {job}, and it is no scheduled instant")
        place = self._selector(job)
        if place is None:
            return _refused(verb, f"Dagster has no job {job}, or its code location is not loaded")
        plan = {"how": "launch", "job": job, "selector": place, "at": period if at else ""}
        label = f"{at:%Y-%m-%d %H:%MZ}" if at else "now"
        return Preview(
            verb="launch",
            words=f"launch a run of {job} for {label}, with the job's own config",
            scope=f"all steps of {job}",
            overlap=self._active(place["jobName"], job),
            native_calls=(f"mutation launchRun {fields.shown(_launched(plan, 'KEY'))}",),
            notes=("the run gets no date: it runs for now; the period stands in its tag",),
            plan=plan,
        )

    def _selector(self, job: str) -> dict[str, str] | None:
        for node in self._client.repositories():
            try:
                row = fields.table(node)
                place = {
                    "repositoryLocationName": fields.text(fields.table(row.get("location")), "name"),
                    "repositoryName": fields.text(row, "name"),
                }
                for one in fields.rows(row.get("jobs")):
                    name = fields.text(fields.table(one), "name")
                    if job == parse.job_id(place["repositoryLocationName"], place["repositoryName"], name):
                        return {**place, "jobName": name}
            except RecordUnreadable:
                continue
        return None

    def _active(self, name: str, job: str, but: str = "") -> str | None:
        rows = [row for row in self._client.active(name) if isinstance(row, dict) and row.get("runId") != but]
        names = [f"{str(row.get('runId'))[:8]} ({row.get('status')})" for row in rows if _is_of(row, job)]
        return fields.clean(f"other runs of {job} are active: {', '.join(names)}") if names else None

    def _rerun(self, ask: Ask, run: str, row: fields.Row) -> Preview:
        native = fields.text(row, "status")
        state = parse.STATES.get(native, State.UNKNOWN)
        if state.is_open or state is State.UNKNOWN:
            return _refused("rerun", f"the run is {native}: cancel it first, or let it end")
        partly = str(ask.parameters.get("scope") or "failed") != "all" and native in ("FAILURE", "CANCELED")
        strategy = FAILED_ONLY if partly else ALL
        plan = {"how": "reexecute", "run": run, "was": native, "strategy": strategy, "job": ask.run.job}
        what = "from its failed steps on" if partly else "whole"
        return Preview(
            verb="re-execute from failure" if partly else "re-execute all steps",
            words=f"execute {run[:8]} of {ask.run.job} again, {what}, as a new run with its config and tags",
            scope=f"the steps that failed and all that follow, of {ask.run.job}"
            if partly
            else f"all steps of {ask.run.job}",
            overlap=self._active(fields.text(row, "jobName"), ask.run.job, run),
            native_calls=(f"mutation launchRunReexecution {fields.shown(_reexecuted(plan, 'KEY'))}",),
            notes=("steps before the failed ones are not run: their stored outputs are read",) if partly else (),
            plan=plan,
        )

    # sending

    def act(self, preview: Preview, key: str) -> Receipt:
        """As the contract says. What is there under this key is not sent again."""
        plan = preview.plan
        if preview.refused or plan.get("how") not in HOWS:
            raise NotSupported(f"Dagster: this preview cannot be sent: {preview.refused or 'it has no plan'}")
        if plan["how"] in HOLDS:
            return self._holder.act(plan, key)
        if plan["how"] == "terminate":
            self._unchanged(plan)
            self._client.terminate(str(plan["run"]))
            return Receipt(parse.run_ref(str(plan["run"])), "Dagster ends it: its steps are interrupted")
        if isinstance(self._look(plan, key), Found):
            return Receipt(self._ref(plan, key), "was launched under this key before")
        if plan["how"] == "launch":
            answer = self._client.launch(_launched(plan, key))
        else:
            self._unchanged(plan)
            answer = self._client.reexecute(_reexecuted(plan, key))
        run = answer.get("run")
        found = run.get("runId") if isinstance(run, dict) else None
        if not isinstance(found, str):
            raise OutcomeUnknown("Dagster: the answer to a launch names no run. It is looked up.")
        return Receipt(parse.run_ref(found), f"launched as {found}")

    def _unchanged(self, plan: Mapping[str, Any]) -> None:
        row = self._row(str(plan["run"]))
        now = fields.words(row, "status") if row is not None else "gone"
        both_open = all(parse.STATES.get(one, State.UNKNOWN).is_open for one in (now, str(plan["was"])))
        if now != plan["was"] and not (plan["how"] == "terminate" and both_open):
            raise NotSupported(f"Dagster: the run changed since the preview, it is {now}; nothing was sent")

    # after

    def look_up(self, preview: Preview, key: str) -> LookUp:
        """As the contract says. Absent is looked at for some seconds."""
        if preview.plan.get("how") not in HOWS:
            return CannotTell("the preview has no plan that could be looked up")
        answer = settled(lambda: self._look(preview.plan, key), self._client, self._settle_seconds)
        answer = unless_on_its_way(answer, preview)
        if isinstance(answer, Absent) and preview.plan["how"] == "hold":
            self._holder.put_back(preview.plan, key)
        return answer

    def _look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        if plan.get("how") in HOLDS:
            return self._holder.look(plan, key)
        if plan.get("how") == "terminate":
            return self._look_at_end(plan)
        found = self._mine(plan, key)
        return Found(parse.run_ref(found), "a run carries our key in its tag") if found else Absent()

    def _look_at_end(self, plan: Mapping[str, Any]) -> LookUp:
        """Dagster notes nobody's name beside a cancel: what is being ended may have been ended by somebody else."""
        row = self._row(str(plan.get("run")))
        native = fields.words(row, "status") if row is not None else "gone"
        if native in ("CANCELING", "CANCELED"):
            return Found(parse.run_ref(str(plan.get("run"))), f"Dagster says {native}")
        if parse.STATES.get(native, State.UNKNOWN).is_open:
            return Absent()
        return CannotTell(f"the run is {native} by now: it ended by itself, or before the cancel came")

    def _mine(self, plan: Mapping[str, Any], key: str) -> str:
        value = parse.tag_of(key, str(plan.get("run") or ""))
        for row in self._client.runs_tagged(parse.KEY_TAG, value):
            try:
                if parse.action_of(fields.table(row)) == key:
                    return fields.text(row, "runId")
            except RecordUnreadable:
                continue
        return ""

    def _ref(self, plan: Mapping[str, Any], key: str) -> str:
        return parse.run_ref(self._mine(plan, key))

    def _row(self, run: str) -> fields.Row | None:
        rows = [row for row in self._client.runs_of([run]) if isinstance(row, dict) and row.get("runId") == run]
        return rows[0] if rows else None


def _cancel(ask: Ask, run: str, row: fields.Row) -> Preview:
    native = fields.text(row, "status")
    if native == "CANCELING":
        return _refused("cancel", "it is being cancelled already")
    if not parse.STATES.get(native, State.UNKNOWN).is_open:
        return _refused("cancel", f"the run is over: Dagster says {native}")
    return Preview(
        verb="terminate",
        words=f"terminate {run[:8]} of {ask.run.job}: its steps are interrupted",
        scope=f"the run {run[:8]} of {ask.run.job}",
        affected=(run,),
        native_calls=(f'mutation terminateRun {{"runId": "{run}", "terminatePolicy": "SAFE_TERMINATE"}}',),
        notes=("what its steps did so far stays done", "a process that does not hear stays Canceling"),
        plan={"how": "terminate", "run": run, "was": native},
    )


def _launched(plan: Mapping[str, Any], key: str) -> dict[str, Any]:
    tags = [{"key": parse.KEY_TAG, "value": parse.tag_of(key)}]
    tags += [{"key": parse.PERIOD_TAG, "value": str(plan["at"])}] if plan.get("at") else []
    return {"selector": dict(plan["selector"]), "runConfigData": {}, "executionMetadata": {"tags": tags}}


def _reexecuted(plan: Mapping[str, Any], key: str) -> dict[str, Any]:
    tags = [{"key": parse.KEY_TAG, "value": parse.tag_of(key, str(plan["run"]))}]
    return {"parentRunId": plan["run"], "strategy": plan["strategy"], "extraTags": tags}


def _refused(verb: str, why: str) -> Preview:
    return Preview(verb, f"cannot {verb} now", "nothing", refused=why)


def _is_of(row: fields.Row, job: str) -> bool:
    try:
        return parse.job_of(row) == job
    except RecordUnreadable:
        return False


def _instant(key: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(key)
        return at.astimezone(UTC) if at.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
