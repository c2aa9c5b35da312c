"""The Dagster connector (GraphQL API), and the check of our permissions.

Dagster reports what an account may do: a webserver with --read-only, a role of Dagster+.
Source: docs.dagster.io, GraphQL API; measured on 1.13.27.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from connectors.dagster import hold, parse, runs
from connectors.dagster.actions import DagsterActions
from connectors.dagster.client import DagsterClient
from connectors.dagster.hold import all_holds
from connectors.dagster.options import DagsterOptions
from connectors.dagster.parse import DagsterLimit, parse_limits
from connectors.dagster.runs import DagsterPoller
from connectors.sdk import fields
from connectors.sdk.composed import ComposedConnector
from connectors.sdk.contract import ConnectorKind, Probe, SecretResolver, SourcePermission
from connectors.sdk.errors import NotSupported, RecordUnreadable, SystemUnreachable
from connectors.sdk.fields import masked_head
from connectors.sdk.records import Inventory, Poll, RunRef, SkippedRecord
from connectors.sdk.scheduler_health import SchedulerHealth
from connectors.sdk.states import Capability, ProofLevel, Verb
from connectors.sdk.transport.http import AUTHORIZATION, HttpAccount, HttpEndpoint, Transport

TARGET = "webserver"
SETTLE_SECONDS = 3.0  # how long a key must stay absent, and a schedule stopped, to count as never arrived and as held


def read_inventory(client: DagsterClient, watched: Callable[[str], bool], previous_hash: str, url: str) -> Inventory:
    """As the contract says. A code location that is not loaded is not listed: the list is not complete then."""
    skipped = parse.unloaded_locations(client.locations())
    nodes = client.repositories()
    held = _held_schedules(client, nodes)
    feeds: dict[str, set[str]] = {}
    try:
        feeds = parse.asset_edges(client.assets())
    except (RecordUnreadable, SystemUnreachable, NotSupported) as error:
        skipped.append(SkippedRecord("assets", masked_head(str(error), 300)))
    limits: tuple[DagsterLimit, ...] = ()
    with suppress(SystemUnreachable, NotSupported):  # an older version, or a role without access to the instance
        limits = parse_limits(client.run_limits())
    repositories = fields.readable(
        nodes, lambda node: parse.job_records(node, feeds, url, limits, held), "repositories", skipped
    )
    records = {job.native_id: job for jobs in repositories for job in jobs if watched(job.native_id)}
    if not nodes:
        skipped.append(SkippedRecord("code locations", "none is loaded: it has none, or its server is down"))
    jobs = (job for _, job in sorted(records.items()))
    return Inventory.since(previous_hash, jobs, not skipped, client.clock, skipped, watched)


def _held_schedules(client: DagsterClient, nodes: list[Any]) -> dict[str, Collection[str]]:
    """Per held job, the schedules stopped for the hold. Read only if a job has several, all stopped: only then could a
    hold change the reported schedule."""
    states: dict[tuple[int, str], list[bool]] = {}
    for number, node in enumerate(nodes):
        for row in fields.tables(fields.subtable(node).get("schedules")):
            states.setdefault((number, str(row.get("pipelineName"))), []).append(parse.is_running(row))
    if not any(len(running) > 1 and not any(running) for running in states.values()):
        return {}
    try:
        return {job: hold.stopped_schedules(note) for job, note in hold.read_hold_notes(client).items()}
    except (SystemUnreachable, NotSupported):
        return {}


WITHOUT_DAEMON = {
    "SCHEDULER": "no schedule starts a run",
    "QUEUED_RUN_COORDINATOR": "no run leaves the queue",
}
"""The effect of a missing heartbeat, by daemon."""


def stopped_by(client: DagsterClient) -> str | None:
    """As of `Poll.stopped`; None where no daemon is reported, and while a code location is not loaded whose schedules
    the dead scheduler may have to start. Without a running schedule it is not missed."""
    if (silent := client.silent_daemons()) is None:
        return None
    healthy: str | None = ""
    dead = set(silent)
    if "SCHEDULER" in dead:
        rows = (row for node in client.schedules() for row in fields.tables(fields.subtable(node).get("schedules")))
        if not any(map(parse.is_running, rows)):
            dead.discard("SCHEDULER")
            healthy = None if parse.unloaded_locations(client.locations()) else ""
    name = next((name for name in WITHOUT_DAEMON if name in dead), "")
    text = f"the daemon {name} sends no heartbeat: {WITHOUT_DAEMON.get(name)}. Fix: start it again: dagster-daemon run"
    return text if name else healthy


class DagsterConnector(ComposedConnector):
    def __init__(
        self,
        options: DagsterOptions,
        secrets: SecretResolver,
        transport: Transport = None,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        endpoint = HttpEndpoint("Dagster", options.url, options.ca_file, transport)
        is_plus = (urlsplit(options.url).hostname or "").endswith(".dagster.cloud")
        token_header = "Dagster-Cloud-Api-Token" if is_plus else AUTHORIZATION
        account = HttpAccount(secrets, options.username, options.password, options.token, token_header)
        client = DagsterClient(endpoint, account)

        def watched(job: str) -> bool:
            return fields.matches_any(job, options.jobs)

        poller = DagsterPoller(client, watched, endpoint.base_url)
        health = SchedulerHealth(lambda: stopped_by(client))

        def poll(cursor: str, open_runs: Sequence[RunRef]) -> Poll:
            return replace(poller.poll(cursor, open_runs), stopped=health.stopped())

        super().__init__(
            client,
            inventory=lambda previous: read_inventory(client, watched, previous, endpoint.base_url),
            poll=poll,
            log=lambda run, start, limit_bytes: runs.read_log(client, run, start, limit_bytes),
            acts=DagsterActions(client, settle_seconds),
            holds=lambda known: all_holds(client, watched),
            probe=lambda: probe(client),
        )


CONNECTOR = ConnectorKind(
    kind="dagster",
    title="Dagster",
    options=DagsterOptions,
    targets=lambda options: [TARGET],
    open=lambda options, target, secrets: DagsterConnector(options, secrets),
    capabilities=frozenset(Capability) - {Capability.MARK, Capability.TASKS, Capability.PERIODS},
    missing={
        Capability.MARK: "Dagster cannot set a run's state; Headway records it as asserted",
        Capability.TASKS: "the steps of a run are not jobs; a run names its failed steps in its message",
        Capability.PERIODS: "a job gets no date: whenever it runs, it runs for now",
    },
    starts_held=True,
    proofs=frozenset({ProofLevel.FULL}),
    verbs={
        Verb.RERUN: "re-execute, from failure or all steps",
        Verb.START: "launch",
        Verb.CANCEL: "terminate",
        Verb.HOLD: "stop the schedule",
        Verb.RELEASE: "start the schedule",
    },
    schedules="expression",
    ladder=(
        "Full proof: Dagster records start, end, status and events of each run and of its steps. A run that is SUCCESS "
        "although steps failed is PARTIAL. A run that was deleted before its end was seen is LOST, INFERRED."
    ),
)

PROBED_MUTATIONS = (
    ("launch_pipeline_execution", "start runs"),
    ("launch_pipeline_reexecution", "re-execute runs"),
    ("terminate_pipeline_execution", "terminate runs"),
    ("stop_running_schedule", "stop schedules (hold)"),
    ("start_schedule", "start schedules (release)"),
    ("report_runless_asset_events", "mark a hold in the catalogue (hold)"),
)
RIGHTS_FIX = "ask a webserver without --read-only, or give the user of Dagster+ the role Launcher (Editor to hold)"


def probe(client: DagsterClient) -> Probe:
    """Version, daemons and rights. Raises SystemUnreachable or AccessRefused; NotSupported for another program."""
    answer = client.version()
    version = fields.optional_text(answer, "version")
    if not version:
        raise NotSupported("Dagster: the server reports no version; is the url that of a Dagster webserver?")
    permissions = {
        str(permission.get("permission")): permission.get("value")
        for permission in fields.tables(answer.get("permissions"))
    }
    nodes = client.repositories()
    rights = [SourcePermission("read jobs and runs", True)]
    for mutation, label in PROBED_MUTATIONS:
        value = permissions.get(mutation)
        held = value if isinstance(value, bool) else None
        why = f"Dagster says {mutation} is {'unknown' if held is None else 'not allowed'}"
        right = SourcePermission(label, True, needed_for="act")
        rights.append(right if held else SourcePermission(label, held, why, RIGHTS_FIX, "act"))
    notes = [] if nodes else ["code locations: none is loaded; none exists, or its server is down"]
    notes += [
        f"the daemon {daemon} sends no heartbeat: {WITHOUT_DAEMON.get(daemon, 'its work waits')}"
        for daemon in client.silent_daemons(answer) or ()
    ]
    return Probe(True, masked_head(version, 40), tuple(rights), tuple(notes), client.clock)
