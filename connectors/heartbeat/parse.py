"""Requests to pings, pings to runs, runs to records. Pure.

A request is `/ping/TOKEN/…`, as healthchecks.io has it, or `/jobs/NAME/…` with `Authorization: Bearer TOKEN`. Then
nothing (success), `success`, `start`, `fail`, `log` or an exit status; `?rid=ID` names the run. HEAD, sent by
link previews, never reports.

The order in which reports of one run arrive does not change the result: a start after the end is late, a second
report of the same kind is a repeat, and a reported failure stays a failure.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from urllib.parse import parse_qsl

from connectors.heartbeat.options import HeartbeatJob
from connectors.sdk.fields import epoch_instant, masked_head, reference_row
from connectors.sdk.records import JobRecord, RunRecord, Schedule
from connectors.sdk.states import RunEvidence, RunState

TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")
_PATH = re.compile(r"/(ping|jobs)/([A-Za-z0-9_.-]{1,128})(?:/(start|success|fail|log|-?[0-9]{1,10}))?/?")
_RID = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_BEARER = re.compile(r"[Bb]earer +([A-Za-z0-9_-]{16,128}) *")
_NUMBER = re.compile(r"[0-9]{1,15}")
NUMBER_RULE = "a whole number of at most 15 digits"
METHODS, POST_ONLY = ("GET", "POST", "PUT"), ("POST",)
"""Methods that report."""
_CURL = "curl -fsS -m 30 --retry 5 -X POST ADDRESS"
TEXT_CHARS = 40
"""Characters kept of an invalid number."""

PING_START, PING_SUCCESS, PING_FAIL, PING_LOG = "start", "success", "fail", "log"


class PingRefused(Exception):
    """A request that is not a valid ping. `status`: its HTTP status; `why`: the reply's text; `allow`: the methods that
    report, if its own does not."""

    def __init__(self, status: int, why: str, allow: Sequence[str] = ()) -> None:
        super().__init__(why)
        self.status, self.why, self.allow = status, why, allow


@dataclass(frozen=True, slots=True)
class PingRequest:
    """One request, without its body."""

    job: str
    kind: str
    """START, SUCCESS, FAIL or LOG."""
    rid: str = ""
    """The sender's name of the run; empty: the one that runs now."""
    exit_code: int | None = None
    rows: int | None = None
    size: int | None = None
    """Bytes that the run moved, as reported."""
    unread: tuple[tuple[str, str], ...] = ()
    """Invalid numbers, name and text. The report counts without them: refusing it would lose the reported end."""


def token_digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


def parse_ping(
    method: str, target: str, authorization: str, tokens: Mapping[str, bytes], post_only: Collection[str] = ()
) -> PingRequest:
    """The ping. `tokens`: job -> digest; `post_only`: jobs. A wrong token and an unknown job raise the same
    PingRefused."""
    path, _, query = target.partition("?")
    match = _PATH.fullmatch(path)
    if match is None:
        raise PingRefused(404, "not found")
    job = _authenticated_job(match[1], match[2], authorization, tokens)
    methods = POST_ONLY if job in post_only else METHODS
    if method not in methods:
        raise PingRefused(405, _how_to_report(method, job, methods), methods)
    kind, exit_code = match[3] or PING_SUCCESS, None
    if kind.removeprefix("-").isdigit():
        exit_code = int(kind)
        kind = PING_FAIL if exit_code else PING_SUCCESS
    try:
        parameters = dict(parse_qsl(query, keep_blank_values=True, errors="replace", max_num_fields=10))
    except ValueError:
        raise PingRefused(400, "the query cannot be read; known: rid, rows, bytes") from None
    rid = parameters.get("rid", "")
    if rid and not _RID.fullmatch(rid):
        raise PingRefused(400, "rid: 1 to 100 of A-Z a-z 0-9 _ . : -")
    texts = {name: text for name in ("rows", "bytes") if (text := parameters.get(name, "").strip(" "))}
    numbers = {name: int(text) for name, text in texts.items() if _NUMBER.fullmatch(text)}
    unread = tuple((name, masked_head(text, TEXT_CHARS)) for name, text in texts.items() if name not in numbers)
    return PingRequest(job, kind, rid, exit_code, numbers.get("rows"), numbers.get("bytes"), unread)


