"""Databricks Jobs (REST API 2.2). Source: docs.databricks.com, Jobs API; the types of databricks-sdk."""

from __future__ import annotations

from fnmatch import fnmatchcase

import httpx

from connectors.contract import Capability, Connector, ConnectorKind, Proof, Secrets, Verb
from connectors.databricks import log
from connectors.databricks.account import MachineAccount
from connectors.databricks.acts import Acts
from connectors.databricks.client import DatabricksClient
from connectors.databricks.hold import Holder
from connectors.databricks.inventory import InventoryReader
from connectors.databricks.options import DatabricksOptions
from connectors.databricks.poll import Poller
from connectors.databricks.probe import probe
from connectors.databricks.repair import Repairer
from connectors.databricks.start import Starter
from connectors.parts import PartedConnector
from connectors.transport.account import Account
from connectors.transport.http import HttpDoor

TARGET = "workspace"
SETTLE_SECONDS = 3.0
"""For how long a key must stay absent before it counts as never arrived."""


class DatabricksConnector(PartedConnector):
    """One workspace of Databricks."""

    def __init__(
        self,
        options: DatabricksOptions,
        secrets: Secrets,
        transport: httpx.BaseTransport | None = None,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        door = HttpDoor("Databricks", options.url, options.ca_file, transport)
        account = (
            MachineAccount(secrets, door, options.client_id, options.client_secret)
            if options.client_id is not None
            else Account(secrets, None, None, options.token)
        )
        client = DatabricksClient(door, account)

        def watched(job: str, name: str) -> bool:
            return any(fnmatchcase(one, pattern) for one in (job, name) for pattern in options.jobs)

        holder = Holder(client)
        super().__init__(
            client,
            inventory=InventoryReader(client, watched).read,
            poll=Poller(client, watched, options.history_days).poll,
            log=lambda run, start, limit_bytes: log.read(client, run, start, limit_bytes),
            acts=Acts(client, Repairer(client), Starter(client), holder, settle_seconds),
            holds=holder.all_holds,
            probe=lambda: probe(client),
        )


def open_databricks(options: DatabricksOptions, target: str, secrets: Secrets) -> Connector:
    """A connector of the only target, not yet connected."""
    if target != TARGET:
        raise ValueError(f"a Databricks system has the one target {TARGET!r}, not {target!r}")
    return DatabricksConnector(options, secrets)


CONNECTOR = ConnectorKind(
    kind="databricks",
    title="Databricks",
    options=DatabricksOptions,
    targets=lambda options: [TARGET],
    open=open_databricks,
    capabilities=frozenset(Capability) - {Capability.MARK, Capability.PERIODS},
    missing={
        Capability.MARK: "nobody sets the result of a run of Databricks; Headway asserts it itself",
        Capability.PERIODS: "a job gets no date: whenever it runs, it runs for now",
    },
    starts_held=True,
    proofs=frozenset({Proof.FULL}),
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
        "ours: it is the one that follows what the preview saw."
    ),
)
