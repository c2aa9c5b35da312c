"""Rerunning, starting and stopping: StartJobRun with our key as an argument, BatchStopJobRun.

StartJobRun knows no token, so a key is looked for among the newest runs before it is sent: the same key starts once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from connectors.arrival import sent_at, unless_on_its_way
from connectors.aws.values import Reply, instant, texts
from connectors.contract import (
    ACTION_KEY,
    Absent,
    Ask,
    CannotTell,
    Capability,
    Found,
    LookUp,
    NotSupported,
    Preview,
    Receipt,
    State,
    Verb,
)
from connectors.glue import parse, triggers
from connectors.glue.client import RUNS_SIZE, GlueClient
from connectors.planned import settled

MOST_PAGES = 5
"""Of 200 runs, newest first, in which a key is looked for."""
LISTED_RUNNING = 50
SETTLE_SECONDS = 1.0
"""After it, what is not listed is asked for once more."""
BEFORE_SENT = timedelta(minutes=10)
"""How far Glue's clock and ours may be apart: runs that began earlier than this before the sending are not of it."""
NO_MARK = "Glue keeps no state of a run that could be set; Headway asserts it itself"
NO_HOLD = (
    "to hold a job, each trigger that starts it would be deactivated and its description rewritten: two writes, and"
    " other jobs of the same trigger would be held as well. Deactivate its triggers by hand"
)
ARGUMENT_NOTE = f"the script gets one argument more, {parse.KEY_ARGUMENT}: getResolvedOptions passes it over"
FOLLOWERS_NOTE = "a conditional trigger fires only after runs that a trigger started: what waits for it does not follow"