def _how_to_report(method: str, job: str, methods: Sequence[str]) -> str:
    return (
        f"This address receives the reports of the job {job} for Headway. {method} reports nothing;"
        f" {', '.join(methods)} does.\nFix: report success by {_CURL}\nand what else there is by ADDRESS/start,"
        " ADDRESS/fail, ADDRESS/log or ADDRESS/EXIT_STATUS"
    )


def _authenticated_job(endpoint: str, name: str, authorization: str, tokens: Mapping[str, bytes]) -> str:
    """The job whose token was sent. Every token is compared, in constant time, whatever the first ones gave."""
    bearer = _BEARER.fullmatch(authorization)
    token = name if endpoint == "ping" else bearer[1] if bearer else ""
    sent = token_digest(token)
    owners = [job for job, token in tokens.items() if hmac.compare_digest(sent, token)]
    if not owners or (endpoint == "jobs" and name not in owners):
        raise PingRefused(404 if endpoint == "ping" else 401, "no such token")
    return owners[0]


LOG_BYTES = 65536
"""Of a run's log, its end is kept."""
DUPLICATE_SECONDS = 10.0
"""Without a rid, the same kind of report within that time is a repeat, sent because its reply was lost."""
RID_SEPARATOR = "~"
"""Never part of a rid: the text behind it distinguishes runs with the same rid."""
RESTART_SECONDS = 30.0
"""After the end of a run that was started: another start under its rid is another run, no late news."""
RID_EXPIRY_SECONDS = 600.0
"""After its end: whatever comes under its rid is about another run. Its sender has one rid for all."""
OPEN_RID_EXPIRY_SECONDS = 43200.0
"""After its start: another start under its rid is another run. Before that it may be a sign of life."""
OVERTAKEN = "overtaken"
"""A start whose end never came, and another start did."""


@dataclass(frozen=True, slots=True)
class PingArrival:
    """An arrival by our clocks: seconds since the epoch, and since the boot (monotonic)."""

    wall: float
    boot: str
    up: float

    def since(self, earlier: PingArrival) -> float:
        """Seconds that really passed: changes of the wall clock count only across a reboot."""
        passed = self.up - earlier.up if self.boot == earlier.boot else self.wall - earlier.wall
        return max(0.0, passed)


@dataclass(frozen=True, slots=True)
class HeartbeatRun:
    """One run by its reports. `id`: 0 before it is in the spool."""

    id: int
    job: str
    rid: str
    first: PingArrival
    """Its first report."""
    started: float | None = None
    """Seconds since the epoch; None if no start was reported before its end."""
    ended: float | None = None
    kind: str = PING_START
    """START, SUCCESS, FAIL or OVERTAKEN."""
    exit_code: int | None = None
    rows: int | None = None
    size: int | None = None
    log: bytes = b""
    left_out: int = 0
    """Bytes of the log before `log`."""

    @property
    def is_open(self) -> bool:
        return self.ended is None


def open_run(ping: PingRequest, at: PingArrival) -> HeartbeatRun:
    run = HeartbeatRun(0, ping.job, ping.rid, at)
    return replace(run, started=at.wall) if ping.kind == PING_START else run


def apply_report(run: HeartbeatRun, ping: PingRequest, at: PingArrival, body: bytes, left_out: int = 0) -> HeartbeatRun:
    """The run after one more report; unchanged by a repeat. `left_out`: bytes of the body before `body`."""
    if ping.kind == PING_LOG:
        return _append_log(run, body, left_out)
    if run.id if ping.kind == PING_START else not run.is_open and run.kind in (ping.kind, PING_FAIL):
        return run
    rows, size = run.rows if ping.rows is None else ping.rows, run.size if ping.size is None else ping.size
    after = _append_log(replace(run, rows=rows, size=size), body, left_out)
    if ping.kind == PING_START:
        return after
    ended = at.wall if run.started is None else run.started + at.since(run.first)
    return replace(after, kind=ping.kind, exit_code=ping.exit_code, ended=ended)


def overtake_run(run: HeartbeatRun, at: PingArrival) -> HeartbeatRun:
    return replace(run, kind=OVERTAKEN, ended=run.first.wall + at.since(run.first))


