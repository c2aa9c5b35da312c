"""A Spark history server as a connector. Source: spark.apache.org, Monitoring, REST API; measured on 4.3.0.

A list has no pages: it is cut by the end of applications (`minEndDate`), with running ones. Logs are read by the server
some time after their end, so that each poll asks for the hour before the last one again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.sdk.composed import WatchOnly
from connectors.sdk.contract import ConnectorKind, Probe, SecretResolver, SourcePermission
from connectors.sdk.errors import InvalidAnswer, NotSupported, PermissionMissing, RecordUnreadable
from connectors.sdk.fields import EPOCH, Row, as_json, clean, masked_head, matches_any, parse_instant, table, tables
from connectors.sdk.log_chunks import chunk_of, join_lines
from connectors.sdk.poll_result import PollResult
from connectors.sdk.records import Inventory, JobRecord, LogChunk, Poll, RunRef, TargetClock
from connectors.sdk.states import Capability, ProofLevel, RunState
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpAccount, HttpEndpoint, HttpReply, SignedClient, Transport, path_segment
from connectors.sdk.vanished_runs import no_longer_listed
from connectors.spark import parse
from connectors.spark.options import SparkOptions

TARGET = "api"
PATH = "/api/v1/applications"
OVERLAP = timedelta(hours=1)
INVENTORY_DAYS = 90
MAX_APPLICATIONS = 100
"""In one poll; each that ended needs a request for its jobs."""
NO_ACTIONS = "a history server only shows: rerun, start or hold what submits the application"


@dataclass(frozen=True, slots=True)
class SparkCursor:
    """`until`: the end of the newest application that was read. `known`: those read since an hour before, and the
    milliseconds of their last change."""

    until: str = ""
    known: Mapping[str, int] = field(default_factory=dict)


class SparkConnector(WatchOnly):
    no_actions = NO_ACTIONS

    def __init__(self, options: SparkOptions, secrets: SecretResolver, transport: Transport = None) -> None:
        endpoint = HttpEndpoint("Spark history server", options.url, options.ca_file, transport)
        account = HttpAccount(secrets, options.username, options.password, options.token)
        self._client, self._options, self._url = SignedClient(endpoint, account), options, endpoint.base_url

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        """The names of the applications of the last days."""
        self._client.deadline = Deadline(timeout_seconds)
        result, clock, rows = PollResult(), *self._list(datetime.now(UTC) - timedelta(days=INVENTORY_DAYS))
        names = sorted({app.name for app in self._applications(rows, result)})
        jobs = [JobRecord(name, name, definition="Spark application", definition_hash="spark") for name in names]
        return Inventory.since(previous_hash, jobs, not result.skipped, clock, result.skipped, self._is_watched)

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        self._client.deadline = deadline = Deadline(timeout_seconds)
        result = PollResult()
        before = result.cursor_or_first(cursor, SparkCursor())
        until = parse_instant(before.until) or EPOCH
        clock, rows = self._list(until - OVERLAP if until > EPOCH else EPOCH)
        now = clock.target if clock is not None else datetime.now(UTC)
        apps = self._applications(rows, result)
        known = {app.key: app.updated_ms for app in apps if before.known.get(app.key) == app.updated_ms}
        running = [app for app in apps if app.ended is None]
        unread = [app for app in apps if app.ended is not None and app.key not in known]
        unread.sort(key=lambda app: (app.ended or EPOCH, app.key))
        for app in (*unread[:MAX_APPLICATIONS], *running):
            if deadline.is_below(0.2):
                result.mark_incomplete("not all applications were read in time: the next poll reads the rest")
                break
            self._add_run(result, app, now)
            if app.ended is not None:
                known[app.key] = app.updated_ms
                until = max(until, min(app.ended, now))
        for run in result.without_record(open_runs, deadline, 0.1):
            self._add_unlisted(result, run, now)
        return result.poll(
            as_json(SparkCursor(until.isoformat(), known)),
            more=result.complete and len(unread) > MAX_APPLICATIONS,
            clock=clock,
            seen_until=None,
        )

    def _add_run(self, result: PollResult, app: parse.Application, now: datetime) -> None:
        """The run of an application: its state is read from its jobs once it ended."""
        try:
            jobs = self._rows(f"{self._place(app.key)}/jobs") if app.completed else []
            run = parse.run_of(app, jobs, now, self._options.lost_after, self._url)
        except RecordUnreadable as error:
            result.skip(f"jobs of {app.key}", error, None)
        except NotSupported as error:  # 404: its log was deleted since the list was read
            result.warn(str(error))
        else:
            result.add(run)
            if run.state is RunState.UNKNOWN and run.native_state != parse.NO_JOBS:
                result.warn(f"state {run.native_state!r} of a Spark job is not known to Headway")

    def _add_unlisted(self, result: PollResult, run: RunRef, now: datetime) -> None:
        """An open run that the list does not show, by the page of its application."""
        application_id = run.native_ref.partition("/")[0]
        place = f"{PATH}/{path_segment(application_id)}"
        reply = self._client.read("GET", place, accept={404}) if application_id else None
        if reply is None or reply.status == 404:
            message = "the history server has it no longer: its event log was deleted"
            result.add(no_longer_listed(run, "(gone)", message, RunState.UNKNOWN))
            return
        for app in self._applications([reply.json()], result):
            if app.key == run.attempt_key:
                self._add_run(result, app, now)

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        """Its jobs, and the reasons of failed stages."""
        self._client.deadline = Deadline(timeout_seconds)
        if not run.native_ref:
            raise NotSupported(f"{run.job}: this run has no application")
        place = self._place(run.native_ref)
        try:
            jobs, stages = self._rows(f"{place}/jobs"), self._rows(f"{place}/stages", "FAILED")
            whole = join_lines(parse.log_lines(jobs, stages))
        except RecordUnreadable as error:
            raise InvalidAnswer(f"the jobs of {run.native_ref} cannot be read: {error}") from None
        return chunk_of(whole, start, limit_bytes, is_open=False)

    def probe(self, timeout_seconds: float) -> Probe:
        self._client.deadline = Deadline(timeout_seconds)
        name, fix = "read applications", "let the account, or the proxy in front, use GET /api/v1"
        try:
            reply = self._client.read("GET", "/api/v1/version", accept={404})
            version = clean(str(table(reply.json()).get("spark", ""))) if reply.status == 200 else ""
            clock, rows = self._list(EPOCH, 1)
        except PermissionMissing as error:
            return Probe(True, "", (SourcePermission(name, False, str(error), fix),))
        except RecordUnreadable:
            raise NotSupported(f"{self._url}: it does not answer as a Spark history server") from None
        notes = () if rows else ("applications: the list is empty; none has a log there, or this account may see none",)
        return Probe(True, masked_head(version, 40), (SourcePermission(name, True),), notes, clock)

    def close(self) -> None:
        self._client.close()

    def _list(self, since: datetime, limit: int = 0) -> tuple[TargetClock | None, list[Any]]:
        """Applications that run, or ended since then. Raises InvalidAnswer for another answer."""
        query = {"minEndDate": f"{since:%Y-%m-%dT%H:%M:%S}.000GMT", **({"limit": limit} if limit else {})}
        reply = self._client.read("GET", PATH, params=query)
        return reply.clock, _list_in(reply)

    def _rows(self, path: str, status: str = "") -> list[Row]:
        return tables(_list_in(self._client.read("GET", path, params={"status": status} if status else {})))

    def _applications(self, rows: Sequence[Any], result: PollResult) -> list[parse.Application]:
        apps = list[parse.Application]()
        for row in rows:
            try:
                apps += [app for app in parse.applications(table(row)) if self._is_watched(app.name)]
            except RecordUnreadable as error:
                result.skip("applications", error, row)
        return apps

    def _is_watched(self, name: str) -> bool:
        return matches_any(name, self._options.applications)

    def _place(self, key: str) -> str:
        return f"{PATH}/{'/'.join(map(path_segment, key.split('/')))}"


def _list_in(reply: HttpReply) -> list[Any]:
    rows = reply.json()
    if not isinstance(rows, list):
        raise InvalidAnswer(f"{reply.place} is not a list; is the url that of a Spark history server?")
    return rows


CONNECTOR = ConnectorKind(
    kind="spark",
    title="Spark history server",
    options=SparkOptions,
    targets=lambda options: [TARGET],
    open=lambda options, target, secrets: SparkConnector(options, secrets),
    capabilities=frozenset({Capability.LOG}),
    missing={
        **dict.fromkeys((Capability.RERUN, Capability.START, Capability.CANCEL, Capability.HOLD), NO_ACTIONS),
        Capability.MARK: "a history server cannot set a result; Headway records it as asserted",
        Capability.TASKS: "Spark jobs have no names that last; failed ones are named in the message and the log",
        Capability.PERIODS: "an application carries no date",
        Capability.NATIVE_DEPENDENCIES: "declare what submits it: [[dependencies]]",
    },
    proofs=frozenset({ProofLevel.FULL}),
    ladder=(
        "Proves by the Spark jobs of an application: `completed` alone is never green, since an application that died"
        " reads the same. Without jobs it is UNKNOWN. A driver that dies between its jobs leaves no trace there: watch"
        " what submits it."
    ),
)
