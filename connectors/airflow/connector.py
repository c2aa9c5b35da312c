"""The Airflow connector: Airflow 2 (REST API v1) and 3 (v2), their health, and the check of our permissions.

Permissions are checked by reading one row of each list, and by dry runs on a run that does not exist: Airflow answers
403 before it looks for the run, so 404 proves the permission. Nothing is changed. Health is checked beside the polls:
an Airflow with a dead scheduler answers every request and starts nothing.
Source: airflow.apache.org, REST API reference; measured on 2.11 and 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from connectors.airflow.actions import AirflowActions
from connectors.airflow.auth import account_of
from connectors.airflow.client import (
    ALL_RUNS_PATH,
    ALL_TASKS_PATH,
    AirflowClient,
    dag_path,
    detect_version,
    run_path,
    version_warnings,
)
from connectors.airflow.client_v2 import AirflowClientV2
from connectors.airflow.hold import all_holds
from connectors.airflow.inventory import AirflowInventory
from connectors.airflow.log import AirflowLogReader
from connectors.airflow.options import AirflowOptions
from connectors.airflow.runs import AirflowPoller
from connectors.sdk import fields
from connectors.sdk.composed import ComposedConnector
from connectors.sdk.contract import ConnectorKind, Probe, SecretResolver, SourcePermission
from connectors.sdk.errors import NotSupported, SystemUnreachable
from connectors.sdk.records import Poll, RunRef
from connectors.sdk.scheduler_health import SchedulerHealth
from connectors.sdk.states import Capability, ProofLevel, Verb
from connectors.sdk.transport.http import HttpEndpoint, HttpReply, Transport

TARGET = "api"

SETTLE_SECONDS = 4.0
"""How long a key must stay absent before the action counts as never arrived; a clear takes 20 to 100 ms, 2 s on a busy
SQLite (measured)."""


class AirflowConnector(ComposedConnector):
    """One Airflow. Its version is detected before the first call, and again after a failed one."""

    def __init__(
        self,
        options: AirflowOptions,
        secrets: SecretResolver,
        transport: Transport = None,
        settle_seconds: float = SETTLE_SECONDS,
        outside: Transport = None,
    ) -> None:
        """`transport` and `outside` are for tests: fakes of Airflow and of the clouds' sign-in."""
        self._endpoint = HttpEndpoint("Airflow", options.url, options.ca_file, transport)
        self._options, self._secrets, self._settle_seconds = options, secrets, settle_seconds
        self._major = 0
        self._version_warnings: tuple[str, ...] = ()
        self._account = account_of(options, secrets, self._endpoint, 3, outside)
        self._compose(AirflowClient(self._endpoint, self._account))

    def _compose(self, client: AirflowClient) -> None:
        self._composed_for = client.major
        poller = AirflowPoller(client, self._endpoint.base_url, self._options.dags)
        health = SchedulerHealth(lambda: stopped_by(client.health()))

        def poll(cursor: str, open_runs: Sequence[RunRef]) -> Poll:
            result = poller.poll(cursor, open_runs)
            warnings = (*self._version_warnings, *result.warnings)
            return replace(result, warnings=warnings, stopped=health.stopped())

        super().__init__(
            client,
            inventory=AirflowInventory(client, self._endpoint.base_url, poller.watched).read,
            poll=poll,
            log=AirflowLogReader(client).read,
            acts=AirflowActions(client, self._settle_seconds),
            holds=lambda known: all_holds(client, poller.watched, known),
            probe=lambda: probe(client),
        )

    def _begin(self, timeout_seconds: float) -> None:
        super()._begin(timeout_seconds)
        if self._major:
            return
        deadline = self._client.deadline
        self._major, version = detect_version(self._endpoint, self._account, deadline)
        self._version_warnings = version_warnings(version)
        if self._major != self._composed_for:
            if self._options.username is not None:
                self._account = account_of(self._options, self._secrets, self._endpoint, self._major)
            self._compose((AirflowClientV2 if self._major == 2 else AirflowClient)(self._endpoint, self._account))
        self._client.deadline = deadline

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        try:
            return super().poll(cursor, open_runs, timeout_seconds)
        except (NotSupported, SystemUnreachable):
            self._major = 0  # it may come back as another one
            raise


