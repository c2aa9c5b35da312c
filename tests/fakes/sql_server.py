"""A SQL Server with Agent in memory, at the boundary of python-tds: a module whose connections answer the statements of
the profile. A fake by Microsoft's description of msdb; no statement is parsed, and no SQL Server was seen.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytds

Row = dict[str, Any]
LOAD, MART = (str(UUID(int=number)).upper() for number in (10, 11))
ZONE = "Europe/Berlin"
STATES = ("failed", "succeeded", "retry", "canceled", "in progress")
OPEN_END = 2**31 - 1


def failure(number: int, text: str) -> pytds.tds_base.DatabaseError:
    error = pytds.tds_base.ProgrammingError(text)
    error.msg_no = number
    return error


class FakeSqlServer:
    """The tables of msdb that the views of the profile read, and what its procedures do. `connect` is the driver's."""

    Error = pytds.tds_base.Error

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
        self.jobs: list[Row] = [_job(LOAD, "Load orders"), _job(MART, "Revenue mart")]
        self.history: list[Row] = []
        self.activity: dict[str, datetime] = {}
        self.requests: list[Row] = []
        self.hangs: set[str] = set()
        self.notes: dict[str, str] = {}
        self.forbidden = ""
        self.agent: str | None = "Running"
        """Status of Agent's service; None where the view does not list it."""
        self.refuses_connects: Exception | None = None
        self.loses_answer_of = ""
        self.number = 100
        self.statements: list[str] = []
        self.spoil: Any = None
        self.limit_of_pages = 10**6
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self.listener.getsockname()[1]
        for hours in range(6, 1, -1):
            self.ran(MART, 1, self.now - timedelta(hours=hours))
            self.ran(LOAD, 0, self.now - timedelta(hours=hours, minutes=-20))

    # -- Agent
    def ran(self, job: str, status: int, began: datetime, seconds: int = 300, message: str = "") -> Row:
        """The rows of a run that ended: two steps, the outcome last."""
        text = message or ("The job failed." if status == 0 else "The job succeeded.")
        self._record(job, 1, "extract", 1, began, "Executed as user: etl.")
        self._record(job, 2, "load", status, began + timedelta(seconds=60), "no such table" if status == 0 else "ok")
        return self._record(job, 0, "(Job outcome)", status, began, text, seconds)

    def _record(self, job: str, step: int, name: str, status: int, at: datetime, text: str, seconds: int = 60) -> Row:
        self.number += 1
        row = {"instance_id": self.number, "job_id": job, "step_id": step, "step_name": name, "run_status": status,
               "began": local(at), "seconds": seconds, "message": text}  # fmt: skip
        self.history.append(row)
        return row

    def tick(self) -> None:
        """Half a minute passes: requests start, and what runs ends, unless it hangs."""
        self.now += timedelta(seconds=30)
        for job, began in list(self.activity.items()):
            if job not in self.hangs:
                del self.activity[job]
                self.ran(job, 1, began, int((self.now - began).total_seconds()))
        for request in self.requests:
            if not request["started"] and request["job_id"] not in self.activity:
                request["started"], self.activity[request["job_id"]] = True, self.now

    def purge(self, until: int) -> None:
        self.history = [row for row in self.history if row["instance_id"] > until]

    # -- its views
    def starts(self) -> Iterator[Row]:
        for row in self.history:
            if row["step_id"] == 0:
                known = row["run_status"] in range(len(STATES))
                yield {**row, "state": STATES[row["run_status"]] if known else str(row["run_status"])}
        for job, began in self.activity.items():
            yield {"instance_id": None, "job_id": job, "began": local(began), "seconds": None, "message": None,
                   "state": "running"}  # fmt: skip

    def runs(self) -> list[Row]:
        starts, first = list(self.starts()), {}
        for request in self.requests:
            window = [row for row in starts if row["job_id"] == request["job_id"]
                      and request["requested"] <= row["began"] <= request["until"]]  # fmt: skip
            first[request["action_key"]] = min(window, key=lambda row: int(row["began"]), default=None)
        rows = []
        for row in starts:
            key = next((key for key, results in first.items() if results is row), None)
            text = str(row["began"])
            rows.append({
                "instance_id": row["instance_id"], "job_id": row["job_id"], "action_key": key, "began": row["began"],
                "run_id": key or f"{row['job_id']}/{row['began']}", "state": row["state"],
                "started": f"{text[:8]}T{text[8:]}", "seconds": row["seconds"], "message": row["message"],
            })  # fmt: skip
        waiting = (key for key, results in first.items() if results is None)
        by_key = {request["action_key"]: request for request in self.requests}
        rows += [
            {**dict.fromkeys(rows[0]), "job_id": by_key[key]["job_id"], "action_key": key, "run_id": key,
             "state": "requested"}
            for key in waiting if by_key[key]["until"] >= local(self.now)
        ]  # fmt: skip
        return sorted(rows, key=lambda row: row["instance_id"] or -1)

    # -- its procedures
    def start_job(self, job: str, action_key: str, **_: Any) -> None:
        if job in self.activity:
            raise failure(50000, "the job is running")
        if any(row["action_key"] == action_key for row in self.requests):
            raise failure(2627, "Violation of PRIMARY KEY constraint")
        until = local(self.now + timedelta(minutes=10))
        self.requests.append(
            {"job_id": job, "action_key": action_key, "requested": local(self.now), "until": until, "started": False}
        )

    def stop_job(self, run: str, **_: Any) -> None:
        row = next((row for row in self.runs() if row["run_id"] == run and row["state"] == "running"), None)
        if row is None:
            raise failure(50000, "this run is not running")
        self.ran(row["job_id"], 3, self.activity.pop(row["job_id"]), 20, "The job was stopped by user headway.")

    def set_hold(self, job: str, enabled: str, note: str) -> None:
        self.notes = {**{key: text for key, text in self.notes.items() if key != job}, **({job: note} if note else {})}
        next(row for row in self.jobs if row["job_id"] == job)["enabled"] = int(enabled)

    # -- the driver
    def connect(self, *_: Any, **given: Any) -> FakeConnection:
        self.listener.accept()[0].close()
        if self.refuses_connects is not None:
            raise self.refuses_connects
        assert given["timeout"] > 0
        assert given["autocommit"]
        return FakeConnection(self)


