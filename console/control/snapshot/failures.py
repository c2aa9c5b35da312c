"""Failure signatures: the cause that the message or log of a red run blames, and which jobs blame the same.

Only what is recognized and named is a signature, so "exit 1" or "no such table" never groups anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from console.domain.estate import Estate, JobFacts, RunFacts, group_runs
from console.text.cleaning import clean_line

LINES = 60
"""Last lines of a message or log that are searched."""
LINE_LIMIT = 1000
TEXT_LIMIT = 160


class Blame(StrEnum):
    """Kind of cause. Messages name the first three; the others are the target's own."""

    CREDENTIAL = "credential"
    CONNECTION = "connection"
    HOST = "host"
    DISK = "disk"
    MEMORY = "memory"
    TIMEOUT = "timeout"
    TARGET = "target"
    """Not from a text: nearly everything that runs there fails."""


@dataclass(frozen=True, slots=True)
class FailureSignature:
    blame: Blame
    named: str
    """ "db07:5432", "user etl"; empty if the text names nothing."""
    text: str
    """The matching line, cleaned."""


_NAME = r"[\w.@$-]{1,100}"
_HOST = r"(?P<host>[\w.-]{1,100})"
_PORT = r"(?P<port>\d{1,5})"
_USER = rf"""["'](?P<user>{_NAME})["']"""
_GONE = (
    r"(?:connection refused|connection timed out|no route to host|host is unreachable|network is unreachable"
    r"|connection reset|timeout expired)"
)
_PATTERNS: tuple[tuple[Blame, re.Pattern[str]], ...] = tuple(
    (blame, re.compile(pattern, re.IGNORECASE))
    for blame, pattern in (
        (Blame.CREDENTIAL, rf"password authentication failed for user {_USER}"),
        (Blame.CREDENTIAL, rf"access denied for user {_USER}"),
        (Blame.CREDENTIAL, rf"login failed for user {_USER}"),
        (Blame.CREDENTIAL, rf"role {_USER} (?:does not exist|is not permitted to log in)"),
        (Blame.CREDENTIAL, rf"(?P<user>{_NAME}): permission denied \((?:publickey|password)"),
        (Blame.CREDENTIAL, rf"\b(?:401|403)\b.{{0,80}}https?://{_HOST}"),
        (Blame.CREDENTIAL, rf"https?://{_HOST}.{{0,160}}\b(?:401 unauthorized|403 forbidden)"),
        (Blame.CREDENTIAL, r"(?P<what>expired ?token|invalidclienttokenid|security token .{0,40}(?:expired|invalid))"),
        (Blame.CREDENTIAL, r"ora-01017|authentication failed|invalid credentials"),
        (Blame.CONNECTION, rf'connection to server at "{_HOST}"[^\n]{{0,60}}, port {_PORT} failed'),
        (Blame.CONNECTION, rf'could not connect to server.{{0,120}}host "{_HOST}".{{0,80}}port {_PORT}'),
        (Blame.CONNECTION, rf"connect to host {_HOST} port {_PORT}: "),
        (Blame.CONNECTION, rf"failed to connect to {_HOST} port {_PORT}"),
        (Blame.CONNECTION, rf"can't connect to mysql server on '{_HOST}(?::{_PORT})?'"),
        (Blame.CONNECTION, rf"connectionpool\(host='{_HOST}', port={_PORT}\)"),
        (Blame.CONNECTION, rf"dial tcp {_HOST}:{_PORT}: "),
        (Blame.CONNECTION, rf"{_GONE}[^\n]{{0,40}}?\b{_HOST}:{_PORT}\b"),
        (Blame.CONNECTION, rf"\b{_HOST}:{_PORT}\b[^\n]{{0,40}}{_GONE}"),
        (Blame.HOST, rf"could not resolve host(?:name)?:? {_HOST}"),
        (Blame.HOST, rf'could not translate host name "{_HOST}"'),
        (Blame.HOST, rf"(?:enotfound|eai_again) {_HOST}"),
        (Blame.HOST, rf"(?:no route to host|host is unreachable)[: ]{{1,2}}{_HOST}"),
        (Blame.DISK, r"no space left on device|disk quota exceeded|could not extend file|database or disk is full"),
        (Blame.MEMORY, r"out of memory|cannot allocate memory|oomkilled|outofmemoryerror"),
        (Blame.TIMEOUT, r"statement timeout|deadline exceeded|read timed out|lock wait timeout"),
    )
)
_TITLES = {
    Blame.CREDENTIAL: ("{} is refused", "{} was refused"),
    Blame.CONNECTION: ("{} cannot be reached", "{} could not be reached"),
    Blame.HOST: ("{} is not found on the network", "{} was not found on the network"),
    Blame.DISK: ("no space left at {}", "there was no space left at {}"),
    Blame.MEMORY: ("no memory left at {}", "there was no memory left at {}"),
    Blame.TIMEOUT: ("{} responds too slowly", "{} responded too slowly"),
    Blame.TARGET: (
        "nearly everything on {} fails, though it answers",
        "nearly everything on {} failed, though it answered",
    ),
}