def is_later_run(run: HeartbeatRun, ping: PingRequest, at: PingArrival) -> bool:
    if run.ended is None:
        return ping.kind == PING_START and at.since(run.first) > OPEN_RID_EXPIRY_SECONDS
    since_end = at.since(run.first) - max(0.0, run.ended - run.first.wall)
    was_started = ping.kind == PING_START and run.started is not None
    return ping.kind != PING_LOG and since_end > (RESTART_SECONDS if was_started else RID_EXPIRY_SECONDS)


def is_repeat(run: HeartbeatRun, ping: PingRequest, at: PingArrival) -> bool:
    """Whether a report without a rid repeats the last report of the job's latest run without one."""
    if ping.kind == PING_START:
        return run.is_open and at.since(run.first) < DUPLICATE_SECONDS
    if run.ended is None or run.kind != ping.kind or run.exit_code != ping.exit_code:
        return False
    ran = run.ended - run.started if run.started is not None else 0.0
    return at.since(run.first) - ran < DUPLICATE_SECONDS


def _append_log(run: HeartbeatRun, body: bytes, left_out: int) -> HeartbeatRun:
    if not body and not left_out:
        return run
    if not body:  # it was too large to be read: the earlier log is better than none
        return replace(run, left_out=run.left_out + left_out)
    whole = body if left_out else run.log + body
    before = run.left_out + (len(run.log) if left_out else 0) + left_out
    cut = max(0, len(whole) - LOG_BYTES)
    return replace(run, log=whole[cut:], left_out=before + cut)


STATES = {PING_SUCCESS: RunState.SUCCEEDED, PING_FAIL: RunState.FAILED, OVERTAKEN: RunState.LOST}
OVERTAKEN_MESSAGE = "another start came, and never an end of this one"


def job_record(name: str, settings: HeartbeatJob, zone: str) -> JobRecord:
    """The job from the settings: nothing else is known before it reports."""
    clock = Schedule("debian-cron", settings.schedule, zone, settings.schedule) if settings.schedule else None
    definition = f"reports its runs: {settings.title or name}"
    return JobRecord(
        name, settings.title or name, clock or Schedule("none", text="whenever it reports"), definition=definition,
        definition_hash=definition,
    )  # fmt: skip


def run_record(run: HeartbeatRun, settings: HeartbeatJob | None, at: PingArrival) -> RunRecord:
    """The run's record now: without an end in its time it is lost."""
    state, evidence, message, ended = STATES.get(run.kind, RunState.RUNNING), RunEvidence.NATIVE, "", run.ended
    if run.kind == OVERTAKEN:
        evidence, message = RunEvidence.INFERRED, OVERTAKEN_MESSAGE
    elif run.is_open and settings is not None and at.since(run.first) > settings.lost_after.total_seconds():
        state, evidence = RunState.LOST, RunEvidence.INFERRED
        ended = run.first.wall + settings.lost_after.total_seconds()
        message = f"it started, and no end was reported within {settings.lost_after}"
    elif run.kind == PING_FAIL:
        lines = run.log[-4096:].decode("utf-8", "surrogateescape").strip().splitlines()
        message = f"exit {run.exit_code}" if run.exit_code is not None else "it reported fail"
        message = lines[-1][-500:] if lines else message
    context = {"rid": run.rid.partition(RID_SEPARATOR)[0] or None, "rows": run.rows, "bytes": run.size}
    return RunRecord(
        job=run.job,
        attempt_key=attempt_key(run),
        state=state,
        native_state=f"exit {run.exit_code}" if run.exit_code is not None else run.kind,
        evidence=evidence,
        started_at=epoch_instant(run.started),
        ended_at=epoch_instant(ended),
        exit_code=run.exit_code,
        message=message,
        native_ref=json.dumps({"id": run.id}),
        context={name: value for name, value in context.items() if value is not None},
    )


def attempt_key(run: HeartbeatRun) -> str:
    return run.rid or f"#{run.id}-{int(run.first.wall)}"


def parse_run_number(native_ref: str) -> int | None:
    number = reference_row(native_ref).get("id")
    return number if isinstance(number, int) else None
