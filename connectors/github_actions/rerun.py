"""RERUN and CANCEL of a run that is there. GitHub takes no key of ours: a rerun is known by the run's next attempt, and
by who started it.

Nothing runs twice for that: GitHub refuses to run again what runs, and an act is sent only while the run is at the
attempt that the preview saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connectors import fields
from connectors.contract import Absent, Ask, CannotTell, Found, LookUp, NotSupported, Preview, Receipt, State, Verb
from connectors.github_actions import parse
from connectors.github_actions.attempts import RERUN_WITHIN, job_rows
from connectors.github_actions.client import GitHubClient
from connectors.github_actions.definitions import Definitions
from connectors.github_actions.poll import reference
from connectors.github_actions.previews import active, login
from connectors.previews import refused
from connectors.sending import refused as stop_if_refused

NOBODYS = (
    "GitHub keeps no name of ours on a rerun: it is found by the run's next attempt, and by whose token started it"
)


class Rerunner:
    """Acts on runs of one repository."""

    def __init__(self, client: GitHubClient, definitions: Definitions) -> None:
        self._client, self._definitions = client, definitions

    def preview(self, ask: Ask) -> Preview:
        """As the contract says. Raises NotSupported for a run that GitHub has no row of."""
        do, at = str(ask.verb), reference(ask.run)
        if at is None or ask.verb not in (Verb.RERUN, Verb.CANCEL):
            raise NotSupported(f"GitHub: nothing to {do}: {ask.run.job} {ask.run.period_key} has no run")
        run, attempt, task = at
        row = self._row(run)
        if row is None:
            return refused(do, f"GitHub no longer has the run {run} of {ask.run.job}")
        state, native, _ = parse.state_of(row)
        if parse.attempt_of(row) != attempt:
            return refused(do, f"attempt {parse.attempt_of(row)} of the run is there, it is {native}")
        plan = {"run": run, "attempt": attempt, "verb": do}
        if ask.verb is Verb.CANCEL:
            return _cancel(ask, row, state, native, task, plan)
        if state.is_open:
            return refused(do, f"the run is {native}: cancel it first, or let it end")
        created = fields.instant(row, "created_at")
        if created is None or datetime.now(UTC) - created > RERUN_WITHIN:
            return refused(
                do, f"it was created {created:%Y-%m-%d}: GitHub runs again for 30 days" if created else native
            )
        return self._task(ask, row, task, plan) if task else self._whole(ask, row, state, plan)

    def _whole(self, ask: Ask, row: fields.Row, state: State, plan: dict[str, Any]) -> Preview:
        failed = str(ask.parameters.get("scope") or "failed") != "all" and state is not State.SUCCEEDED
        run = plan["run"]
        return Preview(
            verb="re-run failed jobs" if failed else "re-run all jobs",
            words=f"run {'the failed jobs' if failed else 'all jobs'} of {ask.run.job} #{row.get('run_number')} again",
            scope="failed jobs and all jobs that need them" if failed else "all jobs of the run",
            overlap=active(self._client, parse.id_of(row, "workflow_id"), run),
            native_calls=(f"POST /actions/runs/{run}/{'rerun-failed-jobs' if failed else 'rerun'}",),
            notes=("the same commit and the same inputs: a later change of the workflow's file is not in it", NOBODYS),
            plan={**plan, "how": "rerun", "failed": failed},
        )

    def _task(self, ask: Ask, row: fields.Row, task: str, plan: dict[str, Any]) -> Preview:
        definition = self._definitions.of(parse.path_of(row))
        if definition is None:
            return refused("rerun", "the workflow's file is gone: run the failed jobs of the run again")
        jobs = [parse.job(one) for one in job_rows(self._client, plan["run"], plan["attempt"])]
        mine = [one for one in jobs if definition.task_of(one.shown) == task]
        red = [one for one in mine if one.state.is_red] or mine
        if len(red) != 1:
            return refused(
                "rerun", f"{len(red)} jobs of {task} would have to run again: rerun the failed jobs of the run"
            )
        return Preview(
            verb="re-run the job",
            words=f"run the job {red[0].shown} of {ask.run.job} #{row.get('run_number')} again",
            scope="the job and all jobs that need it",
            affected=(red[0].shown,),
            native_calls=(f"POST /actions/jobs/{red[0].id}/rerun",),
            notes=("GitHub also runs again whatever needs this job", NOBODYS),
            plan={**plan, "how": "rerun_job", "job": red[0].id},
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. Nothing is sent where the run is not at the attempt that the preview saw."""
        run, attempt = int(plan["run"]), int(plan["attempt"])
        row = self._row(run)
        state, native, _ = parse.state_of(row) if row is not None else (State.UNKNOWN, "gone", "")
        wanted_open = plan["how"] == "cancel"
        if row is None or parse.attempt_of(row) != attempt or state.is_open != wanted_open:
            raise NotSupported(f"GitHub: the run changed since the preview, it is {native}; nothing was sent")
        if plan["how"] == "rerun_job":
            reply = self._client.rerun_job(int(plan["job"]))
        elif plan["how"] == "rerun":
            reply = self._client.rerun(run, bool(plan["failed"]))
        else:
            reply = self._client.cancel(run)
        stop_if_refused(reply)
        number = attempt if wanted_open else attempt + 1
        return Receipt(
            parse.ref_of(run, number), "GitHub cancels it" if wanted_open else f"attempt {number} of the run"
        )

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the run's attempt and its actor."""
        run, attempt = int(plan["run"]), int(plan["attempt"])
        row = self._row(run)
        if row is None:
            return CannotTell("GitHub no longer has this run")
        now, (state, native, _) = parse.attempt_of(row), parse.state_of(row)
        if plan["how"] == "cancel":
            return _look_at_end(run, attempt, now, state, native)
        if now == attempt:
            return Absent()
        reply = self._client.attempt(run, attempt + 1)
        who = parse.login_of(reply.table()) if reply.status == 200 else ""
        me = login(self._client)
        if me and who == me:
            return Found(parse.ref_of(run, attempt + 1), f"attempt {attempt + 1} was started by {me}")
        return CannotTell(
            f"attempt {attempt + 1} is there, started by {who or 'nobody that is named'}: maybe not by us"
        )

    def _row(self, run: int) -> fields.Row | None:
        reply = self._client.run(run)
        row = reply.table() if reply.status == 200 else None
        return row if row is not None and row.get("id") == run else None


def _cancel(ask: Ask, row: fields.Row, state: State, native: str, task: str, plan: dict[str, Any]) -> Preview:
    if not state.is_open:
        return refused("cancel", f"the run is over: GitHub says {native}")
    if task:
        return refused("cancel", "GitHub cancels whole runs, not a job of one")
    return Preview(
        verb="cancel the run",
        words=f"cancel {ask.run.job} #{row.get('run_number')}",
        scope="all jobs of the run; steps with if: always() still run",
        native_calls=(f"POST /actions/runs/{plan['run']}/cancel",),
        notes=("what its jobs did so far stays done", "a runner has five minutes to end its job"),
        plan={**plan, "how": "cancel"},
    )


def _look_at_end(run: int, attempt: int, now: int, state: State, native: str) -> LookUp:
    """GitHub notes nobody's name beside a cancel: what is being ended may have been ended by somebody else."""
    if now == attempt and state is State.CANCELLED:
        return Found(parse.ref_of(run, attempt), f"GitHub says {native}")
    if now == attempt and state.is_open:
        return Absent()
    return CannotTell(f"the run is {native} by now: it ended by itself, or before the cancel came")
