"""AWS Batch as a connector: inventory, polls and permissions of one region of one account."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import ClassVar

from connectors.batch import actions, parse
from connectors.batch.client import GROUP, PAGE_SIZE, BatchClient, read_log
from connectors.batch.options import BatchOptions
from connectors.sdk.aws.client import read_inventory, try_permission, untried_permission
from connectors.sdk.aws.cloudwatch_logs import log_permission
from connectors.sdk.aws.newest_first import NewestFirstCursor, NewestFirstPoller, NewestFirstPosition, NewestFirstReader
from connectors.sdk.aws.options import targets
from connectors.sdk.aws.values import AwsReply, from_milliseconds
from connectors.sdk.composed import ComposedConnector, unsupported
from connectors.sdk.contract import ConnectorKind, Probe, SecretResolver
from connectors.sdk.fields import matches_any
from connectors.sdk.records import Inventory, RunRecord, RunRef, SkippedRecord
from connectors.sdk.states import Capability, ProofLevel, Verb
from connectors.sdk.transport.http import Transport


class BatchInventory:
    def __init__(self, client: BatchClient, options: BatchOptions) -> None:
        self._client, self._options = client, options

    def read(self, previous_hash: str) -> Inventory:
        """All job definitions that the options name. Raises SystemUnreachable or AccessRefused."""
        region = self._options.region
        return read_inventory(
            self._client,
            "DescribeJobDefinitions",
            self.listed(),
            lambda row: parse.job(row, region),
            previous_hash,
            self.chooses,
        )

    def listed(self) -> list[AwsReply]:
        """The newest active revision of each definition that the options name, and what cannot be read."""
        newest: dict[str, AwsReply] = {}
        for definition in self._client.definitions():
            name = str(definition.get("jobDefinitionName") or "")
            if name and not self.chooses(name):
                continue
            if name not in newest or int(definition.get("revision") or 0) > int(newest[name].get("revision") or 0):
                newest[name] = definition
        return [newest[name] for name in sorted(newest)]

    def queues(self) -> dict[str, AwsReply]:
        """The job queues that the options name, by name."""
        queues = {str(queue["jobQueueName"]): queue for queue in self._client.queues() if queue.get("jobQueueName")}
        return {name: queue for name, queue in queues.items() if matches_any(name, self._options.queues)}

    def chooses(self, name: str) -> bool:
        return matches_any(name, self._options.definitions)


MAX_OPEN = 1000
"""Open jobs that are described in one poll: the rest waits for its turn."""


@dataclass(slots=True)
class BatchJobReader(NewestFirstReader):
    operation: ClassVar[str] = "ListJobs"
    retention: ClassVar[timedelta] = timedelta(days=7)
    gone_status: ClassVar[str] = "(job deleted)"
    gone_message: ClassVar[str] = "Batch no longer has this job: it ended, and how was not seen"
    live_size: ClassVar[int] = PAGE_SIZE
    history_size: ClassVar[int] = PAGE_SIZE
    history_pages: ClassVar[int] = 2000

    client: BatchClient
    chooses: Callable[[str], bool] = bool
    waited_for: dict[str, AwsReply] = field(default_factory=dict)
    """Jobs that others depend on, by id."""

    def page(self, where: str, size: int, mark: NewestFirstPosition) -> tuple[Sequence[AwsReply], str | None]:
        since = str(int(mark.floor * 1000))
        rows, token = self.client.listed(where, "AFTER_CREATED_AT", since, size, mark.token)
        return [row for row in rows if not parse.is_part(row)], token

    def began(self, row: AwsReply) -> datetime | None:
        return from_milliseconds(row.get("createdAt"))

    def state_of(self, row: AwsReply) -> tuple[str, str, bool]:
        state = parse.state_of(row)
        return str(row.get("jobId")), f"{row.get('status')} {state}", state.is_open

    def fetched(self, rows: Sequence[AwsReply], name: str) -> Sequence[AwsReply]:
        """The rows with their attempts and dependencies; rows without id as they are."""
        ids = list(dict.fromkeys(str(row["jobId"]) for row in rows if row.get("jobId")))
        described = self.described(ids)
        for lost in set(ids) - {str(item.get("jobId")) for item in described}:
            reason = f"job {lost} is listed, but DescribeJobs does not return it"
            self.result.skipped.append(SkippedRecord(name, reason))
        return [*described, *(row for row in rows if not row.get("jobId"))]

    def described(self, ids: Sequence[str]) -> list[AwsReply]:
        """These jobs, whole, and what they depend on for `read`."""
        jobs = self.client.jobs(ids)
        known = {str(item.get("jobId")): item for item in jobs}
        needed = dict.fromkeys(
            str(item["jobId"]) for entry in jobs for item in entry.get("dependsOn") or () if item.get("jobId")
        )
        self.waited_for |= {item: known[item] for item in needed if item in known}
        missing = [item for item in needed if item not in self.waited_for][:PAGE_SIZE]
        self.waited_for |= {str(job["jobId"]): job for job in self.client.jobs(missing)}
        return jobs

    def read(self, row: AwsReply, name: str) -> list[RunRecord]:
        if row.get("jobDefinition") and not self.chooses(parse.definition_of(row)):
            return []
        ids = [str(item.get("jobId")) for item in row.get("dependsOn") or ()]
        inputs = [self.waited_for[item] for item in ids if item in self.waited_for]
        return parse.runs(row, inputs, self.client.region)

    def read_rest(self, open_runs: Sequence[RunRef], places: Mapping[str, str], at: NewestFirstCursor) -> None:
        shown = {run.period_key for run in self.result.records.values()}
        rest = [ref for ref in open_runs if (job := parse.place(ref)[0]) and job not in shown]
        requested = self.in_turns(rest, MAX_OPEN, at.turn)
        if not requested or not self.has_time:
            return
        ids = list(dict.fromkeys(parse.place(ref)[0] for ref in requested))
        result = {str(entry.get("jobId")): entry for entry in self.described(ids)}
        for item in result.values():
            self.add(item, "DescribeJobs")
        for ref in requested:
            if parse.place(ref)[0] not in result:
                self.add_gone(ref)


ACTION_PERMISSIONS = (
    untried_permission("submit a job", "allow batch:SubmitJob on the job definitions and the job queues"),
    untried_permission("terminate a job", "allow batch:TerminateJob on the jobs"),
)


def probe(client: BatchClient, reader: BatchInventory) -> Probe:
    queues: list[str] = []
    jobs: list[AwsReply] = []
    held = [
        try_permission("batch", "DescribeJobDefinitions", lambda: next(client.definitions(), None)),
        try_permission("batch", "DescribeJobQueues", lambda: queues.extend(reader.queues())),
    ]
    if queues:
        first = partial(client.listed, queues[0], "AFTER_CREATED_AT", "0", 1)
        held.append(try_permission("batch", "ListJobs", lambda: jobs.extend(first()[0])))
    if jobs:
        ids = [str(job["jobId"]) for job in jobs]
        held.append(try_permission("batch", "DescribeJobs", partial(client.jobs, ids)))
    held.append(log_permission(client, GROUP))
    return Probe(True, "", (*held, *ACTION_PERMISSIONS), (client.identity(),), client.clock)


class BatchConnector(ComposedConnector):
    def __init__(
        self, options: BatchOptions, secrets: SecretResolver, transport: Transport = None, settle_seconds: float = 1.0
    ) -> None:
        client = BatchClient(options, secrets, transport)
        reader = BatchInventory(client, options)
        poller = NewestFirstPoller(
            lambda: {name: name for name in reader.queues()},
            lambda: BatchJobReader(client, chooses=reader.chooses),
        )
        super().__init__(
            client,
            inventory=reader.read,
            poll=poller.poll,
            log=partial(read_log, client),
            acts=actions.BatchActions(client, reader.queues, settle_seconds),
            holds=unsupported(actions.MISSING[Capability.HOLD]),
            probe=lambda: probe(client, reader),
        )


CONNECTOR = ConnectorKind(
    kind="batch",
    title="AWS Batch",
    options=BatchOptions,
    targets=targets,
    open=lambda options, target, secrets: BatchConnector(options, secrets),
    capabilities=frozenset(Capability) - set(actions.MISSING),
    missing=actions.MISSING,
    proofs=frozenset({ProofLevel.FULL}),
    verbs={Verb.RERUN: "submit again", Verb.START: "submit", Verb.CANCEL: "terminate"},
    ladder="Full proof: Batch records each job and each attempt of it with start, end, exit code and reason, and what "
    "it writes in CloudWatch. It keeps ended jobs for a week: an open one that it does not know any more is LOST, and "
    "UNKNOWN if it began before that.",
)
