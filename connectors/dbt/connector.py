"""dbt projects on hosts, by their artefacts and dbt's own log. Source: docs.getdbt.com, "Artifacts"; dbt-core 1.11."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any

from connectors.contract import (
    Ask,
    Capability,
    Clock,
    ConnectorKind,
    Inventory,
    LogChunk,
    LookUp,
    NativeHold,
    NotSupported,
    Poll,
    Preview,
    Probe,
    Proof,
    Receipt,
    Right,
    RunRef,
    Secrets,
    Shell,
    Skipped,
    State,
    Verb,
)
from connectors.dbt import parse
from connectors.dbt.acts import DbtActs, invocation_of
from connectors.dbt.client import Answer, DbtClient
from connectors.dbt.options import DbtOptions
from connectors.dbt.reading import read
from connectors.transport.answer import text_of
from connectors.transport.hosts import Session, targets
from connectors.transport.ssh_connect import SshAddress, trust_words
from connectors.transport.ssh_shell import ssh_shell
from connectors.transport.ways import address, session_of

LAG = timedelta(seconds=5)
"""dbt has written its start into its log by then."""
NO_HOLD = "nothing in a project keeps dbt from being started: hold the job that starts it (cron, Airflow …)"
NO_CANCEL = "dbt runs as a process of whatever started it: stop it there"


class DbtConnector:
    """One host."""

    def __init__(self, options: DbtOptions, target: str, secrets: Secrets, session: Session | None = None) -> None:
        self.options = options
        self.target = target
        self._session = session or session_of(options, target, secrets)
        self._client = DbtClient(options, self._session)
        self._acts = DbtActs(self._client, target)
        self._manifests: dict[str, tuple[Any, Mapping[str, Any]]] = {}
        """Project -> stamp of its manifest, and the nodes in it."""

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        known = {name: {"manifest": stamp} for name, (stamp, _) in self._manifests.items()}
        answer = self._client.look(known, ("manifest",), timeout_seconds)
        skipped = [one for found in answer.value for one in self._manifest(found)]
        jobs = tuple(
            job
            for found in answer.value
            for job in parse.jobs(
                self.target, found["name"], self._manifests.get(found["name"], (None, {}))[1], self.options.tasks,
                found.get("has_sources") is True,
            )
        )  # fmt: skip
        digest = sha256(repr((jobs, skipped)).encode("utf-8", "surrogateescape")).hexdigest()
        if digest == previous_hash:
            return Inventory((), True, digest, unchanged=True, clock=_clock(answer))
        return Inventory(jobs, not skipped, digest, clock=_clock(answer), skipped=tuple(skipped))

    def _manifest(self, found: Mapping[str, Any]) -> list[Skipped]:
        """Takes in a manifest that is new; why there is none."""
        name, part = str(found["name"]), found.get("manifest")
        if not found.get("there"):
            folder = self.options.projects[name].folder
            return [Skipped(name, f"no dbt_project.yml in {folder}, or the login may not read it")]
        if not isinstance(part, Mapping):
            return []
        if "error" in part:
            return [Skipped(f"{name}/manifest.json", f"it cannot be read: {part['error']}")]
        nodes = part["value"].get("nodes")
        self._manifests[name] = part["stamp"], nodes if isinstance(nodes, dict) else {}
        return []

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        memory = _memory(cursor)
        answer = self._client.look(memory, ("log", "results", "sources"), timeout_seconds)
        again = [invocation_of(ref) for ref in open_runs]
        told = {
            str(found["name"]): read(
                self.target, found, memory.get(str(found["name"]), {}), again, answer.now,
                State(self.options.projects[str(found["name"])].failed_nodes),
            )
            for found in answer.value
        }  # fmt: skip
        words = [one for each in told.values() for one in each.warnings]
        words += trust_words(self._session.address) if isinstance(self._session.address, SshAddress) else ()
        runs = [one for each in told.values() for one in each.runs]
        return Poll(
            runs=tuple(sorted(runs, key=lambda one: one.started_at or one.ended_at or answer.now)),
            cursor=json.dumps({name: one.memory for name, one in told.items()}, separators=(",", ":")),
            more=any(one.more for one in told.values()),
            clock=_clock(answer),
            skipped=tuple(one for each in told.values() for one in each.skipped),
            gaps=tuple(one for each in told.values() for one in each.gaps),
            seen_until=answer.now - LAG if all(one.sees_all for one in told.values()) else None,
            warnings=tuple(dict.fromkeys(words)),
        )

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        """What dbt wrote into its log during the invocation."""
        project, invocation = self._acts.project_of(run.job.removesuffix(f":{parse.FRESHNESS}"))[0], invocation_of(run)
        if not invocation:
            raise NotSupported(f"{run.job}: dbt never named this run, so its log cannot be found")
        if start is not None and not (start.isascii() and start.isdigit() and len(start) < 19):
            raise NotSupported(f"not a place in a log: {start[:40]!r}")
        at = None if start is None else int(start)
        found = self._client.log(project, invocation, at, limit_bytes, timeout_seconds).value
        if found.get("size") is None:
            raise NotSupported(f"{run.job}: dbt.log holds this run no more (or another --log-path was used)")
        data = bytes.fromhex(str(found["data"]))[:limit_bytes]
        begin, size = int(found["start"]), int(found["size"])
        end = begin + len(data)
        return LogChunk(text_of(data), str(end), end < size and bool(data), at is None and begin > 0)

    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        return self._acts.preview(ask, timeout_seconds)

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        return self._acts.act(preview, key, timeout_seconds)

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        return self._acts.look_up(preview, key, timeout_seconds)

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        raise NotSupported(NO_HOLD)

    def probe(self, timeout_seconds: float) -> Probe:
        """Of each project, whether its artefacts can be read, and whether dbt can be run there."""
        rights: list[Right] = []
        clock = None
        for name, project in self.options.projects.items():
            answer = self._client.can(name, "", timeout_seconds)
            clock, there = _clock(answer), answer.value
            why = "" if there.get("readable") else f"{project.folder} is not there, or the login may not read it"
            mend = f"put the login into the group that may read {project.folder}: headway grants dbt"
            rights.append(Right(f"read {name}", not why, why, mend if why else ""))
            lacks = "" if there.get("program") else f'no program "{project.dbt}" on the PATH of the login'
            lacks = lacks or ("" if there.get("writable") else f"the login may not write in {project.folder}")
            able = "let it sign in as the project's owner, or write there: headway grants dbt"
            able = able if there.get("program") else "set dbt to the path of its program"
            rights.append(Right(f"run dbt in {name}", not lacks, lacks, able if lacks else "", "act"))
        return Probe(True, rights=tuple(rights), clock=clock)

    def close(self) -> None:
        self._client.close()


def _clock(answer: Answer) -> Clock:
    return Clock(answer.now, answer.ours)


def _memory(cursor: str) -> dict[str, Any]:
    """What one poll hands to the next; what cannot be read begins anew."""
    try:
        value = json.loads(cursor) if cursor else {}
    except (ValueError, RecursionError):
        return {}
    return {name: one for name, one in value.items() if isinstance(one, dict)} if isinstance(value, dict) else {}


def open_shell(options: DbtOptions, target: str, secrets: Secrets) -> Shell:
    """A login on the host; on this machine the person's own shell."""
    if options.host(target).local:
        return Shell((os.environ.get("SHELL") or "/bin/sh", "-l"))
    return ssh_shell(address(options, target, secrets))


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
        Capability.MARK: "an artefact is dbt's own word; Headway asserts a state itself",
        Capability.PERIODS: "dbt gets no date: whenever it runs, it runs for now",
    },
    verbs={Verb.RERUN: "retry with the state of that run, or build a node", Verb.START: "build"},
    proofs=frozenset({Proof.FULL}),
    ladder=(
        "dbt's log proves start, end and success of each invocation, run_results.json the state of each node. dbt"
        " overwrites it at each command: a run whose artefact was gone before it was read is told by its log alone,"
        " without nodes. A run without an end, whose log is silent while no dbt runs, is LOST, by inference."
    ),
    shell=open_shell,
)
