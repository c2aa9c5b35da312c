"""Logs of jobs, in chunks.

GitHub redirects to its log store for a minute; the redirect is followed without the token. A log exists once its job
has ended. The log of a run is that of its failed jobs, or of all jobs, in the order in which they ended.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import NonNegativeInt, PositiveInt

from connectors.github_actions import parse
from connectors.github_actions.client import GitHubClient
from connectors.github_actions.inventory import WorkflowFiles
from connectors.github_actions.parse import GitHubWorkflow
from connectors.github_actions.runs import parse_reference, read_job_rows
from connectors.sdk import fields, log_chunks
from connectors.sdk.errors import AccessRefused, NotSupported, SystemUnreachable
from connectors.sdk.records import LogChunk, RunRef
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpEndpoint, HttpReply, Transport
from connectors.sdk.transport.loopback import is_loopback

CONTENT_RANGE = re.compile(r"bytes (?:\d+-\d+|\*)/(\d{1,15})")


@dataclass(frozen=True, slots=True)
class GitHubLogPosition:
    """Position in the logs of an attempt's jobs: at a byte of the job at `index`."""

    run: PositiveInt
    attempt: PositiveInt
    task: str
    jobs: tuple[int, ...] = ()
    index: NonNegativeInt = 0
    byte: NonNegativeInt = 0


class GitHubLogReader:
    def __init__(
        self, client: GitHubClient, definitions: WorkflowFiles, ca_file: Path | None, transport: Transport
    ) -> None:
        """`ca_file` and `transport` are for the server that stores logs: it is another one, and gets no token."""
        self._client, self._definitions, self._ca_file, self._transport = client, definitions, ca_file, transport

    def read(self, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
        if start is not None:
            return self._go_on(log_chunks.log_position(GitHubLogPosition, start), limit_bytes)
        ref = parse_reference(run)
        if ref is None:
            raise NotSupported(f"{run.job} {run.period_key} has no run in GitHub, and so no log")
        place, is_open = self._jobs(GitHubLogPosition(ref.run, ref.attempt, ref.task))
        return self._tail(place, limit_bytes, is_open)

    def _jobs(self, place: GitHubLogPosition) -> tuple[GitHubLogPosition, bool]:
        """The position with all ended jobs, known ones first, and whether more will end."""
        chosen = [parse.parse_job(row) for row in read_job_rows(self._client, place.run, place.attempt)]
        if place.task:
            reply = self._client.run(place.run)
            path = parse.workflow_path(reply.table()) if reply.status != 404 else ""
            definition = self._definitions.of(path) or GitHubWorkflow()
            chosen = [job for job in chosen if definition.task_of(job.display_name) == place.task]
        red = [job for job in chosen if job.state.is_red]
        is_open = any(job.state.is_open for job in chosen)
        ended = sorted((job for job in (red or chosen) if job.ended_at), key=lambda job: (str(job.ended_at), job.id))
        fresh = tuple(job.id for job in ended if job.id not in place.jobs)
        return replace(place, jobs=place.jobs + fresh), is_open

    def _tail(self, place: GitHubLogPosition, limit_bytes: int, is_open: bool) -> LogChunk:
        data, cut, ended = b"", False, 0
        for index in range(len(place.jobs) - 1, -1, -1):
            room = limit_bytes - len(data)
            if room <= 0:
                cut = True
                break
            piece, first, total = self._piece(place.jobs[index], None, room)
            data, cut = piece + data, cut or first > 0
            ended = total if index == len(place.jobs) - 1 else ended
        text = log_chunks.from_character(data).decode("utf-8", "surrogateescape")
        after = replace(place, index=max(0, len(place.jobs) - 1), byte=ended)
        return LogChunk(text, fields.as_json(after) if is_open else None, cut=cut)

    def _go_on(self, place: GitHubLogPosition, limit_bytes: int) -> LogChunk:
        is_open = False
        if place.index >= len(place.jobs) - 1:
            place, is_open = self._jobs(place)
        if not place.jobs:
            return LogChunk("", fields.as_json(place) if is_open else None)
        place = replace(place, index=min(place.index, len(place.jobs) - 1))
        piece, first, total = self._piece(place.jobs[place.index], place.byte, limit_bytes)
        piece = log_chunks.to_character(piece) or piece
        text, end = piece.decode("utf-8", "surrogateescape"), first + len(piece)
        is_last = place.index + 1 == len(place.jobs)
        following = (
            replace(place, byte=end) if end < total or is_last else replace(place, index=place.index + 1, byte=0)
        )
        has_more = end < total or not is_last
        return LogChunk(text, fields.as_json(following) if has_more or is_open else None, has_more)

    def _piece(self, job: int, first: int | None, limit_bytes: int) -> tuple[bytes, int, int]:
        """Bytes of a job's log from `first` on (None: its end), their position, and the total. Empty if GitHub has no
        such log or deleted it."""
        place = self._client.log_place(job)
        if place.status in (404, 410):
            return b"", 0, 0
        if place.status != 302:
            raise SystemUnreachable(f"{place.place} is not a redirect to a log")
        url = urlsplit(place.headers.get("location", ""))
        # A store on this machine is believed only of a GitHub on this machine.
        own_host = urlsplit(self._client.endpoint.base_url).hostname or ""
        is_local = is_loopback(own_host) and is_loopback(url.hostname or "")
        if not url.hostname or not (url.scheme == "https" or (url.scheme == "http" and is_local)):
            raise AccessRefused(
                f"GitHub names {url.scheme}://{url.hostname or ''} as the place of a log: only https is followed"
            )
        endpoint = HttpEndpoint(
            "GitHub's store of logs", f"{url.scheme}://{url.netloc}", self._ca_file, self._transport
        )
        path = f"{url.path}?{url.query}" if url.query else url.path
        try:
            return _read_range(endpoint, path, url.path, self._client.deadline, first, limit_bytes)
        finally:
            endpoint.close()


def _read_range(
    endpoint: HttpEndpoint, path: str, call_text: str, deadline: Deadline, first: int | None, limit_bytes: int
) -> tuple[bytes, int, int]:
    """Its end is requested by its length: the store supports no range from the end."""

    def request_range(since: int, until: int) -> HttpReply:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", "Range": f"bytes={since}-{until}"}
        return endpoint.call("GET", path, deadline, headers=headers, accept={404, 410, 416}, shown=call_text)

    total = None
    if first is None:
        reply = request_range(0, 0)
        if reply.status == 200:
            whole = reply.body
            tail = whole[-limit_bytes:] if limit_bytes else b""
            return tail, len(whole) - len(tail), len(whole)
        total = _total_bytes(reply)
        first = max(0, total - limit_bytes)
        if not total:
            return b"", 0, 0
    reply = request_range(first, first + max(1, limit_bytes) - 1)
    if reply.status == 200:
        return reply.body[first : first + limit_bytes], first, len(reply.body)
    if reply.status != 206:
        return b"", first, total if total is not None else _total_bytes(reply)
    return reply.body[:limit_bytes], first, _total_bytes(reply)


def _total_bytes(reply: HttpReply) -> int:
    match = CONTENT_RANGE.fullmatch(reply.headers.get("content-range", "").strip())
    if match is None and reply.status == 206:
        raise SystemUnreachable(f"{reply.place} does not say how long the log is")
    return int(match[1]) if match else 0