@lru_cache(maxsize=20_000)
def failure_signature(text: str) -> FailureSignature | None:
    """Signature of a message or log, the last line first; None if none is recognized."""
    for line in reversed(text.splitlines()[-LINES:]):
        for blame, pattern in _PATTERNS:
            if match := pattern.search(line[:LINE_LIMIT]):
                return FailureSignature(blame, _blamed_name(match), clean_line(line.strip(), TEXT_LIMIT))
    return None


def signature_identity(signature: FailureSignature, target: str) -> str:
    """ "connection:db07:5432", the key of a shared root; empty if nothing is named. `target`: of the run; full disks,
    missing memory and timeouts are its own."""
    if signature.blame in (Blame.DISK, Blame.MEMORY, Blame.TIMEOUT):
        return f"{signature.blame}:{target}"
    return f"{signature.blame}:{signature.named}" if signature.named else ""


def identity_name(shared: str) -> str:
    """ "db07:5432": the name in an identity."""
    return clean_line(shared.partition(":")[2])


def identity_blame(shared: str) -> Blame:
    return Blame(shared.partition(":")[0])


def identity_title(shared: str, *, is_past: bool = False) -> str:
    """ "db07:5432 cannot be reached"; `is_past`: "db07:5432 could not be reached"."""
    present, past = _TITLES[identity_blame(shared)]
    return (past if is_past else present).format(identity_name(shared))


def _blamed_name(match: re.Match[str]) -> str:
    groups = match.groupdict()
    if groups.get("user"):
        return f"user {groups['user']}"
    if groups.get("what"):
        return "the AWS credential"
    host = (groups.get("host") or "").lower().strip(".-")
    return f"{host}:{groups['port']}" if host and groups.get("port") else host


def run_signature(run: RunFacts) -> FailureSignature | None:
    """Signature of its message or the end of its log."""
    return failure_signature(run.message) or failure_signature(run.tail)


def run_identity(estate: Estate, run: RunFacts, signature: FailureSignature) -> str:
    """The identity of what this run of the estate blames; empty if it names nothing."""
    job = estate.jobs.get(run.job_id)
    return signature_identity(signature, target_label(estate, job.target_id) if job is not None else "")


def target_label(estate: Estate, target_id: int) -> str:
    """ "etl-hosts/db07", cleaned; empty for an unknown target."""
    target = estate.targets.get(target_id)
    return clean_line(f"{target.system}/{target.name}") if target is not None else ""


@dataclass(frozen=True, slots=True)
class RedJob:
    """Signatures of a job's red runs, with the values that they were read from."""

    runs: object
    job: JobFacts
    target: str
    blames: frozenset[str]
    """Identities."""


def red_jobs_of(estate: Estate, before: Mapping[int, RedJob], known: Set[int] | None = None) -> Mapping[int, RedJob]:
    """The red jobs by id. `before`: those of an earlier snapshot, returned itself if nothing differs; `known`: the jobs
    that may differ from it; None: any."""
    runs = group_runs(estate.runs)
    red_jobs = dict[int, RedJob]()
    ended = list[int]()
    for job_id in runs.red | before.keys() if known is None else known:
        red_job, job = before.get(job_id), estate.jobs.get(job_id) if job_id in runs.red else None
        if job is None:
            ended += [] if red_job is None else [job_id]
            continue
        job_runs, target = runs.by_job[job_id], target_label(estate, job.target_id)
        if red_job is None or red_job.runs is not job_runs or red_job.job is not job or red_job.target != target:
            red_jobs[job_id] = _red_job(estate, job, job_runs, target)
    if not red_jobs and not ended:
        return before
    red_jobs = {**before, **red_jobs}
    for job_id in ended:
        del red_jobs[job_id]
    return red_jobs


def _red_job(estate: Estate, job: JobFacts, runs: Sequence[RunFacts], target: str) -> RedJob:
    red = [(run, run_signature(run)) for run in runs if run.state.is_red]
    blames = frozenset(run_identity(estate, run, signature) for run, signature in red if signature is not None)
    return RedJob(runs, job, target, blames - {""})
