"""Logs of jobs, in pieces. GitHub answers with a redirect to its store, good for a minute; it is followed without the
token, which is nobody's business there. A log is there once its job has ended.

The log of a run is that of its jobs that are not green, or of all, in the order in which they ended.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from connectors import characters, fields
from connectors.contract import AccessRefused, LogChunk, NotSupported, RecordUnreadable, RunRef, SystemUnreachable
from connectors.github_actions import parse
from connectors.github_actions.attempts import job_rows
from connectors.github_actions.client import GitHubClient
from connectors.github_actions.definitions import Definitions
from connectors.github_actions.poll import reference
from connectors.transport.http import LOOPBACK, Deadline, HttpDoor, Reply

TOTAL = re.compile(r"bytes (?:\d+-\d+|\*)/(\d{1,15})")


@dataclass(frozen=True, slots=True)
class Place:
    """Where reading stands: in the logs of these jobs of an attempt, at a byte of the one at `index`."""

    run: int
    attempt: int
    task: str
    jobs: tuple[int, ...]
    index: int = 0
    byte: int = 0

    def told(self) -> str:
        """As JSON text."""
        row = {"run": self.run, "attempt": self.attempt, "task": self.task, "jobs": self.jobs}
        return json.dumps({**row, "index": self.index, "byte": self.byte})


class Store:
    """Where the bytes of logs are: another server, another door, no token."""

    def __init__(self, client: GitHubClient, ca_file: Path | None, transport: httpx.BaseTransport | None) -> None:
        self._client, self._ca_file, self._transport = client, ca_file, transport

    def piece(self, job: int, first: int | None, limit_bytes: int) -> tuple[bytes, int, int]:
        """Bytes of a job's log from `first` on (None: its end), where they begin, and how many there are. None are
        there of a log that GitHub has not, or has deleted."""
        place = self._client.log_place(job)
        if place.status in (404, 410):
            return b"", 0, 0
        if place.status != 302:
            raise SystemUnreachable(f"{place.place} is no redirect to a log")
        url = urlsplit(place.headers.get("location", ""))
        self._check(url.scheme, url.hostname)
        door = HttpDoor("GitHub's store of logs", f"{url.scheme}://{url.netloc}", self._ca_file, self._transport)
        path = f"{url.path}?{url.query}" if url.query else url.path
        try:
            return _ranged(door, path, url.path, self._client.deadline, first, limit_bytes)
        finally:
            door.close()

    def _check(self, scheme: str, host: str | None) -> None:
        """A store on this machine is believed only of a GitHub on this machine."""
        is_local = (urlsplit(self._client.door.base_url).hostname or "") in LOOPBACK
        if host and (scheme == "https" or (scheme == "http" and host in LOOPBACK and is_local)):
            return
        raise AccessRefused(f"GitHub names {scheme}://{host or ''} as the place of a log: only https is followed")


class LogReader:
    """Reads logs of one repository."""

    def __init__(self, client: GitHubClient, definitions: Definitions, store: Store) -> None:
        self._client, self._definitions, self._store = client, definitions, store

    def read(self, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
        """As the contract says."""
        if start is not None:
            return self._go_on(_place(start), limit_bytes)
        at = reference(run)
        if at is None:
            raise NotSupported(f"{run.job} {run.period_key} has no run in GitHub, and so no log")
        place, is_open = self._jobs(Place(at[0], at[1], at[2], ()))
        return self._tail(place, limit_bytes, is_open)

    def _jobs(self, place: Place) -> tuple[Place, bool]:
        """The place with all jobs that have ended by now, and whether more are to come. Those that are known stay."""
        rows = [parse.job(row) for row in job_rows(self._client, place.run, place.attempt)]
        chosen = [one for one in rows if not place.task or self._is_of(place, one)]
        red = [one for one in chosen if one.state.is_red]
        is_open = any(one.state.is_open for one in chosen)
        ended = sorted((one for one in (red or chosen) if one.ended_at), key=lambda one: (str(one.ended_at), one.id))
        fresh = tuple(one.id for one in ended if one.id not in place.jobs)
        return replace(place, jobs=place.jobs + fresh), is_open

    def _is_of(self, place: Place, job: parse.Job) -> bool:
        reply = self._client.run(place.run)
        if reply.status == 404:
            return False
        definition = self._definitions.of(parse.path_of(reply.table()))
        return definition is not None and definition.task_of(job.shown) == place.task

    def _tail(self, place: Place, limit_bytes: int, is_open: bool) -> LogChunk:
        """From the end backwards, until there is enough."""
        data, cut, ended = b"", False, 0
        for index in range(len(place.jobs) - 1, -1, -1):
            room = limit_bytes - len(data)
            if room <= 0:
                cut = True
                break
            piece, first, total = self._store.piece(place.jobs[index], None, room)
            data, cut = piece + data, cut or first > 0
            ended = total if index == len(place.jobs) - 1 else ended
        text = characters.from_character(data).decode("utf-8", "surrogateescape")
        after = replace(place, index=max(0, len(place.jobs) - 1), byte=ended)
        return LogChunk(text, after.told() if is_open else None, cut=cut)

    def _go_on(self, place: Place, limit_bytes: int) -> LogChunk:
        is_open = False
        if place.index >= len(place.jobs) - 1:
            place, is_open = self._jobs(place)
        if not place.jobs:
            return LogChunk("", place.told() if is_open else None)
        piece, first, total = self._store.piece(place.jobs[place.index], place.byte, limit_bytes)
        piece = characters.to_character(piece) or piece
        end = first + len(piece)
        if end < total:
            return LogChunk(_text(piece), replace(place, byte=end).told(), more=True)
        if place.index + 1 < len(place.jobs):
            return LogChunk(_text(piece), replace(place, index=place.index + 1, byte=0).told(), more=True)
        return LogChunk(_text(piece), replace(place, byte=end).told() if is_open else None)


def _text(piece: bytes) -> str:
    return piece.decode("utf-8", "surrogateescape")


def _ranged(
    door: HttpDoor, path: str, shown: str, deadline: Deadline, first: int | None, limit_bytes: int
) -> tuple[bytes, int, int]:
    """Its end is asked for by its length: the store knows no range that counts from the end."""

    def asked(since: int, until: int) -> Reply:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", "Range": f"bytes={since}-{until}"}
        return door.call("GET", path, deadline, headers=headers, accept={404, 410, 416}, shown=shown)

    total = None
    if first is None:
        reply = asked(0, 0)
        if reply.status == 200:
            whole = reply.body
            kept = whole[-limit_bytes:] if limit_bytes else b""
            return kept, len(whole) - len(kept), len(whole)
        total = _total(reply)
        first = max(0, total - limit_bytes)
        if not total:
            return b"", 0, 0
    reply = asked(first, first + max(1, limit_bytes) - 1)
    if reply.status == 200:
        return reply.body[first : first + limit_bytes], first, len(reply.body)
    if reply.status != 206:
        return b"", first, total if total is not None else _total(reply)
    return reply.body[:limit_bytes], first, _total(reply)


def _total(reply: Reply) -> int:
    found = TOTAL.fullmatch(reply.headers.get("content-range", "").strip())
    if found is None and reply.status == 206:
        raise SystemUnreachable(f"{reply.place} does not tell how long the log is")
    return int(found[1]) if found else 0


def _place(start: str) -> Place:
    try:
        row = fields.table(json.loads(start))
        jobs = tuple(one for one in fields.rows(row.get("jobs")) if type(one) is int)
        index = min(max(fields.number(row, "index", 0), 0), max(0, len(jobs) - 1))
        byte = max(0, fields.number(row, "byte", 0))
        return Place(parse.id_of(row, "run"), parse.id_of(row, "attempt"), fields.words(row, "task"), jobs, index, byte)
    except (ValueError, RecursionError, RecordUnreadable) as error:
        raise NotSupported(f"this place in a log cannot be read back: {error}") from None
