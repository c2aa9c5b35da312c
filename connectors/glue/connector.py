"""AWS Glue as a connector: inventory, polls and permissions of one region of one account."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import ClassVar

from connectors.glue import actions, parse
from connectors.glue.client import GROUP, RUNS_SIZE, GlueClient, read_log
from connectors.glue.options import GlueOptions
from connectors.sdk.aws.client import read_inventory, try_permission, untried_permission
from connectors.sdk.aws.cloudwatch_logs import log_permission
from connectors.sdk.aws.newest_first import NewestFirstCursor, NewestFirstPoller, NewestFirstPosition, NewestFirstReader
from connectors.sdk.aws.options import targets
from connectors.sdk.aws.values import AwsReply, instant
from connectors.sdk.composed import ComposedConnector, unsupported
from connectors.sdk.contract import ConnectorKind, Probe, SecretResolver
from connectors.sdk.errors import AccessRefused
from connectors.sdk.fields import EPOCH, matches_any
from connectors.sdk.records import Inventory, JobRecord, RunRecord, RunRef, Schedule
from connectors.sdk.states import SCHEDULE_UNREADABLE, Capability, ProofLevel, RunState, Verb
from connectors.sdk.transport.http import Transport


class GlueInventory:
    def __init__(self, client: GlueClient, options: GlueOptions) -> None:
        self._client, self._options = client, options
        self.retries: dict[str, int] = {}
        """Job -> how often Glue tries a failed run of it again, as of the last list."""

    def read(self, previous_hash: str) -> Inventory:
        """All jobs that the options name. Raises SystemUnreachable or AccessRefused."""
        triggers: dict[str, list[parse.Trigger]] = {}
        unreadable = ""
        try:
            triggers = parse.by_job(list(self._client.triggers()))
        except AccessRefused as error:
            unreadable = f"{SCHEDULE_UNREADABLE}{error}"

        def read(row: AwsReply) -> JobRecord:
            started_by = triggers.get(str(row.get("Name")), [])
            next_at = parse.next_instant(started_by, datetime.now(UTC))
            schedule = Schedule("none", text=unreadable or parse.schedule_text(started_by), next_at=next_at)
            return parse.job(row, started_by, schedule, self._options.region)

        return read_inventory(self._client, "GetJobs", self.listed(), read, previous_hash, self.chooses)

    def listed(self) -> list[AwsReply]:
        """Jobs that the options name, and unreadable ones."""
        jobs = [job for job in self._client.jobs() if not job.get("Name") or self.chooses(str(job["Name"]))]
        self.retries = {str(job["Name"]): parse.retries_of(job) for job in jobs if job.get("Name")}
        return jobs

    def places(self) -> dict[str, str]:
        return {str(item["Name"]): str(item["Name"]) for item in self.listed() if item.get("Name")}

    def chooses(self, name: str) -> bool:
        return matches_any(name, self._options.jobs)


MAX_REQUESTED = 60
"""GetJobRun reads one run: the rest waits for its turn."""
MAX_WAITED_FOR = 20
"""Runs of one poll whose trigger's inputs are read, the newest."""


