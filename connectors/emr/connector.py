"""Amazon EMR as a connector: inventory, polls and permissions of one region of one account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import ClassVar

from connectors.emr import parse
from connectors.emr.actions import MISSING, EmrCanceller
from connectors.emr.client import EmrClient
from connectors.emr.options import EmrOptions
from connectors.sdk.action_router import ActionRouter
from connectors.sdk.aws.client import AwsNotFound, read_inventory, try_permission, untried_permission
from connectors.sdk.aws.newest_first import NewestFirstCursor, NewestFirstPoller, NewestFirstPosition, NewestFirstReader
from connectors.sdk.aws.options import targets
from connectors.sdk.aws.values import AwsReply
from connectors.sdk.composed import ComposedConnector, unsupported
from connectors.sdk.contract import ConnectorKind, Probe, SecretResolver
from connectors.sdk.fields import EPOCH, matches_any
from connectors.sdk.records import HistoryGap, Inventory, JobRecord, RunRecord, RunRef
from connectors.sdk.states import Capability, ProofLevel, Verb
from connectors.sdk.transport.http import Transport

HISTORY = timedelta(days=7)
"""Clusters that ended are read where they were created since."""
STEP_PAGES = 6  # 50 steps each: a cluster has 256 open ones at most
MAX_REQUESTED = 60
"""Open steps that no list showed: DescribeStep reads one."""


class EmrClusters:
    """The clusters of one region that the options name, by id. A cluster that ended is known until its steps were read
    after that, even where EMR lists it no longer."""

    def __init__(self, client: EmrClient, options: EmrOptions) -> None:
        self._client, self._options = client, options
        self.known: dict[str, AwsReply] = {}
        self.done: set[str] = set()
        """Clusters whose last steps are stored."""

    def read(self) -> dict[str, AwsReply]:
        """All of them, by id, the newest first. Raises SystemUnreachable or AccessRefused."""
        rows = self._client.clusters_since(datetime.now(UTC) - HISTORY)
        listed = {str(row["Id"]): row for row in rows if row.get("Id") and self.chooses(str(row.get("Name")))}
        unlisted = self.known.keys() - listed.keys() - self.done
        known = listed | {cluster: parse.terminated(self.known[cluster]) for cluster in unlisted}
        self.known = dict(sorted(known.items(), key=lambda item: parse.created(item[1]) or EPOCH, reverse=True))
        return self.known

    def places(self) -> dict[str, str]:
        return {cluster: cluster for cluster in self.read()}

    def chooses(self, name: str) -> bool:
        return matches_any(name, self._options.clusters)

    def inventory(self, previous_hash: str) -> Inventory:
        """A job for each step name of the newest cluster of each name."""
        newest: dict[str, str] = {}
        for cluster, row in self.read().items():
            newest.setdefault(str(row.get("Name")), cluster)
        rows: dict[tuple[str, str], AwsReply] = {}
        for name, cluster in sorted(newest.items()):
            for step in self._steps(cluster):
                rows.setdefault((name, str(step.get("Name"))), {"cluster": name, "step": step})

        def job_of(row: AwsReply) -> JobRecord:
            return parse.job(row["step"], row["cluster"])

        steps = [rows[name] for name in sorted(rows)]
        return read_inventory(self._client, "ListSteps", steps, job_of, previous_hash, lambda _: True)

    def _steps(self, cluster: str) -> Iterator[AwsReply]:
        marker = None
        for _ in range(STEP_PAGES):
            try:
                steps, marker = self._client.steps(cluster, marker)
            except AwsNotFound:
                return  # ended too long ago since it was listed
            yield from steps
            if not marker:
                return


@dataclass(slots=True)
class EmrStepReader(NewestFirstReader):
    operation: ClassVar[str] = "ListSteps"
    retention: ClassVar[timedelta] = timedelta(days=60)
    gone_status: ClassVar[str] = "(step gone)"
    gone_message: ClassVar[str] = "EMR no longer has this step: its cluster is too old"

    client: EmrClient
    clusters: EmrClusters = field(kw_only=True)
    jobs: dict[str, str] = field(default_factory=dict)
    """Cluster -> the job of its open run that is read now."""

    def page(self, where: str, size: int, mark: NewestFirstPosition) -> tuple[Sequence[AwsReply], str | None]:
        return self.client.steps(where, mark.token)

    def began(self, row: AwsReply) -> datetime | None:
        return parse.created(row)

    def state_of(self, row: AwsReply) -> tuple[str, str, bool]:
        return str(row.get("Id")), parse.state_of(row), parse.is_open(row)

    def read(self, row: AwsReply, name: str) -> list[RunRecord]:
        cluster = self.clusters.known.get(name, {})
        job = self.jobs.get(name, name)  # of a cluster that is not listed any more
        cluster_name = str(cluster.get("Name") or job.removesuffix(f"/{row.get('Name')}"))
        return [parse.run(row, name, cluster_name, parse.cluster_end(cluster), self.client.region)]

    def read_rest(self, open_runs: Sequence[RunRef], places: Mapping[str, str], at: NewestFirstCursor) -> None:
        """Reads the open steps that no page showed, closes the lists of clusters that ended, and reports clusters that
        ended while they were not watched."""
        runs = self.result.records
        unread = [ref for ref in open_runs if parse.place(ref)[1] and (ref.job, ref.attempt_key) not in runs]
        for ref in self.in_turns(unread, MAX_REQUESTED, at.turn):
            cluster, step = parse.place(ref)
            self.jobs[cluster] = ref.job
            if not self.has_time or not self.request(cluster, partial(self.client.step, cluster, step), ref):
                break
        self.clusters.done = {name for name, mark in at.marks.items() if mark.closed}
        for cluster in self.finished:
            begins = at.marks.get(cluster, NewestFirstPosition()).token is None  # an older reading lacks the last steps
            if begins and parse.has_ended(self.clusters.known.get(cluster, {})):
                self.marks[cluster] = NewestFirstPosition(closed=True)
        for cluster in sorted(at.marks.keys() - places.keys() - self.clusters.done):
            since = datetime.fromtimestamp(at.marks[cluster].floor, UTC) if at.marks[cluster].floor else None
            self.gaps.append(HistoryGap(since, None, f"{cluster} is no longer listed: its last steps are not read"))


def probe(client: EmrClient, clusters: EmrClusters) -> Probe:
    """Each call that watching needs, tried on the first cluster and step that there are."""
    permissions = [try_permission("emr", "ListClusters", clusters.read)]
    steps: list[AwsReply] = []
    if cluster := next(iter(clusters.known), ""):
        permissions.append(try_permission("emr", "ListSteps", lambda: steps.extend(client.steps(cluster)[0])))
    if step := next((str(row["Id"]) for row in steps if row.get("Id")), ""):
        permissions.append(try_permission("emr", "DescribeStep", partial(client.step, cluster, step)))
    act = untried_permission("cancel a step", "allow elasticmapreduce:CancelSteps on the clusters")
    return Probe(True, "", (*permissions, act), (client.identity(),), client.clock)


class EmrConnector(ComposedConnector):
    def __init__(
        self, options: EmrOptions, secrets: SecretResolver, transport: Transport = None, settle_seconds: float = 1.0
    ) -> None:
        client = EmrClient("EMR", options, secrets, transport)
        clusters = EmrClusters(client, options)
        poller = NewestFirstPoller(clusters.places, partial(EmrStepReader, client, clusters=clusters))
        super().__init__(
            client,
            inventory=clusters.inventory,
            poll=poller.poll,
            log=unsupported(MISSING[Capability.LOG]),
            acts=ActionRouter("EMR", client, {Verb.CANCEL: EmrCanceller(client)}, MISSING, settle_seconds),
            holds=unsupported(MISSING[Capability.HOLD]),
            probe=lambda: probe(client, clusters),
        )


CONNECTOR = ConnectorKind(
    kind="emr",
    title="Amazon EMR",
    options=EmrOptions,
    targets=targets,
    open=lambda options, target, secrets: EmrConnector(options, secrets),
    capabilities=frozenset({Capability.CANCEL}),
    missing=MISSING,
    proofs=frozenset({ProofLevel.EXIT}),
    verbs={Verb.CANCEL: "cancel"},
    ladder="Proves the end of each step as EMR reports it, with the reason of a failure and the place of its log. A "
    "step that only submits an application proves the submission: watch the application by the Spark history server. "
    "An open step that EMR does not know any more is LOST.",
)