CONNECTOR = ConnectorKind(
    kind="airflow",
    title="Airflow 2 and 3",
    options=AirflowOptions,
    targets=lambda options: [TARGET],
    open=lambda options, target, secrets: AirflowConnector(options, secrets),
    dates_runs=True,
    capabilities=frozenset(Capability),
    proofs=frozenset({ProofLevel.FULL}),
    verbs={
        Verb.RERUN: "clear failed tasks, with what follows or all",
        Verb.START: "trigger",
        Verb.CANCEL: "fail the run",
        Verb.MARK_OK: "mark success",
        Verb.SKIP: "mark skipped",
        Verb.HOLD: "pause the DAG",
        Verb.RELEASE: "resume the DAG",
        Verb.BACKFILL: "backfill, made, paused, resumed and cancelled (Airflow 3)",
    },
    takes={Verb.RERUN: frozenset({"version"}), Verb.START: frozenset({"conf"})},
    schedules="expression",
    ladder=(
        "Full proof: Airflow records start, end, state and log of each run and of each task. A successful run with "
        "failed tasks is PARTIAL. A run that was deleted before its end was seen is LOST, INFERRED."
    ),
)

"""Airflow reports a scheduler as unhealthy 30 s after its last heartbeat (scheduler_health_check_threshold,
configuration reference)."""
COMPONENTS = {
    "metadatabase": ("the metadata database is unhealthy", "see its own log and that of the Airflow web server"),
    "scheduler": ("the scheduler is unhealthy: it sends no heartbeat", "start it again: airflow scheduler"),
}


def scheduling_stopped(health: HttpReply) -> SourcePermission | None:
    """Why no DAG starts, by Airflow's health report; None if they start, or if it is unknown."""
    components = health.table() if health.status == 200 else {}
    for part, (why, fix) in COMPONENTS.items():
        component = components.get(part)
        if isinstance(component, dict) and component.get("status") == "unhealthy":
            last = fields.masked_head(fields.clean(str(component.get("latest_scheduler_heartbeat") or "")), 40)
            reason = f"{why} (the last {last})" if last else why
            return SourcePermission("DAGs start here", False, reason, fix, is_grantable=False)
    return None


def stopped_by(health: HttpReply) -> str | None:
    """As of `Poll.stopped`; None for an answer that proves nothing."""
    if health.status != 200:
        return None
    stopped = scheduling_stopped(health)
    return stopped.problem if stopped is not None else ""


NO_SUCH_RUN = "headway__no_such_run"
PROBED_READS = (
    ("/dags", "read DAGs", "can_read on DAGs"),
    (ALL_RUNS_PATH, "read DAG runs", "can_read on DAG Runs"),
    (ALL_TASKS_PATH, "read task instances", "can_read on Task Instances"),
    ("/assets", "read assets", "can_read on Assets"),
    ("/importErrors", "read import errors", "can_read on Import Errors"),
    ("/dags/~/dagVersions", "read DAG versions", "can_read on DAG Versions"),
)
PROBED_READS_V2 = (
    *PROBED_READS[:3],
    ("/datasets", "read datasets", "can_read on Datasets"),
    ("/importErrors", "read import errors", "can_read on ImportError"),
)


def probe(client: AirflowClient) -> Probe:
    """Version, health and rights. Raises SystemUnreachable or AccessRefused."""
    reply = client.version()
    version = fields.optional_text(reply.table(), "version")
    dag, rights = None, []
    for path, name, right in PROBED_READS if client.major > 2 else PROBED_READS_V2:
        read = client.may_read(path)
        if path == "/dags" and read.status == 200:
            dag = next((row.get("dag_id") for row in fields.tables(read.table().get("dags"))), None)
        why, fix = f"{path} answered {read.status}", f"give the account's role {right}"
        rights.append(SourcePermission.checked(name, read.status == 200, why, fix))
    health = client.health()
    stopped = [permission] if (permission := scheduling_stopped(health)) is not None else []
    notes = [] if dag else ["no DAG is listed: none exists, or this account may not read any"]
    notes += version_warnings(version)
    if version.startswith(("3.0.", "3.1.", "3.2.")):
        notes.append(f"single tasks cannot be rerun before Airflow 3.3, this is {version}")
    notes += _unhealthy_components(health, bool(stopped))
    actions = _probe_actions(client, dag if isinstance(dag, str) else None, version)
    return Probe(True, version, (*stopped, *rights, *actions), tuple(notes), reply.clock)


