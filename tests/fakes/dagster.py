"""A small Dagster with a state, behind httpx: rows shaped like the recorded replies, a clock moved by hand.

It answers the connector's own queries by the name of what they ask for. What it does was measured on 1.13.27.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

RECORDINGS = Path(__file__).parents[1] / "recordings" / "dagster"
LOCATION = "lab"
OPEN = ("QUEUED", "STARTED")
FIELD = re.compile(
    r"\b(stopRunningSchedule|startSchedule|resetSchedule|reportRunlessAssetEvents|assetsOrError|assetOrError|runQueueConfig|runsOrError|repositoriesOrError|workspaceOrError|pipelineOrError|assetNodes|logsForRun|launchRunReexecution|launchRun|terminateRun)"
)
Row = dict[str, Any]
ACTS = ("launch_pipeline_execution", "launch_pipeline_reexecution", "terminate_pipeline_execution")


def recorded(name: str) -> Any:
    """The `data` of a recording, fresh."""
    return json.loads((RECORDINGS / f"{name}.json").read_text())["response"]["data"]


class FakeDagster:
    """One Dagster. `outcome[job]` is "SUCCESS" (default), "FAILURE", "partial" or "hang" for the runs that go next.
    `read_only`: mutations are refused. `lose_answer_of`: the name of a mutation whose answer is lost once."""

    def __init__(self, *jobs: str) -> None:
        self.now = datetime.now(UTC) - timedelta(minutes=30)
        self.jobs = jobs
        self.outcome: dict[str, str] = {}
        self.runs: list[Row] = []
        self.logs: dict[str, list[Row]] = {}
        self.read_only = False
        self.broken: list[str] = []
        """Code locations that cannot be loaded."""
        self.dead_daemons: set[str] = set()
        """Types of the daemons that send no heartbeat."""
        self.lose_answer_of = ""
        self.undone_stops = 0
        """How many of the next stops the daemon undoes."""
        self.requests: list[str] = []
        self.tags: dict[str, list[Row]] = {}
        """Of jobs, as they are defined."""
        self.run_queue: Row | None = None
        """Its limits of runs, as the instance tells them; None: an instance that queues nothing."""
        self.schedules: dict[str, Row] = {}
        """By their names, as `schedule` makes them."""
        self.configs: list[Any] = []
        """Of the runs that were launched."""
        self.partitions: dict[str, list[str]] = {}
        """Of jobs that have some."""
        self.observed: dict[tuple[str, ...], list[str]] = {}
        """Of assets what was observed, oldest first."""
        self.refuse: set[str] = set()
        self.refuse_after: dict[str, set[str]] = {}
        """What is refused once a call was done."""
        """Mutations that this account may not send."""
        self.stop_before = ""
        """The name of a mutation that is answered by nobody: the server went away before it."""
        self._made = 0

    # -- its life ---------------------------------------------------------------------------------------------------
    def start(self, job: str, parent: Row | None = None, tags: dict[str, str] | None = None) -> Row:
        """A run that is queued now; as Dagster does, with the tags of the run that it executes again."""
        self._made += 1
        self.now += timedelta(milliseconds=10)
        template, at = recorded("runs_updated_after")["runsOrError"]["results"][0], self.now.timestamp()
        inherited = {tag["key"]: tag["value"] for tag in parent["tags"]} if parent else {}
        merged = {"dagster/code_location": LOCATION, **inherited, **(tags or {})}
        row: Row = {
            **template,
            "runId": str(UUID(int=(0x83A7A146 << 96) + self._made, version=4)),
            "jobName": job,
            "status": "QUEUED",
            "creationTime": at,
            "updateTime": at,
            "startTime": None,
            "endTime": None,
            "tags": [{"key": key, "value": value} for key, value in merged.items()],
            "rootRunId": (parent["rootRunId"] or parent["runId"]) if parent else None,
            "parentRunId": parent["runId"] if parent else None,
            "repositoryOrigin": {"repositoryName": "__repository__", "repositoryLocationName": LOCATION},
            "stats": {"__typename": "RunStatsSnapshot", "stepsFailed": 0},
        }
        self.runs.append(row)
        self.write(row, "RUN_ENQUEUED", "")
        return row

    def schedule(self, job: str, name: str, by_code: bool = False) -> Row:
        """A schedule that runs: started by a person, or because its code says so."""
        results: Row = {
            "name": name,
            "pipelineName": job,
            "cronSchedule": "0 6 * * *",
            "executionTimezone": "UTC",
            "defaultStatus": "RUNNING" if by_code else "STOPPED",
            "canReset": not by_code,
            "scheduleState": {"id": f"{name}::1", "status": "RUNNING"},
        }
        self.schedules[name] = results
        return results

    def set_schedule(self, name: str, status: str) -> Row:
        """A person starts or stops it, or we do."""
        self.schedules[name]["scheduleState"]["status"] = status
        self.schedules[name]["canReset"] = True
        return {"__typename": "ScheduleStateResult", "scheduleState": {"status": status}}

    def fall_due(self, job: str) -> None:
        for row in self.schedules.values():
            if row["pipelineName"] == job and row["scheduleState"]["status"] == "RUNNING":
                self.start(job, tags={"dagster/schedule_name": row["name"]})

    def tick(self, seconds: float = 1.0) -> None:
        """Time goes on; what is queued runs to its end, what is being cancelled ends."""
        self.now += timedelta(seconds=seconds)
        for row in self.runs:
            if row["status"] == "CANCELING":
                self.end(row, "CANCELED")
            elif row["status"] == "QUEUED":
                self._run(row)

    def _run(self, row: Row) -> None:
        row |= {"status": "STARTED", "startTime": self.now.timestamp(), "updateTime": self.now.timestamp()}
        self.write(row, "RUN_START", f'Started execution of run for "{row["jobName"]}".')
        how = self.outcome.get(row["jobName"], "SUCCESS")
        if how == "hang":
            return
        row["stats"]["stepsFailed"] = 1 if how in ("FAILURE", "partial") else 0
        if how == "FAILURE":
            cause = {"message": "ValueError: bad row 7\n", "stack": ["  File defs.py, line 33, in transform\n"]}
            error: Row = {"message": 'DagsterExecutionStepExecutionError: Error while executing op "transform":\n'}
            error |= {"stack": ["  File execute_plan.py, line 243\n"] * 20, "cause": cause}
            self.write(row, "STEP_FAILURE", 'Execution of step "transform" failed.', error, "transform")
            self.write(row, "RUN_FAILURE", "Steps failed: ['transform'].", error)
        self.end(row, "FAILURE" if how == "FAILURE" else "SUCCESS")

    def end(self, row: Row, status: str) -> None:
        self.now += timedelta(milliseconds=10)
        row |= {"status": status, "endTime": self.now.timestamp(), "updateTime": self.now.timestamp()}

    def write(self, row: Row, kind: str, message: str, error: Row | None = None, step: str | None = None) -> None:
        event = {"__typename": "MessageEvent", "eventType": kind, "message": message, "level": "INFO", "stepKey": step}
        at = str(int(self.now.timestamp() * 1000))
        self.logs.setdefault(row["runId"], []).append({**event, "timestamp": at, "error": error})

    # -- its endpoint -----------------------------------------------------------------------------------------------
    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        query, variables = body["query"], body["variables"]
        match = FIELD.search(query)
        name = match[1] if match else "version"
        self.requests.append(name)
        if self.stop_before == name:
            raise httpx.ReadError("the line broke", request=request)
        status, data = self._resolve(name, variables, query)
        self.refuse |= self.refuse_after.get(name, set())
        if self.lose_answer_of == name:
            self.lose_answer_of = ""
            raise httpx.ReadError("the line broke", request=request)
        headers = {"content-type": "application/json", "date": format_datetime(self.now, usegmt=True)}
        payload = (
            data if name == "version" else {"instance": {name: data}} if name == "runQueueConfig" else {name: data}
        )
        return httpx.Response(status, content=json.dumps({"data": payload}).encode(), headers=headers)

    def _beat(self, daemon: str) -> float:
        """Of a dead one two minutes ago: Dagster calls it healthy for 30."""
        return (self.now - timedelta(minutes=2 if daemon in self.dead_daemons else 0)).timestamp()

    def _resolve(self, name: str, variables: Row, query: str) -> tuple[int, Any]:
        if query.startswith("mutation") and (self.read_only or name in self.refuse):
            return 200, {"__typename": "UnauthorizedError", "message": "User does not have permission"}
        match name:
            case "version":
                names = (*ACTS, "stop_running_schedule", "start_schedule", "report_runless_asset_events")
                rights = [{"permission": name, "value": not self.read_only} for name in names]
                daemons = [
                    {"daemonType": name, "required": True, "healthy": True, "lastHeartbeatTime": self._beat(name)}
                    for name in ("SENSOR", "SCHEDULER", "QUEUED_RUN_COORDINATOR")
                ]
                health = {"daemonHealth": {"allDaemonStatuses": daemons}}
                return 200, {"version": "1.13.27", "instance": health, "permissions": rights}
            case "runQueueConfig":
                return 200, self.run_queue
            case "repositoriesOrError":
                jobs: list[Row] = [
                    {"name": job, "description": None, "isAssetJob": False, "tags": self.tags.get(job, [])}
                    for job in self.jobs
                ]
                node: Row = {"name": "__repository__", "location": {"name": LOCATION}, "jobs": jobs}
                node |= {"schedules": deepcopy([*self.schedules.values()]), "sensors": []}
                return 200, {"__typename": "RepositoryConnection", "nodes": [node]}
            case "workspaceOrError":
                entries = [
                    {
                        "name": LOCATION,
                        "loadStatus": "LOADED",
                        "locationOrLoadError": {"__typename": "RepositoryLocation"},
                    }
                ]
                broken = {"__typename": "PythonError", "message": "ModuleNotFoundError: no module named dwh"}
                entries += [
                    {"name": name, "loadStatus": "LOADED", "locationOrLoadError": broken} for name in self.broken
                ]
                return 200, {"__typename": "Workspace", "locationEntries": entries}
            case "assetsOrError":
                below = [key for key in self.observed if list(key[: len(variables["p"])]) == variables["p"]]
                rows = [{"key": {"path": [*key]}, **self._last_observed(key)} for key in sorted(below)]
                return 200, {"__typename": "AssetConnection", "cursor": None, "nodes": rows}
            case "assetOrError":
                return 200, {"__typename": "Asset", **self._last_observed(tuple(variables["k"]["path"]))}
            case "reportRunlessAssetEvents":
                key = tuple(variables["p"]["assetKey"]["path"])
                self.observed.setdefault(key, []).append(variables["p"]["description"])
                return 200, {"__typename": "ReportRunlessAssetEventsSuccess", "assetKey": {"path": [*key]}}
            case "stopRunningSchedule":
                name = variables["i"].partition("::")[0]
                reply = self.set_schedule(name, "STOPPED")
                if self.undone_stops:
                    self.undone_stops -= 1
                    self.set_schedule(name, "RUNNING")
                return 200, reply
            case "startSchedule":
                return 200, self.set_schedule(variables["s"]["scheduleName"], "RUNNING")
            case "resetSchedule":
                row = self.schedules[variables["s"]["scheduleName"]]
                self.set_schedule(row["name"], row["defaultStatus"])
                row["canReset"] = False
                return 200, {"__typename": "ScheduleStateResult", "scheduleState": {"status": row["defaultStatus"]}}
            case "assetNodes":
                return 200, []
            case "pipelineOrError":
                return 200, self._partition(variables["s"]["pipelineName"], variables["p"])
            case "runsOrError":
                rows = [self._with_steps(row) if "stepStats" in query else row for row in self._filtered(variables)]
                return 200, {"__typename": "Runs", "results": rows}
            case "logsForRun":
                return 200, self._log(variables)
            case "launchRun":
                return 200, self._launch(variables["p"])
            case "launchRunReexecution":
                return self._reexecute(variables["p"])
        return 200, self._terminate(variables["r"])

    def _partition(self, job: str, name: str) -> Row:
        """With config and tags also for a partition that it does not have, as measured."""
        tags = [{"key": "dagster/partition", "value": name}, {"key": "dagster/partition_set", "value": f"{job}_set"}]
        config = {"__typename": "PartitionRunConfig", "yaml": f"ops: {{load: {{config: {{of: {name}}}}}}}\n"}
        partition = {"runConfigOrError": config, "tagsOrError": {"__typename": "PartitionTags", "results": tags}}
        keys = {"partitionKeysOrError": {"partitionKeys": self.partitions.get(job, [])}}
        return {"__typename": "Pipeline", **keys, **({"partition": partition} if name else {})}

    def _last_observed(self, key: tuple[str, ...]) -> Row:
        return {"assetObservations": [{"description": name} for name in self.observed.get(key, [])[-1:]]}

    def _filtered(self, variables: Row) -> list[Row]:
        where, rows = variables.get("f") or {}, self.runs[::-1]
        unknown = where.keys() - {"updatedAfter", "runIds", "tags", "pipelineName", "statuses"}
        assert not unknown, f"Dagster would answer 500: {unknown}"
        if "updatedAfter" in where:
            rows = [row for row in rows if row["updateTime"] > where["updatedAfter"]]
        if "runIds" in where:
            rows = [row for row in rows if row["runId"] in where["runIds"]]
        if "statuses" in where:
            rows = [
                row for row in rows if row["status"] in where["statuses"] and row["jobName"] == where["pipelineName"]
            ]
        rows = [row for row in rows if all(tag in row["tags"] for tag in where.get("tags", ()))]
        if variables.get("c"):
            ids = [row["runId"] for row in self.runs[::-1]]
            after = ids[ids.index(variables["c"]) + 1 :] if variables["c"] in ids else []
            rows = [row for row in rows if row["runId"] in after]
        return rows[: variables.get("l") or 100]

    def _with_steps(self, row: Row) -> Row:
        red = row["stats"]["stepsFailed"]
        events = [event if event["eventType"] == "STEP_FAILURE" else {} for event in self.logs.get(row["runId"], [])]
        steps = [{"stepKey": "transform", "status": "FAILURE" if red else "SUCCESS"}]
        return {**row, "stepStats": steps, "eventConnection": {"events": events}}

    def _log(self, variables: Row) -> Row:
        events = self.logs.get(variables["r"])
        if events is None:
            return {"__typename": "RunNotFoundError", "message": f"Run {variables['r']} could not be found."}
        first = int(variables.get("c") or 0)
        last = min(first + variables["l"], len(events))
        more = last < len(events)
        return {"__typename": "EventConnection", "cursor": str(last), "hasMore": more, "events": events[first:last]}

    def _launch(self, params: Row) -> Row:
        job = params["selector"]["jobName"]
        if job not in self.jobs:
            return {"__typename": "PipelineNotFoundError", "message": f"Could not find Pipeline {job}"}
        self.configs.append(params["runConfigData"])
        row = self.start(job, tags={tag["key"]: tag["value"] for tag in params["executionMetadata"]["tags"]})
        return {"__typename": "LaunchRunSuccess", "run": {"runId": row["runId"], "status": "QUEUED"}}

    def _reexecute(self, params: Row) -> tuple[int, Row]:
        parent = next(row for row in self.runs if row["runId"] == params["parentRunId"])
        if params["strategy"] == "FROM_FAILURE" and parent["status"] not in ("FAILURE", "CANCELED"):
            return 500, recorded("reexecute_success_from_failure")["launchRunReexecution"]
        row = self.start(parent["jobName"], parent, {tag["key"]: tag["value"] for tag in params["extraTags"]})
        return 200, {"__typename": "LaunchRunSuccess", "run": {"runId": row["runId"], "status": "QUEUED"}}

    def _terminate(self, run: str) -> Row:
        row = next((row for row in self.runs if row["runId"] == run), None)
        if row is None or row["status"] not in OPEN:
            return deepcopy(recorded("terminate_again")["terminateRun"])
        row |= {"status": "CANCELING", "updateTime": self.now.timestamp()}
        return {"__typename": "TerminateRunSuccess", "run": {"runId": run, "status": "STARTED"}}
