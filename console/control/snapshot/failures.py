"""The signature of a failure, the resource that its message or log blames, and which jobs blame the same.

Only a resource that is recognized and named is blamed, so "exit 1" or "no such table" never groups anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from connectors.sdk.states import RunState
from console.domain.estate import Estate, JobFacts, RunFacts, group_runs
from console.domain.failure import FailureSignature
from console.domain.incident_record import CauseKind
from console.text.cleaning import clean, clean_line
from console.text.normalize import PLACEHOLDER, constant_part, error_line, is_consequence, normalize_line

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
class BlamedResource:
    blame: Blame
    named: str
    """ "db07:5432", "user etl"; empty if the text names nothing."""
    text: str
    """The matching line, cleaned."""


def failure_signature(
    system_kind: str, state: RunState, exit_code: int | None, log: str, task: str, host: str = ""
) -> FailureSignature:
    """The signature of a failed run. `log`: the end of its log, or its message; `host`: its target, whose name in log
    and task is left out, so that the hosts of one system are equal."""
    line = error_line(clean(log))
    error = "" if is_consequence(line) else constant_part(without_host(host, line))
    code = exit_code or 0
    if 0 < (signal := code - 128 if code > 0 else -code) <= SIGNALS:
        error_class = f"{state.value}, signal {signal}"
    else:
        error_class = f"{state.value}, exit {code}" if code and not error else state.value
    task = normalize_line(clean_line(without_host(host, task)))
    return FailureSignature(CauseKind.RUN, system_kind, error_class, error, task)


SIGNALS = 64
"""A shell reports the death by one of these signals as exit code 128 + signal."""


_HOST_NAME = re.compile(r"[\w-]{1,64}(?:\.[\w-]{1,64}){0,10}")


def without_host(host: str, text: str) -> str:
    """The text without the host, named in short or with its domain."""
    name = host.partition(".")[0].casefold()

    def placeholder(match: re.Match[str]) -> str:
        first, dot, rest = match[0].partition(".")
        return f"{PLACEHOLDER}{dot}{rest}" if first.casefold() == name else match[0]

    return _HOST_NAME.sub(placeholder, text) if name else text


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
_TEXTS = {
    Blame.CREDENTIAL: ("{} is refused", "{} was refused", "a credential that several jobs use is refused"),
    Blame.CONNECTION: (
        "{} cannot be reached", "{} could not be reached", "a database or server that several jobs use does not answer",
    ),
    Blame.HOST: (
        "{} is not found on the network", "{} was not found on the network",
        "a server that several jobs use is not found on the network",
    ),
    Blame.DISK: ("no space left at {}", "there was no space left at {}", "a disk that several jobs write to is full"),
    Blame.MEMORY: (
        "no memory left at {}", "there was no memory left at {}",
        "a server on which several jobs run has no memory left",
    ),
    Blame.TIMEOUT: (
        "{} responds too slowly", "{} responded too slowly",
        "a database or server that several jobs use responds too slowly",
    ),
    Blame.TARGET: (
        "nearly everything on {} fails, though it answers", "nearly everything on {} failed, though it answered",
        "nearly all jobs of one server fail, though it answers",
    ),
}  # fmt: skip
"""The title of a cause, in the present and the past, and its text without the name."""


@lru_cache(maxsize=20_000)
def blamed_resource(text: str) -> BlamedResource | None:
    """The resource that a message or log blames, the last line first; None if none is recognized."""
    for line in reversed(text.splitlines()[-LINES:]):
        for blame, pattern in _PATTERNS:
            if match := pattern.search(line[:LINE_LIMIT]):
                return BlamedResource(blame, _blamed_name(match), clean_line(line.strip(), TEXT_LIMIT))
    return None


def resource_identity(resource: BlamedResource, target: str) -> str:
    """ "connection:db07:5432", the key of a shared root; empty if nothing is named. `target`: of the run; full disks,
    missing memory and timeouts are its own."""
    if resource.blame in (Blame.DISK, Blame.MEMORY, Blame.TIMEOUT):
        return f"{resource.blame}:{target}"
    return f"{resource.blame}:{resource.named}" if resource.named else ""


def identity_name(shared: str) -> str:
    """ "db07:5432": the name in an identity."""
    return clean_line(shared.partition(":")[2])


def identity_blame(shared: str) -> Blame:
    return Blame(shared.partition(":")[0])


def identity_titles(shared: str) -> tuple[str, str]:
    """ "db07:5432 cannot be reached", "db07:5432 could not be reached"."""
    present, past, _ = _TEXTS[identity_blame(shared)]
    return present.format(identity_name(shared)), past.format(identity_name(shared))


def identity_business_text(shared: str) -> str:
    """ "a disk that several jobs write to is full": without its name."""
    return _TEXTS[identity_blame(shared)][2]


def _blamed_name(match: re.Match[str]) -> str:
    groups = match.groupdict()
    if groups.get("user"):
        return f"user {groups['user']}"
    if groups.get("what"):
        return "the AWS credential"
    host = (groups.get("host") or "").lower().strip(".-")
    return f"{host}:{groups['port']}" if host and groups.get("port") else host


def resource_of_run(run: RunFacts) -> BlamedResource | None:
    """The resource that its message or the end of its log blames."""
    return blamed_resource(run.message) or blamed_resource(run.tail)


def run_identity(estate: Estate, run: RunFacts, resource: BlamedResource) -> str:
    """The identity of what this run of the estate blames; empty if it names nothing."""
    job = estate.jobs.get(run.job_id)
    return resource_identity(resource, target_label(estate, job.target_id) if job is not None else "")


def target_label(estate: Estate, target_id: int) -> str:
    """ "etl-hosts/db07", cleaned; empty for an unknown target."""
    target = estate.targets.get(target_id)
    return clean_line(f"{target.system}/{target.name}") if target is not None else ""


@dataclass(frozen=True, slots=True)
class RedJob:
    """Resources that a job's red runs blame, with the values that they were read from."""

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
    red = [(run, resource_of_run(run)) for run in runs if run.state.is_red]
    blames = frozenset(run_identity(estate, run, resource) for run, resource in red if resource is not None)
    return RedJob(runs, job, target, blames - {""})
