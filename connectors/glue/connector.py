"""AWS Glue as a connector: one region of one account."""

from __future__ import annotations

import httpx

from connectors.aws.options import targets
from connectors.contract import Capability, Connector, ConnectorKind, Proof, Secrets, Verb
from connectors.glue import acts, log
from connectors.glue.client import GlueClient
from connectors.glue.inventory import InventoryReader
from connectors.glue.options import GlueOptions
from connectors.glue.poll import Poller
from connectors.glue.probe import probe
from connectors.parts import PartedConnector, no_holds


class GlueConnector(PartedConnector):
    """The jobs of one region that the options name."""

    def __init__(
        self,
        options: GlueOptions,
        secrets: Secrets,
        transport: httpx.BaseTransport | None = None,
        settle_seconds: float = acts.SETTLE_SECONDS,
    ) -> None:
        client = GlueClient(options, secrets, transport)
        reader = InventoryReader(client, options)
        super().__init__(
            client,
            inventory=reader.read,
            poll=Poller(client, reader.names, options.region).poll,
            log=lambda run, start, limit_bytes: log.read(client, run, start, limit_bytes),
            acts=acts.Acts(client, settle_seconds),
            holds=no_holds(acts.NO_HOLD),
            probe=lambda: probe(client, reader.listed),
        )


def open_glue(options: GlueOptions, target: str, secrets: Secrets) -> Connector:
    """A connector that connects at its first call."""
    del target  # there is one
    return GlueConnector(options, secrets)


CONNECTOR = ConnectorKind(
    kind="glue",
    title="AWS Glue",
    options=GlueOptions,
    targets=targets,
    open=open_glue,
    capabilities=frozenset(Capability) - {Capability.MARK, Capability.TASKS, Capability.HOLD},
    missing={
        Capability.MARK: acts.NO_MARK,
        Capability.TASKS: "a run of Glue has no tasks that it tells of",
        Capability.HOLD: acts.NO_HOLD,
    },
    proofs=frozenset({Proof.FULL}),
    verbs={Verb.RERUN: "start again", Verb.START: "start", Verb.CANCEL: "stop"},
    schedules="next",
    ladder="Full proof: Glue records start, end, state and error of each run and of its own retries, for 90 days, and "
    "what it writes in CloudWatch. A run that Glue does not know any more is UNKNOWN.",
)
