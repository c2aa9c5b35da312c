"""The Prefect connector (REST API), and the check of our permissions.

Permissions are checked by reading a row of each list, and by actions on ids that do not exist: 404 proves the
permission, 401 and 403 refuse it. Nothing is changed. Prefect's own server has no permissions; Prefect Cloud has
roles; in front of an own server a proxy that passes some paths only is the only restriction there is
(connectors/prefect/grants.txt). Source: docs.prefect.io, REST API reference; measured on 3.8.8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from connectors.prefect import parse
from connectors.prefect.actions import PrefectStarter, PrefectStateSetter
from connectors.prefect.client import PAGE_LIMIT, PrefectClient, list_rows
from connectors.prefect.hold import PrefectHolder
from connectors.prefect.inventory import FlowNames, PrefectInventory
from connectors.prefect.log import PrefectLogReader
from connectors.prefect.options import PrefectOptions
from connectors.prefect.runs import PrefectPoller
from connectors.sdk import fields
from connectors.sdk.action_router import ActionRouter, run_parts
from connectors.sdk.composed import ComposedConnector
from connectors.sdk.contract import ConnectorKind, Probe, SecretResolver, SourcePermission
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import Poll, RunRef
from connectors.sdk.scheduler_health import SchedulerHealth
from connectors.sdk.states import Capability, ProofLevel, Verb
from connectors.sdk.transport.http import HttpAccount, HttpEndpoint, Transport

TARGET = "api"
SETTLE_SECONDS = 3.0
"""How long a key must stay absent before the action counts as never arrived; a busy SQLite takes a second
(measured)."""


def stopped_by(client: PrefectClient, names: FlowNames) -> str | None:
    """As of `Poll.stopped`: no worker or runner polls any more for a watched deployment that has a running schedule.
    Prefect shows it a minute after the last poll; before the first one it proves nothing. None where there are more
    deployments than one list has."""
    listed = fields.tables(list_rows(client.deployments(0)))
    if len(listed) >= PAGE_LIMIT:
        return None
    known = [(names.job_of(str(row.get("id"))), row) for row in listed if parse.is_scheduled(row)]
    rows = [row for job, row in known if job is not None and names.watched(job)]
    was_polled = any(row.get("last_polled") for row in rows)
    if not was_polled or any(row.get("status") != "NOT_READY" for row in rows):
        return ""
    pools = sorted({pool for row in rows if (pool := fields.optional_text(row, "work_pool_name"))})
    start = f"prefect worker start --pool {pools[0]}" if pools else "the process that serves the deployments"
    return fields.clean(
        f"no worker polls for the runs of its {len(rows)} scheduled deployments. Fix: start it again: {start}"
    )


class PrefectConnector(ComposedConnector):
    def __init__(
        self,
        options: PrefectOptions,
        secrets: SecretResolver,
        transport: Transport = None,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        endpoint = HttpEndpoint("Prefect", options.url, options.ca_file, transport)
        ui = endpoint.base_url.removesuffix("/api") if endpoint.base_url.endswith("/api") else ""
        client = PrefectClient(endpoint, HttpAccount(secrets, options.username, options.password, options.token))
        names = FlowNames(client, options.deployments)
        starter, states, holder = PrefectStarter(client), PrefectStateSetter(client), PrefectHolder(client, names)
        parts = run_parts(states, starter, states, holder) | {Verb.MARK_OK: states, Verb.SKIP: states}
        poller, health = PrefectPoller(client, names, ui), SchedulerHealth(lambda: stopped_by(client, names))

        def poll(cursor: str, open_runs: Sequence[RunRef]) -> Poll:
            return replace(poller.poll(cursor, open_runs), stopped=health.stopped())

        super().__init__(
            client,
            inventory=PrefectInventory(client, names, ui).read,
            poll=poll,
            log=PrefectLogReader(client).read,
            acts=ActionRouter("Prefect", client, parts, settle_seconds=settle_seconds, has_run=parse.parse_reference),
            holds=holder.all_holds,
            probe=lambda: probe(client),
        )


CONNECTOR = ConnectorKind(
    kind="prefect",
    title="Prefect 3",
    options=PrefectOptions,
    targets=lambda options: [TARGET],
    open=lambda options, target, secrets: PrefectConnector(options, secrets),
    capabilities=frozenset(Capability) - {Capability.TASKS},
    missing={
        Capability.TASKS: "Prefect knows a task only once it runs; a run whose tasks failed names them in its message"
    },
    starts_held=True,
    proofs=frozenset({ProofLevel.FULL}),
    verbs={
        Verb.RERUN: "schedule the run again",
        Verb.START: "create a flow run",
        Verb.CANCEL: "cancel the run",
        Verb.MARK_OK: "set the run's state to Completed",
        Verb.SKIP: "set the run's state to Skipped",
        Verb.HOLD: "pause the deployment",
        Verb.RELEASE: "resume the deployment",
    },
    schedules="expression",
    ladder=(
        "Full proof: Prefect records every state of each flow run, with its time, and its log. A run that is Completed "
        "although task runs failed is PARTIAL. A run that was deleted before its end was seen is LOST, INFERRED."
    ),
)

NO_SUCH_ID = "00000000-0000-4000-8000-000000000000"
ONE_ROW = {"limit": 1}

PROBED_READS = (
    ("/deployments/filter", "read deployments"),
    ("/flows/filter", "read flows"),
    ("/flow_runs/filter", "read flow runs"),
    ("/task_runs/filter", "read task runs"),
    ("/logs/filter", "read logs"),
    ("/events/filter", "read events"),
    ("/automations/filter", "read automations"),
)
PROBED_ACTIONS: tuple[tuple[str, str, Mapping[str, Any], str], ...] = (
    ("POST", f"/deployments/{NO_SUCH_ID}/create_flow_run", {}, "start runs"),
    ("POST", f"/flow_runs/{NO_SUCH_ID}/set_state", {"state": {"type": "CANCELLING"}}, "rerun, cancel and mark runs"),
    ("PATCH", f"/deployments/{NO_SUCH_ID}", {"paused": True}, "pause deployments (hold)"),
)
REFUSED_STATUSES = (401, 403, 405)


def probe(client: PrefectClient) -> Probe:
    """Version and rights. Raises SystemUnreachable or AccessRefused; NotSupported for another program."""
    reply = client.version()
    answer = reply.json()
    version = answer if isinstance(answer, str) else ""
    if not version.startswith("3."):
        raise NotSupported(f"{reply.place}: this is not Prefect 3, or the url lacks its /api")
    rights = [_probed(client, "POST", path, ONE_ROW, name, "view") for path, name in PROBED_READS]
    rights += [_probed(client, *action, "act") for action in PROBED_ACTIONS]
    rows = fields.tables(list_rows(client.deployments(0))) if rights[0].held else []
    notes = ["deployments: the list is empty; none exists, or this account may read none"] if not rows else []
    idle = sorted(str(row.get("name")) for row in rows if row.get("status") == "NOT_READY")
    if idle:
        notes = [f"no worker polls for the runs of: {fields.clean(fields.listed(idle, 6))}"]
    notes = notes if rights[0].held else []
    return Probe(True, fields.masked_head(fields.clean(version), 40), tuple(rights), tuple(notes), reply.clock)


def _probed(
    client: PrefectClient, method: str, path: str, body: Mapping[str, Any], name: str, needed_for: str
) -> SourcePermission:
    """A read is allowed by 200; an action on an id that does not exist by 404."""
    status = client.probe(method, path, body)
    if status == (200 if needed_for == "view" else 404):
        return SourcePermission(name, True, needed_for=needed_for)
    held, place = False if status in REFUSED_STATUSES else None, f"{method} {path.replace(NO_SUCH_ID, 'ID')}"
    hint = ": headway connector grants prefect" if needed_for == "act" else ""
    fix = f"let the account, or the proxy in front, use {place}{hint}"
    return SourcePermission(name, held, f"{place} answered {status}", fix, needed_for)