class FakeConnection:
    def __init__(self, server: FakeSqlServer) -> None:
        self._server = server

    def cursor(self) -> FakeCursor:
        return FakeCursor(self._server)

    def close(self) -> None:
        pass


class FakeCursor:
    def __init__(self, server: FakeSqlServer) -> None:
        self._server, self.description = server, list[tuple[str]]()
        self._rows: Iterator[tuple[Any, ...]] = iter(())

    def execute(self, statement: str, given: Row | None = None) -> FakeCursor:
        assert not re.search(r"\{[a-z.]+\}", statement), f"a place is not bound: {statement}"
        text = statement % dict.fromkeys(given, "?") if given is not None else statement
        self._server.statements.append(text)
        rows = self._answer(statement, given or {})
        self.description = [(name,) for name in rows[0]] if rows else []
        self._rows = iter([tuple(row.values()) for row in rows])
        return self

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchmany(self, size: int) -> list[Any]:
        return list(islice(self._rows, size))

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def nextset(self) -> None:
        return None

    def _answer(self, statement: str, given: Row) -> list[Row]:
        server = self._server
        if server.forbidden and server.forbidden in statement:
            raise failure(229, f"The SELECT permission was denied on the object '{server.forbidden}'.")
        if statement.startswith("SET "):
            return []
        if "SYSUTCDATETIME" in statement:
            return [{"now": server.now.replace(tzinfo=None), "version": "16.0.4135.4"}]
        if "HAS_PERMS_BY_NAME" in statement:
            return [{"may": 0 if server.forbidden == given["name"] else 1}]
        if match := re.match(r"EXEC headway\.(\w+) ", statement):
            named = dict(re.findall(r"@(\w+) = (?:%\((\w+)\)s|'')", statement))
            getattr(server, match[1])(**{name: given.get(place, "") for name, place in named.items()})
            if server.loses_answer_of == match[1]:
                raise ConnectionResetError("Connection reset by peer")
            return []
        return self._selected(statement, given)

    def _selected(self, statement: str, given: Row) -> list[Row]:
        server = self._server
        if "AS lost" in statement:
            first, last = int(given["cursor"]), int(given["until"])
            return [{"lost": last - first - sum(first < row["instance_id"] <= last for row in server.history)}]
        if "dm_server_services" in statement:
            return [{"status_desc": server.agent}] if server.agent else []
        if "headway.jobs" in statement:
            rows = [{**row, "job_id": UUID(row["job_id"]), "note": server.notes.get(row["job_id"])}
                    for row in server.jobs]  # fmt: skip
        elif "JOIN headway.steps" in statement:
            return self._log(given["run"])
        else:
            rows = self._runs(statement, given)
        if server.spoil is not None:
            rows = server.spoil([dict(row) for row in rows], "headway.jobs" in statement)
        match = re.match(r"SELECT TOP \((\d+)\) q\.\*", statement)
        assert match, f"unbounded: {statement}"
        return rows[: min(int(match[1]), server.limit_of_pages)]

    def _runs(self, statement: str, given: Row) -> list[Row]:
        document, after = json.loads(given["open"]), int(given["cursor"])
        rows = [
            {name: value for name, value in row.items() if name != "began"}
            for row in self._server.runs()
            if row["instance_id"] is None or row["instance_id"] > after or row["run_id"] in document
        ]
        if "%(missing)s" in statement:
            numbers = json.loads(given["missing"])
            return [row for row in rows if row["instance_id"] in numbers]
        return [row for row in rows if row["action_key"] == given["key"]] if "= %(key)s" in statement else rows

    def _log(self, run: str) -> list[Row]:
        row = next((row for row in self._server.runs() if row["run_id"] == run), None)
        if row is None or row["began"] is None:
            return []
        earlier = (start["instance_id"] or 0 for start in self._server.starts()
                   if start["job_id"] == row["job_id"] and start["began"] < row["began"])  # fmt: skip
        after, last = max(earlier, default=0), row["instance_id"] or OPEN_END
        return [
            {"": f"{step['began']} step {step['step_id']} {step['step_name']}: {step['message']}"}
            for step in self._server.history
            if step["job_id"] == row["job_id"] and after < step["instance_id"] <= last
        ]


def _job(job: str, name: str) -> Row:
    return {"job_id": job, "name": name, "enabled": 1, "owner": "etl", "note": None,
            "schedule": "by Nightly", "next_at": "2030-01-01T03:00:00", "definition": f"load: EXEC {name}"}  # fmt: skip


def local(at: datetime) -> int:
    """As sysjobhistory has it: yyyymmddhhmmss in the server's zone."""
    return int(at.astimezone(ZoneInfo(ZONE)).strftime("%Y%m%d%H%M%S"))