@dataclass(slots=True)
class GlueRunReader(NewestFirstReader):
    operation: ClassVar[str] = "GetJobRuns"
    retention: ClassVar[timedelta] = timedelta(days=90)
    gone_status: ClassVar[str] = "(run deleted)"
    gone_message: ClassVar[str] = "Glue no longer has this run: its job was deleted, or it is too old"
    live_size: ClassVar[int] = 50
    history_size: ClassVar[int] = RUNS_SIZE

    client: GlueClient
    retries: Mapping[str, int] = field(default_factory=dict)
    """Job -> how often Glue tries a failed run of it again."""
    rows: dict[tuple[str, str], AwsReply] = field(default_factory=dict)
    """Rows of this poll, by job and run."""

    def page(self, where: str, size: int, mark: NewestFirstPosition) -> tuple[Sequence[AwsReply], str | None]:
        return self.client.runs(where, size, mark.token)

    def began(self, row: AwsReply) -> datetime | None:
        return instant(row.get("StartedOn"))

    def state_of(self, row: AwsReply) -> tuple[str, str, bool]:
        return str(row.get("Id")), str(row.get("JobRunState")), parse.is_open(row)

    def read(self, row: AwsReply, name: str) -> list[RunRecord]:
        self.rows[name, str(row.get("Id"))] = row
        return [parse.run(row, name, self.client.region, self.retries.get(name, 0))]

    def read_rest(self, open_runs: Sequence[RunRef], places: Mapping[str, str], at: NewestFirstCursor) -> None:
        """Reads the open runs that no page showed, and what the newest triggered runs waited for."""
        runs = self.result.records
        rest = [ref for ref in open_runs if parse.place(ref)[1] and (ref.job, ref.attempt_key) not in runs]
        for ref in self.in_turns(rest, MAX_REQUESTED, at.turn):
            if not self.has_time or not self._request(*parse.place(ref), ref):
                break
        self._join_tries(open_runs, runs)
        triggered = [
            run for run in runs.values() if run.context.get("trigger") and "inputs" not in run.context
        ]  # the lists do not report the runs that their triggers waited for
        for run in sorted(triggered, key=lambda run: run.started_at or EPOCH, reverse=True)[:MAX_WAITED_FOR]:
            if not self.has_time or not self._request(run.job, run.attempt_key):
                return

    def _join_tries(self, open_runs: Sequence[RunRef], runs: dict[tuple[str, str], RunRecord]) -> None:
        """Fails the runs whose next try is there, and gives each try of an open run that one's period, which for a
        rerun is that of the run it repeats."""
        periods = {(ref.job, parse.period_of(ref.attempt_key)): ref.period_key for ref in open_runs}
        for (job, run_id), record in [*runs.items()]:
            if record.state is RunState.RETRYING and (job, parse.next_try(run_id)) in runs:
                runs[job, run_id] = parse.run(self.rows[job, run_id], job, self.client.region)
            period = periods.get((job, parse.period_of(run_id)))
            if period and parse.period_of(run_id) != run_id:
                runs[job, run_id] = replace(runs[job, run_id], period_key=period)

    def _request(self, job: str, run_id: str, ref: RunRef | None = None) -> bool:
        return self.request(job, lambda: self.client.run(job, run_id), ref)


ACTION_PERMISSIONS = (
    untried_permission("start or rerun a job", "allow glue:StartJobRun on the jobs"),
    untried_permission("stop a run", "allow glue:BatchStopJobRun on the jobs"),
)


def probe(client: GlueClient, listed: Callable[[], list[AwsReply]]) -> Probe:
    """Each call that watching needs, tried on the first job and run that there are."""
    jobs: list[AwsReply] = []
    held = [try_permission("glue", "GetJobs", lambda: jobs.extend(listed()))]
    held.append(try_permission("glue", "GetTriggers", lambda: next(client.triggers(), None)))
    name = next((str(job["Name"]) for job in jobs if job.get("Name")), "")
    if name:
        runs: list[AwsReply] = []
        held.append(try_permission("glue", "GetJobRuns", lambda: runs.extend(client.runs(name, 1)[0])))
        held.append(try_permission("glue", "GetJob", partial(client.job, name), needed_for="act"))
        run_id = next((str(run["Id"]) for run in runs if run.get("Id")), "")
        if run_id:
            held.append(try_permission("glue", "GetJobRun", partial(client.run, name, run_id)))
    held.append(log_permission(client, f"{GROUP}/output"))
    return Probe(True, "", (*held, *ACTION_PERMISSIONS), (client.identity(),), client.clock)


class GlueConnector(ComposedConnector):
    def __init__(
        self, options: GlueOptions, secrets: SecretResolver, transport: Transport = None, settle_seconds: float = 1.0
    ) -> None:
        client = GlueClient(options, secrets, transport)
        reader = GlueInventory(client, options)
        poller = NewestFirstPoller(reader.places, lambda: GlueRunReader(client, retries=reader.retries))
        super().__init__(
            client,
            inventory=reader.read,
            poll=poller.poll,
            log=partial(read_log, client),
            acts=actions.GlueActions(client, settle_seconds),
            holds=unsupported(actions.MISSING[Capability.HOLD]),
            probe=lambda: probe(client, reader.listed),
        )


CONNECTOR = ConnectorKind(
    kind="glue",
    title="AWS Glue",
    options=GlueOptions,
    targets=targets,
    open=lambda options, target, secrets: GlueConnector(options, secrets),
    capabilities=frozenset(Capability) - set(actions.MISSING),
    missing=actions.MISSING,
    proofs=frozenset({ProofLevel.FULL}),
    verbs={Verb.RERUN: "start again", Verb.START: "start", Verb.CANCEL: "stop"},
    schedules="next",
    ladder="Full proof: Glue records start, end, state and error of each run and of its own retries, for 90 days, and "
    "what it writes in CloudWatch. A run that Glue does not know any more is UNKNOWN.",
)