def _probe_actions(client: AirflowClient, dag: str | None, version: str) -> list[SourcePermission]:
    """Checked on one DAG; a role may have the permission on others only.

    Pausing has no dry run, and a trial would be in the audit log. Both auth managers require edit on the DAG before a
    change of its runs: an account that may clear runs may pause."""
    probes, pause = _action_probes(dag or "", client.major), "pause DAGs (hold)"
    if dag is None:
        why, fix = "no DAG is listed to ask about", "make a DAG visible to this account, then probe again"
        return [SourcePermission(name, None, why, fix, "act") for name in [*(name for name, *_ in probes), pause]]
    rights = [_probe_action(client, dag, version, *action_probe) for action_probe in probes]
    fix = f"give the account's role can_edit on {dag} and the DAGs it may hold"
    return [*rights, replace(rights[0], name=pause, fix="" if rights[0].held else fix)]


def _action_probes(dag: str, major: int) -> tuple[tuple[str, str, dict[str, Any], str], ...]:
    """Name, path, a body that can do nothing, and FAB's name of the right.

    To start runs: a backfill's dry run without dates; in Airflow 2 a start with half an interval, which it refuses."""
    run, tasks = f"{run_path(dag, NO_SUCH_RUN)}/clear", f"{dag_path(dag)}/clearTaskInstances"
    start: tuple[str, dict[str, Any]] = "/backfills/dry_run", {"dag_id": dag}
    if major == 2:
        body = {"dag_run_id": NO_SUCH_RUN, "data_interval_start": "2026-01-01T00:00:00Z"}
        start = f"{dag_path(dag)}/dagRuns", body
    return (
        ("clear, cancel and mark runs", run, {"dry_run": True}, "can_edit on DAG Runs"),
        ("clear and mark tasks", tasks, {"dry_run": True, "dag_run_id": NO_SUCH_RUN}, "can_edit on Task Instances"),
        ("start runs", *start, "can_create on DAG Runs"),
    )


def _probe_action(
    client: AirflowClient, dag: str, version: str, name: str, path: str, body: dict[str, Any], right: str
) -> SourcePermission:
    """A backfill's dry run needs the right to start runs; without dates it returns 422 and does nothing. Airflow 3.0
    demands more for it than for a start, and everything else that a start could be seen by is in its audit log."""
    status = client.may(path, body).status
    if status == 403 and path.startswith("/backfills") and version.startswith("3.0."):
        why = f"Airflow {version} refuses a backfill's dry run to accounts that may start runs"
        return SourcePermission(name, None, why, f"give {right}; the first start shows whether it is held", "act")
    if status == 403:
        fix = f"give the account's role {right} and can_edit on the DAGs it may act on"
        return SourcePermission(name, False, f"a dry run on {dag} answered 403", fix, "act")
    is_allowed = status in (200, 404) or (status == 422 and path.startswith("/backfills"))
    if is_allowed or (status == 400 and client.major == 2):
        return SourcePermission(name, True, needed_for="act")
    return SourcePermission(name, None, f"a dry run answered {status}", "see the server's log", "act")


def _unhealthy_components(health: HttpReply, is_stopped: bool) -> list[str]:
    """Notes on unhealthy components, except those that keep every DAG from starting."""
    if health.status != 200:
        return [f"health answered {health.status}"]
    states = {
        part: component.get("status") if isinstance(component, dict) else None
        for part, component in health.table().items()
        if not (is_stopped and part in COMPONENTS)
    }
    return [
        f"{part} is {fields.masked_head(fields.clean(str(status)), 50)}"
        for part, status in states.items()
        if status not in (None, "healthy")
    ]
