"""Dagster's GraphQL API, one method per call. Facts are of 1.13.27, measured; see docs/connectors/dagster.md.

A domain's error is a member of a union, with 200 or, for a PythonError, with 500: the body is read before the status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors import fields
from connectors.contract import (
    AccessRefused,
    Clock,
    NotSupported,
    OutcomeUnknown,
    RightMissing,
    SystemUnreachable,
)
from connectors.dagster import queries
from connectors.transport.account import Account
from connectors.transport.http import AnswerTooLarge, Deadline, HttpDoor, Reply

PAGE_LIMIT = 100
MOST_ASSET_PAGES = 500
LOG_LIMIT = 1000  # of logsForRun; DAGSTER's own default page
PYTHON_ERROR, REFUSED = "PythonError", "UnauthorizedError"
DONE = ("Success", "StateResult")
NOTHING_DONE = frozenset(
    {
        "ConflictingExecutionParamsError",
        "InvalidOutputError",
        "InvalidStepError",
        "InvalidSubsetError",
        "NoModeProvidedError",
        "PipelineNotFoundError",
        "PresetNotFoundError",
        "RunConfigValidationInvalid",
        "RunConflict",
        "RunNotFoundError",
        "ScheduleNotFoundError",
        "TerminateRunFailure",
    }
)
"""What a mutation answers where it looked and began nothing."""


class DagsterClient:
    """All calls of one webserver. `deadline` is set anew for each call of the connector."""

    def __init__(self, door: HttpDoor, account: Account) -> None:
        self.door = door
        self.deadline = Deadline(0.0)
        self.clock: Clock | None = None
        """The server's clock at its last answer."""
        self._account = account

    def close(self) -> None:
        self.door.close()

    def version(self) -> dict[str, Any]:
        """Version, heartbeats of the daemons, and what this account may do."""
        return self._data(self._post(queries.VERSION, {}))

    def repositories(self) -> list[Any]:
        """Code locations that are loaded, each with its jobs, schedules and sensors."""
        return self._list(self._ask(queries.JOBS, {}, "repositoriesOrError"), "nodes")

    def schedules(self) -> list[Any]:
        """Code locations that are loaded, each with how its schedules and sensors stand."""
        return self._list(self._ask(queries.SCHEDULES, {}, "repositoriesOrError"), "nodes")

    def run_limits(self) -> Any:
        """How many runs go at once, as the instance's config says."""
        return self._data(self._post(queries.LIMITS, {})).get("instance")

    def locations(self) -> list[Any]:
        """Every code location that is configured, with what kept it from being loaded."""
        return self._list(self._ask(queries.LOCATIONS, {}, "workspaceOrError"), "locationEntries")

    def assets(self) -> list[Any]:
        return fields.rows(self._data(self._post(queries.ASSETS, {})).get("assetNodes"))

    def observed(self, path: Sequence[str]) -> str:
        """What the last observation of an asset says; "" where there is none."""
        return _last_observed(self._ask(queries.OBSERVED, {"k": {"path": list(path)}}, "assetOrError"))

    def observed_below(self, prefix: Sequence[str]) -> list[tuple[list[str], str]]:
        """Of all assets below, their path and what the last observation of each says."""
        found: list[tuple[list[str], str]] = []
        cursor = None
        for _ in range(MOST_ASSET_PAGES):
            variables = {"p": list(prefix), "c": cursor, "l": PAGE_LIMIT}
            page = self._ask(queries.OBSERVED_BELOW, variables, "assetsOrError")
            rows = [row for row in self._list(page, "nodes") if isinstance(row, dict)]
            for row in rows:
                key = row.get("key")
                path = fields.rows(key.get("path")) if isinstance(key, dict) else []
                found.append(([str(one) for one in path], _last_observed(row)))
            before, cursor = cursor, page.get("cursor")
            if len(rows) < PAGE_LIMIT:
                return found
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
        """Of each run the status of its steps."""
        variables = {"f": {"runIds": list(ids)}, "l": len(ids)}
        return self._list(self._ask(queries.STEPS, variables, "runsOrError"), "results")

    def log(self, run: str, after: str) -> dict[str, Any]:
        """A page of a run's events: cursor, hasMore, events. Raises NotSupported where the run is gone."""
        found = self._log(run, after, LOG_LIMIT)
        if found.get("__typename") != "EventConnection":
            raise NotSupported(f"Dagster has no log of the run {run}: {_said(found)}")
        return found

    def _log(self, run: str, after: str, limit: int) -> dict[str, Any]:
        """Of long events fewer are asked for, down to a single one."""
        try:
            return self._ask(queries.LOG, {"r": run, "c": after or None, "l": limit}, "logsForRun")
        except AnswerTooLarge:
            if limit == 1:
                raise
            return self._log(run, after, limit // 10)

    # what changes something

    def launch(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return self._send(queries.LAUNCH, {"p": dict(params)}, "launchRun")

    def reexecute(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return self._send(queries.REEXECUTE, {"p": dict(params)}, "launchRunReexecution")

    def terminate(self, run: str) -> dict[str, Any]:
        return self._send(queries.TERMINATE, {"r": run}, "terminateRun")

    def observe(self, path: Sequence[str], words: str) -> None:
        """A further observation of an asset, without a run; the asset needs no definition."""
        event = {"eventType": "ASSET_OBSERVATION", "assetKey": {"path": list(path)}, "description": words}
        self._send(queries.OBSERVE, {"p": event}, "reportRunlessAssetEvents")

    def stop_schedule(self, state: str) -> None:
        self._send(queries.STOP, {"i": state}, "stopRunningSchedule")

    def start_schedule(self, selector: Mapping[str, str]) -> None:
        """From now on: what fell due while it was stopped is not made up for."""
        self._send(queries.START, {"s": dict(selector)}, "startSchedule")

    def reset_schedule(self, selector: Mapping[str, str]) -> None:
        """As its code says, whatever was said by hand."""
        self._send(queries.RESET, {"s": dict(selector)}, "resetSchedule")

    # the wire

    def _runs(self, variables: Mapping[str, Any]) -> list[Any]:
        return self._list(self._ask(queries.RUNS, variables, "runsOrError"), "results")

    def _ask(self, query: str, variables: Mapping[str, Any], name: str) -> dict[str, Any]:
        reply = self._post(query, variables)
        found = self._data(reply).get(name)
        if not isinstance(found, dict):
            raise SystemUnreachable(f"{reply.place} has no {name}; is the url that of a Dagster webserver?")
        if found.get("__typename") in (PYTHON_ERROR, "InvalidPipelineRunsFilterError"):
            raise SystemUnreachable(f"{reply.place}: {_said(found)}")
        return found

    def _list(self, found: Mapping[str, Any], name: str) -> list[Any]:
        rows = found.get(name)
        if not isinstance(rows, list):
            raise SystemUnreachable(f"Dagster: an answer has no list of {name}")
        return rows

    def _post(self, query: str, variables: Mapping[str, Any]) -> Reply:
        body = {"query": query, "variables": dict(variables)}
        reply = self._account.asking(
            lambda headers: self.door.call(
                "POST", "/graphql", self.deadline, body=body, headers=headers, accept={400, 401, 500}
            )
        )
        self.clock = reply.clock or self.clock
        return reply

    def _data(self, reply: Reply) -> dict[str, Any]:
        table = reply.table()
        data = table.get("data")
        if not isinstance(data, dict):
            raise SystemUnreachable(f"{reply.place}: {_errors(table) or 'it holds no data'}")
        return data

    def _send(self, query: str, variables: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Once. What comes back was done; a refusal raises, and so does an answer that cannot be read."""
        body = {"query": query, "variables": dict(variables)}
        headers = self._account.headers()
        reply = self.door.call(
            "POST", "/graphql", self.deadline, body=body, headers=headers, accept={400, 500}, once=True
        )
        try:
            table = reply.table()
        except (SystemUnreachable, AccessRefused) as error:
            raise OutcomeUnknown(f"{error}. It was sent; it is looked up before anything is sent again.") from None
        data = table.get("data")
        found = data.get(name) if isinstance(data, dict) else None
        if not isinstance(found, dict):
            if reply.status == 400 and _errors(table):
                raise NotSupported(f"{reply.place} is a refusal: {_errors(table)}. Nothing was done.")
            raise OutcomeUnknown(f"{reply.place}: {_errors(table) or 'no words'}. It is looked up.")
        if found.get("__typename") == REFUSED:
            raise RightMissing(f"{reply.place} is a refusal: {_said(found)}. See headway grants dagster.")
        kind = str(found.get("__typename"))
        if kind in NOTHING_DONE:
            raise NotSupported(f"Dagster: {kind}: {_said(found)}; nothing was done")
        if not kind.endswith(DONE):  # a run is created first and submitted then: either may have failed
            words = fields.clean(f"{kind}: {_said(found)}")
            raise OutcomeUnknown(f"Dagster: {words}. Whether it was done is not known; it is looked up.")
        return found


def _last_observed(asset: Mapping[str, Any]) -> str:
    rows = fields.rows(asset.get("assetObservations"))
    found = rows[0].get("description") if rows and isinstance(rows[0], dict) else None
    return fields.clean(found) if isinstance(found, str) else ""


def _errors(table: Mapping[str, Any]) -> str:
    words = [str(one.get("message")) for one in fields.rows(table.get("errors")) if isinstance(one, dict)]
    return fields.clean("; ".join(words))[:300]


def _said(found: Mapping[str, Any]) -> str:
    words = [str(one.get("message")) for one in fields.rows(found.get("errors")) if isinstance(one, dict)]
    return fields.clean("; ".join(words) or str(found.get("message") or "no words")).strip()[:300]
