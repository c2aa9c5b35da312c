"""Client of Dagster's GraphQL API: one method per call, and the query texts.

Facts measured on Dagster 1.13.27; see docs/connectors/dagster.md. A domain error is a member of a union, with status
200 or, for a PythonError, 500: the body is read before the status. Each query selects every member of its union that
matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from connectors.sdk import fields
from connectors.sdk.errors import NotSupported, OutcomeUnknown, PermissionMissing, SystemUnreachable
from connectors.sdk.fields import masked_head
from connectors.sdk.records import TargetClock
from connectors.sdk.send_outcome import sent_response
from connectors.sdk.transport.http import HttpAnswerTooLarge, HttpReply, SignedClient

PAGE_LIMIT = 100
MAX_ASSET_PAGES = 500
MAX_PARTITIONS = 10_000  # of a job, the last ones: a start of an older one is not launched
LOG_LIMIT = 1000  # of logsForRun; DAGSTER's own default page
PYTHON_ERROR, REFUSED = "PythonError", "UnauthorizedError"
SUCCESS_SUFFIXES = ("Success", "StateResult")
REJECTED_TYPES = frozenset({
    "ConflictingExecutionParamsError", "InvalidOutputError", "InvalidStepError", "InvalidSubsetError",
    "NoModeProvidedError", "PipelineNotFoundError", "PresetNotFoundError", "RunConfigValidationInvalid", "RunConflict",
    "RunNotFoundError", "ScheduleNotFoundError", "TerminateRunFailure",
})  # fmt: skip
"""Types of a mutation's reply that prove that nothing was started."""


SILENT_SECONDS = 90.0
"""A daemon writes a heartbeat each 30 s. Dagster itself calls it dead after 30 minutes."""


