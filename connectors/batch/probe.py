"""Which calls are allowed, tried out; those that change something cannot be tried."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from connectors.aws.logs import Stream, chunk
from connectors.aws.rights import tried, untried
from connectors.batch.client import BatchClient
from connectors.batch.inventory import InventoryReader
from connectors.batch.log import GROUP
from connectors.contract import NotSupported, Probe, Right

ACTS = (
    untried("submit a job", "allow batch:SubmitJob on the job definitions and the job queues"),
    untried("terminate a job", "allow batch:TerminateJob on the jobs"),
)
NO_LOGS = Right(
    "logs:GetLogEvents", False, "endpoint_url is the address of Batch alone", "give logs_endpoint_url as well"
)


def probe(client: BatchClient, reader: InventoryReader) -> Probe:
    """Each call that watching needs, tried."""
    held = list(_tried(client, reader))
    held.append(tried("logs", "GetLogEvents", partial(_log, client)) if client.reads_logs else NO_LOGS)
    return Probe(True, "", (*held, *ACTS), (client.identity(),), client.clock)


def _tried(client: BatchClient, reader: InventoryReader) -> Iterator[Right]:
    queues: list[str] = []
    ids: list[str] = []

    def list_one() -> None:
        rows = client.listed(queues[0], "AFTER_CREATED_AT", "0", 1)["jobSummaryList"]
        ids.extend(str(one["jobId"]) for one in rows)

    yield tried("batch", "DescribeJobDefinitions", lambda: next(client.definitions(), None))
    yield tried("batch", "DescribeJobQueues", lambda: queues.extend(reader.queues()))
    if queues:
        yield tried("batch", "ListJobs", list_one)
    if ids:
        yield tried("batch", "DescribeJobs", partial(client.jobs, ids))


def _log(client: BatchClient) -> None:
    """A stream that is not there is answered with that, where it may be looked at."""
    with suppress(NotSupported):
        chunk(client, [Stream(GROUP, "headway-probe")], None, 16, is_open=True)
