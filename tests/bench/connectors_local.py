"""The figures of `connectors` for kinds without HTTP or SQL: hosts, the inbound endpoint, and kinds without a source.

The scripts of cron and systemd are real and run on this machine; their processor time belongs to other processes and is
not counted, like that of a host."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from connectors.cron.connector import CronConnector
from connectors.files.connector import open_files
from connectors.files.options import FilesOptions
from connectors.heartbeat.connector import HeartbeatConnector
from connectors.heartbeat.parse import PING_FAIL, PING_START, PING_SUCCESS, PingRequest
from connectors.heartbeat.spool import Spool, current_time
from connectors.manual.connector import ManualConnector
from connectors.manual.options import ManualOptions
from connectors.replay.client import _load
from connectors.replay.connector import ReplayConnector
from connectors.replay.options import ReplayOptions
from connectors.sdk.contract import Connector
from connectors.sdk.transport.call_limits import count_request
from connectors.sdk.transport.ssh import CompletedCommand
from connectors.systemd.connector import SystemdConnector
from connectors.tables.client import TableReader
from connectors.tables.connector import TablesConnector
from connectors.tables.options import TablesOptions
from tests.connectors.heartbeat.support import options_of, secret
from tests.connectors.replay.nights import DAY, at, document, files
from tests.fakes.eventbridge import FakeScheduler
from tests.fakes.ssh_local import ME, LocalHost
from tests.fakes.systemd import SystemdHost

Made = tuple[Connector, Callable[[], list[bytes]]]
JOBS = 100
_temporary_folders: list[tempfile.TemporaryDirectory[str]] = []
"""Gone with the process."""


def folder() -> Path:
    _temporary_folders.append(tempfile.TemporaryDirectory(prefix="headway-bench-"))
    return Path(_temporary_folders[-1].name)


class ReplayedReplies(httpx.BaseTransport):
    """Answers as it was answered the first time; `bodies` are those of the present reading."""

    def __init__(self, handler: Callable[[httpx.Request], httpx.Response]) -> None:
        self.handler = handler
        self.answers: dict[tuple[str, str, bytes], httpx.Response] = {}
        self.bodies: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        key = self.key(request)
        if key not in self.answers:
            self.answers[key] = self.handler(request)
        response = self.answers[key]
        self.bodies.append(response.content)
        return httpx.Response(response.status_code, headers=response.headers, content=response.content)

    def key(self, request: httpx.Request) -> tuple[str, str, bytes]:
        return request.method, str(request.url), request.read()


class ReplayedWindow(ReplayedReplies):
    """The same where a request names the present instant: its page counts."""

    def key(self, request: httpx.Request) -> tuple[str, str, bytes]:
        body = request.read()
        page = json.loads(body).get("continuationToken", "") if body.startswith(b"{") else ""
        return request.method, str(request.url), str(page).encode()


class ReplayedAws(ReplayedReplies):
    """The same for what botocore reads: answers that nobody has read yet."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(response.content))


def read_whole(handler: Callable[[httpx.Request], httpx.Response]) -> Callable[[httpx.Request], httpx.Response]:
    """Its answers, read."""

    def handle(request: httpx.Request) -> httpx.Response:
        response = handler(request)
        response.read()
        return response

    return handle


class Session:
    """A session that counts, and keeps what the host answered, as JSON: each line a text of a list."""

    def __init__(self, host: Any) -> None:
        self.host, self.address = host, host.address
        self.bodies: list[bytes] = []

    def run(self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False) -> CompletedCommand:
        count_request()
        done: CompletedCommand = self.host.run(stdin, argv, timeout_seconds, once)
        self.bodies.append(json.dumps(done.stdout.decode("utf-8", "replace").splitlines()).encode())
        return done

    def close(self) -> None:
        """There is no connection to close."""


def cron(runs: int) -> Made:
    """Starts and ends of a hundred jobs in one log, as `cron -L 7` writes them."""
    host = LocalHost(folder() / "db07")
    host.crontab.write_text("".join(f"# headway: job_{n}\n{n % 60} * * * * /opt/job_{n}\n" for n in range(JOBS)))
    host.crontab.chmod(0o600)
    began, lines = time.time() - 20 * runs - 60, []
    for number in range(runs):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(began + 20 * number))
        text = f"({ME}) {{}} (/opt/job_{number % JOBS})"
        message = f"{stamp}.000000+00:00 db07 CRON[{1000 + number}]: {text}\n"
        lines += [message.format("CMD"), message.format("END")]
    host.log.write_text("".join(lines))
    session = Session(host)
    return CronConnector(host.options(), "db07", lambda _: "", session), lambda: session.bodies


