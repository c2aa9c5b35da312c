"""The Databricks connector (Jobs API 2.2), and the check of our permissions.

Permissions are checked by reading the lists. Databricks grants them job by job (CAN VIEW, CAN MANAGE RUN, CAN MANAGE):
a permission on one job shows only when it is used; one that the account has on no job shows before.
Source: docs.databricks.com, Jobs API; the types of databricks-sdk.
"""

from __future__ import annotations

from collections.abc import Callable

from connectors.databricks import runs
from connectors.databricks.actions import DatabricksCanceller, DatabricksRepairer, DatabricksStarter
from connectors.databricks.client import DatabricksClient
from connectors.databricks.hold import DatabricksHolder
from connectors.databricks.inventory import DatabricksInventory
from connectors.databricks.options import DatabricksOptions
from connectors.databricks.runs import DatabricksPoller
from connectors.sdk import fields
from connectors.sdk.action_router import ActionRouter, run_parts
from connectors.sdk.composed import ComposedConnector
from connectors.sdk.contract import ConnectorKind, Probe, SecretResolver, SourcePermission
from connectors.sdk.errors import AccessRefused, NotSupported
from connectors.sdk.states import Capability, ProofLevel, Verb
from connectors.sdk.transport.http import HttpAccount, HttpEndpoint, HttpReply, Transport
from connectors.sdk.transport.sign_in import ClientCredentials

TARGET = "workspace"
SETTLE_SECONDS = 3.0  # how long a key must stay absent before the action counts as never arrived


TOKEN_PATH = "/oidc/v1/token"  # noqa: S105  a path; OAuth M2M of a service principal


class DatabricksConnector(ComposedConnector):
    def __init__(
        self,
        options: DatabricksOptions,
        secrets: SecretResolver,
        transport: Transport = None,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        endpoint = HttpEndpoint("Databricks", options.url, options.ca_file, transport)
        account = (
            ClientCredentials(
                secrets, endpoint, TOKEN_PATH, options.client_id, options.client_secret, {"scope": "all-apis"}
            )
            if options.client_id is not None
            else HttpAccount(secrets, None, None, options.token)
        )
        client = DatabricksClient(endpoint, account)

        def watched(job: str, name: str) -> bool:
            return any(fields.matches_any(candidate, options.jobs) for candidate in (job, name))

        holder = DatabricksHolder(client)
        parts = run_parts(DatabricksRepairer(client), DatabricksStarter(client), DatabricksCanceller(client), holder)
        super().__init__(
            client,
            inventory=DatabricksInventory(client, watched).read,
            poll=DatabricksPoller(client, watched).poll,
            log=lambda run, start, limit_bytes: runs.read_log(client, run, start, limit_bytes),
            acts=ActionRouter("Databricks", client, parts, has_run=runs.parse_reference, settle_seconds=settle_seconds),
            holds=holder.all_holds,
            probe=lambda: probe(client),
        )


CONNECTOR = ConnectorKind(
    kind="databricks",
    title="Databricks",
    options=DatabricksOptions,
    targets=lambda options: [TARGET],
    open=lambda options, target, secrets: DatabricksConnector(options, secrets),
    capabilities=frozenset(Capability) - {Capability.MARK, Capability.PERIODS},
    missing={
        Capability.MARK: "Databricks cannot set a run's result; Headway records it as asserted",
        Capability.PERIODS: "a job gets no date: whenever it runs, it runs for now",
    },
    starts_held=True,
    proofs=frozenset({ProofLevel.FULL}),
    verbs={
        Verb.RERUN: "repair the run",
        Verb.START: "run now",
        Verb.CANCEL: "cancel the run",
        Verb.HOLD: "pause the schedule",
        Verb.RELEASE: "resume the schedule",
    },
    schedules="expression",
    ladder=(
        "Full proof: Databricks records start, end, state and termination code of each run, of each repair and task. "
        "SUCCESS_WITH_FAILURES is PARTIAL. Where its two fields for a result disagree, the run is not green "
        "(CONFLICT). A run that was deleted before its end was seen is LOST, INFERRED. A repair carries no key of "
        "ours: it is the next repair after the preview."
    ),
)

NO_SUCH_ID = 1  # a run and a job below all that Databricks gives
GRANTS_HINT = "headway connector grants databricks"


def probe(client: DatabricksClient) -> Probe:
    """Permissions and notes. Raises SystemUnreachable or AccessRefused; NotSupported for another program."""
    reply = client.jobs("")
    rows = fields.rows(reply.table().get("jobs"))
    rights = [
        SourcePermission("list jobs", True),
        _probe_read("list runs", client.runs),
        _probe_action("repair, cancel and start runs", lambda: client.cancel(NO_SUCH_ID), "CAN MANAGE RUN"),
        _probe_action("pause jobs (hold)", lambda: client.update({"job_id": NO_SUCH_ID}), "CAN MANAGE"),
    ]
    notes = [] if rows else ["jobs: the list is empty; none exists, or this account may view none"]
    return Probe(True, "Jobs API 2.2", tuple(rights), tuple(notes), reply.clock)


def _probe_read(name: str, call: Callable[[], HttpReply]) -> SourcePermission:
    try:
        call()
    except (AccessRefused, NotSupported) as error:
        held = False if isinstance(error, AccessRefused) else None
        return SourcePermission(name, held, str(error), f"CAN VIEW on jobs: {GRANTS_HINT}")
    return SourcePermission(name, True)


def _probe_action(name: str, call: Callable[[], HttpReply], right: str) -> SourcePermission:
    fix = f"give the account {right} on each job: {GRANTS_HINT}"
    try:
        reply = call()
    except AccessRefused as error:
        return SourcePermission(name, False, str(error), fix, "act")
    by_job = f"it is given job by job ({right}) and shows when it is used"
    reason = by_job if reply.status in (400, 404) else f"{reply.place}: {reply.error}"
    return SourcePermission(name, None, reason, fix, "act")