class DagsterClient(SignedClient):
    clock: TargetClock | None = None

    def version(self) -> dict[str, Any]:
        """Version, heartbeats of the daemons, and what this account may do."""
        return self._data(self._post(VERSION, {}))

    def silent_daemons(self, answer: Mapping[str, Any] | None = None) -> list[str] | None:
        """Types of the required daemons that send no heartbeat, by this answer or a new one; None where this account
        may not see them."""
        data = answer if answer is not None else self._data(self._post(DAEMONS, {}))
        rows = fields.tables(fields.subtable(data, "instance", "daemonHealth").get("allDaemonStatuses"))
        now = (self.clock.target if self.clock is not None else datetime.now(UTC)).timestamp()
        required = [row for row in rows if row.get("required") is True]
        return [fields.clean(str(row.get("daemonType"))) for row in required if not _beats(row, now)] if rows else None

    def repositories(self) -> list[Any]:
        """Code locations that are loaded, each with its jobs, schedules and sensors."""
        return self._list(self._query(JOBS, {}, "repositoriesOrError"), "nodes")

    def schedules(self) -> list[Any]:
        """Loaded code locations, each with the state of its schedules and sensors."""
        return self._list(self._query(SCHEDULES, {}, "repositoriesOrError"), "nodes")

    def run_limits(self) -> Any:
        return self._data(self._post(LIMITS, {})).get("instance")

    def locations(self) -> list[Any]:
        """Every configured code location, with the error that kept it from being loaded."""
        return self._list(self._query(LOCATIONS, {}, "workspaceOrError"), "locationEntries")

    def assets(self) -> list[Any]:
        return fields.rows(self._data(self._post(ASSETS, {})).get("assetNodes"))

    def observed(self, path: Sequence[str]) -> str:
        return _last_observed(self._query(OBSERVED, {"k": {"path": list(path)}}, "assetOrError"))

    def observed_below(self, prefix: Sequence[str]) -> list[tuple[list[str], str]]:
        observations: list[tuple[list[str], str]] = []
        cursor = None
        for _ in range(MAX_ASSET_PAGES):
            variables = {"p": list(prefix), "c": cursor, "l": PAGE_LIMIT}
            page = self._query(OBSERVED_BELOW, variables, "assetsOrError")
            rows = fields.tables(self._list(page, "nodes"))
            for row in rows:
                path = fields.rows(fields.subtable(row, "key").get("path"))
                observations.append(([str(part) for part in path], _last_observed(row)))
            before, cursor = cursor, page.get("cursor")
            if len(rows) < PAGE_LIMIT:
                return observations
            if not isinstance(cursor, str) or cursor == before:
                break
        raise SystemUnreachable(f"Dagster: the list of assets below {'/'.join(prefix)} does not end")

    def changed(self, since: datetime, page: str) -> list[Any]:
        """Runs that changed since, newest CREATED first; `page` is the id of the last run of the page before."""
        where = {"updatedAfter": since.timestamp()}
        return self._runs({"f": where, "c": page or None, "l": PAGE_LIMIT})

    def runs_of(self, ids: Sequence[str]) -> list[Any]:
        return self._runs({"f": {"runIds": list(ids)}, "l": len(ids)})

    def runs_tagged(self, key: str, value: str) -> list[Any]:
        return self._runs({"f": {"tags": [{"key": key, "value": value}]}, "l": 10})

    def active(self, job: str) -> list[Any]:
        where = {"pipelineName": job, "statuses": ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]}
        return self._runs({"f": where, "l": 10})

    def steps_of(self, ids: Sequence[str]) -> list[Any]:
        """The steps of these runs, each run with the errors among its first events."""
        variables = {"f": {"runIds": list(ids)}, "l": len(ids), "e": LOG_LIMIT}
        return self._list(self._query(STEPS, variables, "runsOrError"), "results")

    def log(self, run: str, after: str) -> dict[str, Any]:
        """A page of a run's events: cursor, hasMore, events. Raises NotSupported if the run was deleted."""
        page = self._log(run, after, LOG_LIMIT)
        if page.get("__typename") != "EventConnection":
            raise NotSupported(f"Dagster has no log of the run {run}: {_error_message(page)}")
        return page

    def _log(self, run: str, after: str, limit: int) -> dict[str, Any]:
        """Retries with a smaller page if the reply is too large, down to a single event."""
        try:
            return self._query(LOG, {"r": run, "c": after or None, "l": limit}, "logsForRun")
        except HttpAnswerTooLarge:
            if limit == 1:
                raise
            return self._log(run, after, limit // 10)

    def partition(self, selector: Mapping[str, str], name: str) -> dict[str, Any]:
        """The last partitions of a job, none if it has none; and for a name the config and tags of its run, whether or
        not it exists."""
        variables = {"s": _pipeline(selector), "p": name, "n": name != "", "l": MAX_PARTITIONS}
        return self._query(PARTITION, variables, "pipelineOrError")

    # writes

    def launch(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return self._mutate(LAUNCH, {"p": dict(params)}, "launchRun")

    def reexecute(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return self._mutate(REEXECUTE, {"p": dict(params)}, "launchRunReexecution")

    def terminate(self, run: str) -> dict[str, Any]:
        return self._mutate(TERMINATE, {"r": run}, "terminateRun")

    def observe(self, path: Sequence[str], text: str) -> None:
        """A further observation of an asset, without a run; the asset needs no definition."""
        event = {"eventType": "ASSET_OBSERVATION", "assetKey": {"path": list(path)}, "description": text}
        self._mutate(OBSERVE, {"p": event}, "reportRunlessAssetEvents")

    def stop_schedule(self, state: str) -> None:
        self._mutate(STOP, {"i": state}, "stopRunningSchedule")

    def start_schedule(self, selector: Mapping[str, str]) -> None:
        """From now on: ticks missed while it was stopped are not made up for."""
        self._mutate(START, {"s": dict(selector)}, "startSchedule")

    def reset_schedule(self, selector: Mapping[str, str]) -> None:
        """Back to the status that its code sets, whatever was set by hand."""
        self._mutate(RESET, {"s": dict(selector)}, "resetSchedule")

    def _runs(self, variables: Mapping[str, Any]) -> list[Any]:
        return self._list(self._query(RUNS, variables, "runsOrError"), "results")

    def _query(self, query: str, variables: Mapping[str, Any], name: str) -> dict[str, Any]:
        reply = self._post(query, variables)
        answer = self._data(reply).get(name)
        if not isinstance(answer, dict):
            raise SystemUnreachable(f"{reply.place} has no {name}; is the url that of a Dagster webserver?")
        if answer.get("__typename") in (PYTHON_ERROR, "InvalidPipelineRunsFilterError"):
            raise SystemUnreachable(f"{reply.place}: {_error_message(answer)}")
        return answer

    def _list(self, answer: Mapping[str, Any], name: str) -> list[Any]:
        rows = answer.get(name)
        if not isinstance(rows, list):
            raise SystemUnreachable(f"Dagster: an answer has no list of {name}")
        return rows

    def _post(self, query: str, variables: Mapping[str, Any]) -> HttpReply:
        body = {"query": query, "variables": dict(variables)}
        reply = self.read("POST", "/graphql", accept={400, 500}, body=body)
        self.clock = reply.clock or self.clock
        return reply

    def _data(self, reply: HttpReply) -> dict[str, Any]:
        table = reply.table()
        data = table.get("data")
        if not isinstance(data, dict):
            raise SystemUnreachable(f"{reply.place}: {_graphql_errors(table) or 'it holds no data'}")
        return data

    def _mutate(self, query: str, variables: Mapping[str, Any], name: str) -> dict[str, Any]:
        """The answer to a mutation that was done, sent once. Raises for a refusal and for an unreadable reply."""
        reply = self.send("POST", "/graphql", {"query": query, "variables": dict(variables)}, accept={400, 500})
        table = sent_response(reply)
        answer = fields.subtable(table, "data").get(name)
        if not isinstance(answer, dict):
            if reply.status == 400 and _graphql_errors(table):
                raise NotSupported(f"{reply.place} is a refusal: {_graphql_errors(table)}. Nothing was done.")
            reason = _graphql_errors(table) or "no message"
            raise OutcomeUnknown(f"{reply.place}: {reason}. Outcome unknown: checking Dagster for this action.")
        if answer.get("__typename") == REFUSED:
            raise PermissionMissing(
                f"{reply.place} is a refusal: {_error_message(answer)}. See headway connector grants dagster."
            )
        kind = str(answer.get("__typename"))
        if kind in REJECTED_TYPES:
            raise NotSupported(f"Dagster: {kind}: {_error_message(answer)}; nothing was done")
        if not kind.endswith(SUCCESS_SUFFIXES):  # a run is created first and submitted then: either may have failed
            reason = fields.clean(f"{kind}: {_error_message(answer)}")
            raise OutcomeUnknown(f"Dagster: {reason}. Outcome unknown: checking Dagster for this action.")
        return answer


def _pipeline(selector: Mapping[str, str]) -> dict[str, str]:
    """The selector of a job to launch as that of a query."""
    return {"pipelineName" if name == "jobName" else name: value for name, value in selector.items()}


def _last_observed(asset: Mapping[str, Any]) -> str:
    rows = fields.tables(asset.get("assetObservations"))
    description = rows[0].get("description") if rows else None
    return fields.clean(description) if isinstance(description, str) else ""


def _graphql_errors(table: Mapping[str, Any]) -> str:
    messages = [str(error.get("message")) for error in fields.tables(table.get("errors"))]
    return masked_head(fields.clean("; ".join(messages)), 300)


def _beats(row: fields.Row, now: float) -> bool:
    last = row.get("lastHeartbeatTime")
    return row.get("healthy") is True and (not isinstance(last, int | float) or now - last <= SILENT_SECONDS)


def _error_message(answer: Mapping[str, Any]) -> str:
    messages = [str(error.get("message")) for error in fields.tables(answer.get("errors"))]
    return masked_head(fields.clean("; ".join(messages) or str(answer.get("message") or "no message")).strip(), 300)


ERROR_FIELDS = "... on PythonError{message} ... on UnauthorizedError{message}"

HEALTH = "instance{daemonHealth{allDaemonStatuses{daemonType required healthy lastHeartbeatTime}}}"
DAEMONS = f"{{{HEALTH}}}"
VERSION = f"{{version {HEALTH} permissions{{permission value}}}}"

JOBS = """{repositoriesOrError{__typename ... on RepositoryConnection{nodes{name location{name}
jobs{name description isAssetJob tags{key value} schedules{name} sensors{name}}
schedules{name cronSchedule executionTimezone pipelineName scheduleState{status}
futureTicks(limit:1){results{timestamp}}}
sensors{name sensorState{status} targets{pipelineName}}}} ... on PythonError{message}}}"""

LIMITS = "{instance{runQueueConfig{maxConcurrentRuns tagConcurrencyLimitsYaml}}}"

LOCATIONS = """{workspaceOrError{__typename ... on Workspace{locationEntries{name loadStatus
locationOrLoadError{__typename ... on PythonError{message}}}} ... on PythonError{message}}}"""

ASSETS = "{assetNodes{assetKey{path} jobNames dependencyKeys{path} repository{name location{name}}}}"

RUN_FIELDS = """runId jobName status creationTime startTime endTime updateTime tags{key value} rootRunId parentRunId
stepKeysToExecute assetSelection{path} repositoryOrigin{repositoryName repositoryLocationName}
stats{__typename ... on RunStatsSnapshot{stepsFailed}}"""

RUNS = f"""query($f:RunsFilter,$c:String,$l:Int){{runsOrError(filter:$f,cursor:$c,limit:$l){{__typename
... on Runs{{results{{{RUN_FIELDS}}}}} ... on InvalidPipelineRunsFilterError{{message}}
... on PythonError{{message}}}}}}"""

STEPS = """query($f:RunsFilter,$l:Int,$e:Int){runsOrError(filter:$f,limit:$l){__typename
... on Runs{results{runId stepStats{stepKey status}
eventConnection(limit:$e){events{... on ExecutionStepFailureEvent{stepKey error{message cause{message}}}}}}}
... on InvalidPipelineRunsFilterError{message} ... on PythonError{message}}}"""

LOG = """query($r:ID!,$c:String,$l:Int){logsForRun(runId:$r,afterCursor:$c,limit:$l){__typename
... on EventConnection{cursor hasMore events{__typename ... on MessageEvent{message timestamp level stepKey eventType}
... on ErrorEvent{error{message stack cause{message stack cause{message stack}}}}}}
... on PythonError{message} ... on RunNotFoundError{message}}}"""

LAUNCH = f"""mutation($p:ExecutionParams!){{launchRun(executionParams:$p){{__typename
... on LaunchRunSuccess{{run{{runId status}}}} ... on RunConfigValidationInvalid{{errors{{message}}}}
... on PipelineNotFoundError{{message}} ... on InvalidSubsetError{{message}} {ERROR_FIELDS}}}}}"""

REEXECUTE = f"""mutation($p:ReexecutionParams!){{launchRunReexecution(reexecutionParams:$p){{__typename
... on LaunchRunSuccess{{run{{runId status}}}} ... on InvalidStepError{{invalidStepKey}} ... on RunConflict{{message}}
... on RunConfigValidationInvalid{{errors{{message}}}} ... on PipelineNotFoundError{{message}} {ERROR_FIELDS}}}}}"""

SCHEDULES = """{repositoriesOrError{__typename ... on RepositoryConnection{nodes{name location{name} jobs{name}
schedules{name pipelineName defaultStatus canReset scheduleState{id status}}
sensors{name sensorState{status} targets{pipelineName}}}} ... on PythonError{message}}}"""

OBSERVED_BELOW = """query($p:[String!],$c:String,$l:Int){assetsOrError(prefix:$p,cursor:$c,limit:$l){__typename
... on AssetConnection{cursor nodes{key{path} assetObservations(limit:1){description}}} ... on PythonError{message}}}"""

OBSERVED = """query($k:AssetKeyInput!){assetOrError(assetKey:$k){__typename
... on Asset{assetObservations(limit:1){description}} ... on AssetNotFoundError{message}}}"""

OBSERVE = f"""mutation($p:ReportRunlessAssetEventsParams!){{reportRunlessAssetEvents(eventParams:$p){{__typename
... on ReportRunlessAssetEventsSuccess{{assetKey{{path}}}} {ERROR_FIELDS}}}}}"""

PARTITION = """query($s:PipelineSelector!,$p:String!,$n:Boolean!,$l:Int){pipelineOrError(params:$s){__typename
... on Pipeline{partitionKeysOrError(limit:$l,reverse:true){partitionKeys}
partition(partitionName:$p)@include(if:$n){runConfigOrError{__typename ... on PartitionRunConfig{yaml}
... on PythonError{message}} tagsOrError{__typename ... on PartitionTags{results{key value}}
... on PythonError{message}}}} ... on PythonError{message}}}"""

STATE = f"... on ScheduleStateResult{{scheduleState{{status}}}} ... on ScheduleNotFoundError{{message}} {ERROR_FIELDS}"
STOP = f"mutation($i:String!){{stopRunningSchedule(id:$i){{__typename {STATE}}}}}"
START = f"mutation($s:ScheduleSelector!){{startSchedule(scheduleSelector:$s){{__typename {STATE}}}}}"
RESET = f"mutation($s:ScheduleSelector!){{resetSchedule(scheduleSelector:$s){{__typename {STATE}}}}}"

TERMINATE = f"""mutation($r:String!){{terminateRun(runId:$r,terminatePolicy:SAFE_TERMINATE){{__typename
... on TerminateRunSuccess{{run{{runId status}}}} ... on TerminateRunFailure{{message}}
... on RunNotFoundError{{message}}
{ERROR_FIELDS}}}}}"""