class Acts:
    """What is done to jobs and runs of one region."""

    def __init__(self, client: GlueClient, settle_seconds: float = SETTLE_SECONDS) -> None:
        self._client, self._settle_seconds = client, settle_seconds

    def preview(self, ask: Ask) -> Preview:
        """What would be called; arguments stay in Glue until they are sent."""
        if ask.verb == Verb.RERUN:
            return self._rerun(ask)
        if ask.verb == Verb.START:
            return self._start(ask)
        if ask.verb == Verb.CANCEL:
            return self._stop(ask)
        raise NotSupported(f"Glue cannot {ask.verb}: {NO_HOLD if ask.verb.needs == Capability.HOLD else NO_MARK}")

    def act(self, preview: Preview, key: str) -> Receipt:
        """Starts under our key, or stops. Raises NotSupported where nothing was done."""
        if not ACTION_KEY.fullmatch(key):
            raise NotSupported(f'"{key}" is no action key')
        plan = preview.plan
        if plan["way"] == "stop":
            return self._send_stop(plan)
        job = str(plan["job"])
        there = self._under(job, key, plan)
        if isinstance(there, Found):
            return Receipt(there.native_ref, f"{key} was started before")
        given = {**self._arguments(plan), parse.KEY_ARGUMENT: key}
        run_id = self._client.start(job, given, str(plan["run"]) if plan.get("run") else None)
        return Receipt(run_id, f"started as {run_id}")

    def look_up(self, preview: Preview, key: str) -> LookUp:
        """A start by its argument among the newest runs; a stop by the run's state, which does not tell who asked."""
        plan = preview.plan
        try:
            if plan["way"] == "stop":
                answer = self._stopped(plan)
            else:
                answer = settled(lambda: self._under(str(plan["job"]), key, plan), self._client, self._settle_seconds)
        except NotSupported as error:
            return CannotTell(str(error))
        return unless_on_its_way(answer, preview)

    # rerun and start

    def _rerun(self, ask: Ask) -> Preview:
        job, run_id = parse.place(ask.run)
        if not run_id:
            raise NotSupported(f"Glue can only rerun a run that it has: start {ask.run.job} {ask.run.period_key}")
        found, about = self._client.run(job, run_id), self._client.job(job)
        is_open = parse.STATES.get(str(found.get("JobRunState")), State.UNKNOWN).is_open
        running = self._running(job)
        return Preview(
            verb="start again",
            words=f"start {job} again with the arguments of {run_id}",
            scope=f"the whole of {job} {parse.period_of(run_id)}",
            affected=(run_id,),
            overlap=_overlap(running, job),
            native_calls=(
                f"glue:StartJobRun JobName={job} JobRunId={run_id} Arguments=<those of it> {parse.KEY_ARGUMENT}=<key>",
            ),
            notes=(
                ARGUMENT_NOTE,
                FOLLOWERS_NOTE,
                "with the script, the workers and the time limit that the job has now",
            ),
            refused=f"{run_id} of {job} is still running: stop it first, or wait for its end"
            if is_open
            else _full(about, running),
            plan={"way": "rerun", "job": job, "run": run_id},
        )

    def _start(self, ask: Ask) -> Preview:
        job = ask.run.job
        about, running = self._client.job(job), self._running(job)
        found = triggers.scheduled(triggers.by_job(list(self._client.triggers())).get(job, []))
        name = str(found[0]["Name"]) if found else ""
        given = f"the arguments of trigger {name}" if name else "its own default arguments"
        return Preview(
            verb="start",
            words=f"start {job} once now, with {given}",
            scope=f"one run of {job}{f', for {ask.run.period_key}' * bool(ask.run.period_key)}",
            overlap=_overlap(running, job),
            native_calls=(f"glue:StartJobRun JobName={job} Arguments=<{given}> {parse.KEY_ARGUMENT}=<key>",),
            notes=(
                ARGUMENT_NOTE,
                "its triggers keep their times, and jobs that wait for it by a trigger follow it not",
            ),
            refused=_different(found, job) or _full(about, running),
            plan={"way": "start", "job": job, "trigger": name},
        )

    def _arguments(self, plan: Mapping[str, Any]) -> Mapping[str, str]:
        """What the run was given, or what the trigger gives, read now."""
        job = str(plan["job"])
        if plan["way"] == "rerun":
            return texts(self._client.run(job, str(plan["run"])).get("Arguments"))
        for one in self._client.triggers() if plan["trigger"] else ():
            if one.get("Name") == plan["trigger"]:
                return triggers.arguments_for(one, job)
        if plan["trigger"]:
            raise NotSupported(f"{self._client.place}: trigger {plan['trigger']} is gone: nothing was started")
        return {}

    def _running(self, job: str) -> list[Reply]:
        rows = self._client.runs(job, LISTED_RUNNING)["JobRuns"]
        return [one for one in rows if parse.STATES.get(str(one.get("JobRunState")), State.UNKNOWN).is_open]

    def _under(self, job: str, key: str, plan: Mapping[str, Any]) -> LookUp:
        sent, token = sent_at(plan), None
        for _ in range(MOST_PAGES):
            page = self._client.runs(job, RUNS_SIZE, token)
            for one in page["JobRuns"]:
                if texts(one.get("Arguments")).get(parse.KEY_ARGUMENT) == key:
                    return Found(str(one.get("Id")), f"run {one.get('Id')}: {one.get('JobRunState')}")
            oldest = min((at for one in page["JobRuns"] if (at := instant(one.get("StartedOn")))), default=None)
            token = page.get("NextToken")
            if not token or (sent is not None and oldest is not None and oldest < sent - BEFORE_SENT):
                return Absent()
        return CannotTell(f"{key} is not among the newest {MOST_PAGES * RUNS_SIZE} runs of {job}")

    # stop

    def _stop(self, ask: Ask) -> Preview:
        job, run_id = parse.place(ask.run)
        if not run_id:
            raise NotSupported(f"Glue can only stop a run that it has: {ask.run.job} {ask.run.period_key}")
        native = str(self._client.run(job, run_id)["JobRunState"])
        return Preview(
            verb="stop",
            words=f"stop run {run_id} of {job}",
            scope=f"run {run_id} of {job}",
            affected=(run_id,),
            native_calls=(f"glue:BatchStopJobRun JobName={job} JobRunIds=[{run_id}]",),
            notes=("Glue keeps no word of who stopped it, and what it has written stays",),
            refused=None if _is_open(native) else f"{run_id} of {job} has ended: {native}",
            plan={"way": "stop", "job": job, "run": run_id},
        )

    def _send_stop(self, plan: Mapping[str, Any]) -> Receipt:
        job, run_id = str(plan["job"]), str(plan["run"])
        native = str(self._client.run(job, run_id)["JobRunState"])
        if not _is_open(native):
            raise NotSupported(f"{self._client.place}: {run_id} of {job} has ended: {native}; nothing was stopped")
        self._client.stop(job, run_id)
        return Receipt(run_id, "it is being stopped")

    def _stopped(self, plan: Mapping[str, Any]) -> LookUp:
        run_id = str(plan["run"])
        native = str(self._client.run(str(plan["job"]), run_id)["JobRunState"])
        if native in ("STOPPING", "STOPPED"):
            return Found(run_id, f"{native}; Glue does not tell by whom")
        return Absent()


def _is_open(native: str) -> bool:
    return parse.STATES.get(native, State.UNKNOWN).is_open


def _overlap(running: Sequence[Reply], job: str) -> str | None:
    if not running:
        return None
    since = instant(running[0].get("StartedOn"))
    when = f", the newest since {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""
    return f"{len(running)} run(s) of {job} open{when}"


def _full(about: Mapping[str, Any], running: Sequence[Reply]) -> str | None:
    """Why Glue would refuse one more run now."""
    most = int((about.get("ExecutionProperty") or {}).get("MaxConcurrentRuns") or 1)
    if len(running) < most or about.get("JobRunQueuingEnabled"):
        return None
    return f"{len(running)} run(s) of {about.get('Name')} are open, and it may have {most} at once: wait for their end"


def _different(found: Sequence[Mapping[str, Any]], job: str) -> str | None:
    if len({tuple(sorted(triggers.arguments_for(one, job).items())) for one in found}) < 2:
        return None
    names = ", ".join(str(one.get("Name")) for one in found)
    return f"the triggers of {job} ({names}) start it with different arguments: start it by hand"