def arrivals(runs: int) -> Made:
    """Old files of one job; names and times are read of the folder itself."""
    place = folder()
    for number in range(runs):
        path = place / f"orders_{number}.csv"
        path.write_bytes(b"x")
        os.utime(path, (time.time() - 2 * 86_400,) * 2)
    file = {"path": f"{place}/orders_*.csv", "at": "03:00"}
    hosts = [{"name": "here", "local": True}]
    options = FilesOptions.model_validate({"hosts": hosts, "files": {"orders": file}})
    return open_files(options, "here", lambda _: ""), list


def systemd(runs: int) -> Made:
    """Runs of one timer's service, all of the last hours."""
    host = SystemdHost(folder() / "db07")
    began = time.time() - 4 * runs - 60
    host.ran("backup", ago=time.time() - began)
    template = [json.loads(line) for line in host.world.entries()]
    lines: list[str] = []
    for number in range(runs):
        for entry in template:
            moved = int(entry["__REALTIME_TIMESTAMP"]) + 4_000_000 * number
            values = {name: value for name, value in entry.items() if "INVOCATION" not in name}
            ids = {name: f"{number:032x}" for name in entry if "INVOCATION" in name}
            cursor = f"s=1;i={len(lines):x};b={entry['_BOOT_ID']}"
            lines.append(json.dumps({**values, **ids, "__REALTIME_TIMESTAMP": str(moved), "__CURSOR": cursor}))
    (host.folder / "journal.jsonl").write_text("\n".join(lines) + "\n")
    session = Session(host)
    return SystemdConnector(host.options(), "db07", lambda _: "", session), lambda: session.bodies


def heartbeat(runs: int) -> Made:
    """Starts and ends that were reported; beside them the same reports as JSON."""
    options = options_of(folder())
    spool, reports = Spool(options.spool_file), []
    for number in range(runs):
        ping = PingRequest("export", PING_START, rid=f"night-{number}")
        reports += [
            ping,
            replace(ping, kind=PING_FAIL if number % 50 == 0 else PING_SUCCESS, exit_code=number % 50 == 0 or 0),
        ]
    moment = current_time()
    spool.mark_listening(moment)
    spool.take([(request, b"", 0) for request in reports], moment)
    spool.mark_listening(moment)
    spool.close()
    rows = json.dumps(
        [
            {"job": request.job, "word": request.kind, "rid": request.rid, "exit": request.exit_code}
            for request in reports
        ]
    )
    return HeartbeatConnector(options, secret, lambda: moment), lambda: [rows.encode()]


def replay(runs: int) -> Made:
    """A night's file with so many runs of its history; beside it the file's own JSON."""
    place, details = folder(), document()
    details["recorded"]["hosts/db07:calm"] = [[2 * DAY * number / runs, 1, 1, 0] for number in range(runs)]
    (place / "night.json").write_text(json.dumps(details))
    options = ReplayOptions.model_validate({**files(place, at(24)), "system": "hosts"})
    _load.cache_clear()  # the options read it too
    return ReplayConnector(options, "db07"), lambda: [(place / "night.json").read_bytes()]


def lake(runs: int) -> Made:
    """Commits of one Delta table: their log is written as deltalake writes it."""
    import pyarrow as pa
    from deltalake import write_deltalake

    place = folder() / "orders"
    write_deltalake(str(place), pa.table({"id": [1]}))
    template = (place / "_delta_log" / f"{0:020}.json").read_text().splitlines()
    commit = next(line for line in template if "commitInfo" in line)
    for number in range(1, runs):
        (place / "_delta_log" / f"{number:020}.json").write_text(commit)
    options = TablesOptions.model_validate({"tables": {"orders": {"delta": str(place)}}})
    return TablesConnector(options, TableReader(options, lambda _: "")), list


def manual(runs: int) -> Made:
    """Steps that began to wait, each day of ten years; they are worked out from the config, so nothing is read."""
    days = 3650
    steps = {f"step_{number}": {"at": "05:00"} for number in range(max(1, runs // days))}
    return Following(ManualConnector(ManualOptions.model_validate({"steps": steps})), days), list


class Following:
    """The steps of the last so many days: a first poll reads a short past only."""

    def __init__(self, connector: ManualConnector, days: int) -> None:
        self._connector = connector
        self._first = json.dumps({"until": (datetime.now(UTC) - timedelta(days=days)).isoformat()})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connector, name)

    def poll(self, cursor: str, open_runs: Any, timeout_seconds: float) -> Any:
        return self._connector.poll(cursor or self._first, open_runs, timeout_seconds)


def schedules(many: int) -> tuple[Connector, ReplayedReplies]:
    """A connector of so many EventBridge schedules, whose answers were read once already."""
    fake = FakeScheduler()
    for number in range(many):
        fake.schedule(f"night_{number}")
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench")
    stored = ReplayedAws(read_whole(fake.handle_request))
    fake.connector(stored).inventory("", 600)
    stored.bodies.clear()
    return fake.connector(stored), stored
