"""The dbt connector: projects on hosts, by their artifacts and dbt's own log.

Source: docs.getdbt.com, "Artifacts"; dbt-core 1.11.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from connectors.dbt import parse
from connectors.dbt.actions import DbtActions, invocation_id
from connectors.dbt.client import DbtClient
from connectors.dbt.options import DbtOptions
from connectors.dbt.runs import read_project
from connectors.sdk import fields
from connectors.sdk.composed import ComposedConnector, unsupported
from connectors.sdk.contract import ConnectorKind, Probe, SecretResolver, SourcePermission
from connectors.sdk.errors import NotSupported, RecordUnreadable
from connectors.sdk.fields import CURSOR_UNREADABLE
from connectors.sdk.log_chunks import byte_offset, chunk_of_file
from connectors.sdk.records import Inventory, JobRecord, LogChunk, Poll, RunRef, SkippedRecord
from connectors.sdk.states import Capability, ProofLevel, Verb
from connectors.sdk.transport.hosts import HostSession, endpoint, open_shell, session_of, targets

CLOCK_LAG = timedelta(seconds=5)  # dbt has written its start into its log by then
NO_HOLD = "nothing in a project keeps dbt from being started: hold the job that starts it (cron, Airflow …)"
NO_CANCEL = "dbt runs as a process of whatever started it: stop it there"


class DbtConnector(ComposedConnector):
    def __init__(
        self, options: DbtOptions, target: str, secrets: SecretResolver, session: HostSession | None = None
    ) -> None:
        self._options, self._target = options, target
        self._host = DbtClient(options, session or session_of(options, target, secrets))
        self._actions = DbtActions(self._host, target)
        self._manifests: dict[str, tuple[Any, Mapping[str, Any]]] = {}
        """Project -> stamp of its manifest, and the nodes in it."""
        super().__init__(
            self._host,
            inventory=self._read_inventory,
            poll=self._read_runs,
            log=self._read_log,
            acts=self._actions,
            holds=unsupported(NO_HOLD),
            probe=self._permissions,
        )

    def _read_inventory(self, previous_hash: str) -> Inventory:
        known = {name: {"manifest": stamp} for name, (stamp, _) in self._manifests.items()}
        answer = self._host.collect(known, ("manifest",))
        skipped = [record for project in answer.value for record in self._manifest(project)]
        jobs: list[JobRecord] = []
        for project in answer.value:
            _, nodes = self._manifests.get(project["name"], (None, {}))
            sources = project.get("has_sources") is True
            jobs += parse.job_records(self._target, project["name"], nodes, self._options.tasks, sources)
        return Inventory.of(jobs, not skipped, answer.clock, skipped).unless_same(previous_hash)

    def _manifest(self, project: Mapping[str, Any]) -> list[SkippedRecord]:
        name, part = str(project["name"]), project.get("manifest")
        if not project.get("there"):
            folder = self._options.projects[name].folder
            return [SkippedRecord(name, f"no dbt_project.yml in {folder}, or the login may not read it")]
        if not isinstance(part, Mapping):
            return []
        if "error" in part:
            return [SkippedRecord(f"{name}/manifest.json", f"it cannot be read: {part['error']}")]
        nodes = part["value"].get("nodes")
        self._manifests[name] = part["stamp"], nodes if isinstance(nodes, dict) else {}
        return []

    def _read_runs(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        try:
            value = fields.parse_table(cursor) if cursor else {}
            unreadable = not all(isinstance(project, dict) for project in value.values())
        except RecordUnreadable:
            value, unreadable = {}, True
        memory = {name: project for name, project in value.items() if isinstance(project, dict)}
        answer = self._host.collect(memory, ("log", "results", "sources"))
        again = [invocation_id(ref) for ref in open_runs]
        polls = {
            str(project["name"]): read_project(
                self._target, project, memory.get(str(project["name"]), {}), again, answer.clock.target,
            )
            for project in answer.value
        }  # fmt: skip
        warnings = [f"{CURSOR_UNREADABLE}; history is read again"] if unreadable else []
        warnings += [warning for poll in polls.values() for warning in poll.warnings]
        warnings += self._host.trust_warnings
        runs = [run for poll in polls.values() for run in poll.runs]
        return Poll(
            runs=tuple(sorted(runs, key=lambda run: run.started_at or run.ended_at or answer.clock.target)),
            cursor=json.dumps({name: poll.memory for name, poll in polls.items()}, separators=(",", ":")),
            more=any(poll.has_more for poll in polls.values()),
            clock=answer.clock,
            skipped=tuple(record for poll in polls.values() for record in poll.skipped),
            gaps=tuple(gap for poll in polls.values() for gap in poll.gaps),
            seen_until=answer.clock.target - CLOCK_LAG if all(poll.sees_all for poll in polls.values()) else None,
            warnings=tuple(dict.fromkeys(warnings)),
        )

    def _read_log(self, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
        project, _ = self._actions.project_of(run.job.removesuffix(f":{parse.FRESHNESS}"))
        invocation = invocation_id(run)
        if not invocation:
            raise NotSupported(f"{run.job}: dbt never named this run, so its log cannot be found")
        at = None if start is None else byte_offset(start)
        piece = self._host.log(project, invocation, at, limit_bytes).value
        if piece.get("size") is None:
            raise NotSupported(f"{run.job}: dbt.log holds this run no more (or another --log-path was used)")
        data = bytes.fromhex(str(piece["data"]))
        return chunk_of_file(data, int(piece["start"]), int(piece["size"]), start, limit_bytes)

    def _permissions(self) -> Probe:
        """For each project, whether its artifacts can be read and whether dbt can run there."""
        rights: list[SourcePermission] = []
        clock = None
        for name, project in self._options.projects.items():
            answer = self._host.can(name, "")
            clock, host = answer.clock, answer.value
            why = f"{project.folder} is not there, or the login may not read it"
            fix = f"put the login into the group that may read {project.folder}: headway connector grants dbt"
            rights.append(SourcePermission.checked(f"read {name}", host.get("readable"), why, fix))
            why = f"the login may not write in {project.folder}"
            fix = "let it sign in as the project's owner, or write there: headway connector grants dbt"
            if not host.get("program"):
                why = f'no program "{project.dbt}" on the PATH of the login'
                fix = "set dbt to the path of its program"
            able = host.get("program") and host.get("writable")
            rights.append(SourcePermission.checked(f"run dbt in {name}", able, why, fix, "act"))
        return Probe(True, rights=tuple(rights), clock=clock)


CONNECTOR = ConnectorKind(
    kind="dbt",
    title="dbt projects",
    options=DbtOptions,
    targets=targets,
    open=DbtConnector,
    capabilities=frozenset(
        {Capability.RERUN, Capability.START, Capability.LOG, Capability.TASKS, Capability.NATIVE_DEPENDENCIES}
    ),
    missing={
        Capability.CANCEL: NO_CANCEL,
        Capability.HOLD: NO_HOLD,
        Capability.MARK: "dbt's artifacts cannot be changed; Headway records a state as asserted",
        Capability.PERIODS: "dbt gets no date: whenever it runs, it runs for now",
    },
    verbs={Verb.RERUN: "retry with the state of that run, or build a node", Verb.START: "build"},
    proofs=frozenset({ProofLevel.FULL}),
    ladder=(
        "dbt's log proves start, end and success of each invocation, run_results.json the state of each node. dbt"
        " overwrites it at each command: a run whose artifact was overwritten before it was read is known from the log"
        " alone, without nodes. A run without an end, whose log is silent while no dbt runs, is LOST, by inference."
    ),
    shell=open_shell,
    endpoint=endpoint,
)
