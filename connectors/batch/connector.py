"""AWS Batch as a connector: one region of one account."""

from __future__ import annotations

import httpx

from connectors.aws.options import targets
from connectors.batch import acts, log
from connectors.batch.client import BatchClient
from connectors.batch.inventory import InventoryReader
from connectors.batch.options import BatchOptions
from connectors.batch.poll import Poller
from connectors.batch.probe import probe
from connectors.contract import Capability, Connector, ConnectorKind, Proof, Secrets, Verb
from connectors.parts import PartedConnector, no_holds


class BatchConnector(PartedConnector):
    """The job definitions of one region that the options name."""

    def __init__(
        self,
        options: BatchOptions,
        secrets: Secrets,
        transport: httpx.BaseTransport | None = None,
        settle_seconds: float = acts.SETTLE_SECONDS,
    ) -> None:
        client = BatchClient(options, secrets, transport)
        reader = InventoryReader(client, options)
        super().__init__(
            client,
            inventory=reader.read,
            poll=Poller(client, reader, options.region).poll,
            log=lambda run, start, limit_bytes: log.read(client, run, start, limit_bytes),
            acts=acts.Acts(client, reader.queues_whole, settle_seconds),
            holds=no_holds(acts.NO_HOLD),
            probe=lambda: probe(client, reader),
        )


def open_batch(options: BatchOptions, target: str, secrets: Secrets) -> Connector:
    """A connector that connects at its first call."""
    del target  # there is one
    return BatchConnector(options, secrets)


CONNECTOR = ConnectorKind(
    kind="batch",
    title="AWS Batch",
    options=BatchOptions,
    targets=targets,
    open=open_batch,
    capabilities=frozenset(Capability) - {Capability.MARK, Capability.TASKS, Capability.HOLD},
    missing={
        Capability.MARK: acts.NO_MARK,
        Capability.TASKS: "children of an array are no tasks here; their states are counted",
        Capability.HOLD: acts.NO_HOLD,
    },
    proofs=frozenset({Proof.FULL}),
    verbs={Verb.RERUN: "submit again", Verb.START: "submit", Verb.CANCEL: "terminate"},
    ladder="Full proof: Batch records each job and each attempt of it with start, end, exit code and reason, and what "
    "it writes in CloudWatch. It keeps ended jobs for a week: an open one that it does not know any more is LOST, and "
    "UNKNOWN if it began before that.",
)
