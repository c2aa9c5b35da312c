"""An Oracle with its Scheduler in memory, at the boundary of oracledb: a module whose connections answer the statements
of the profile. A fake by Oracle's documents; no statement is parsed, and no Oracle was seen.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from types import SimpleNamespace
from typing import Any

import oracledb

Row = dict[str, Any]
LOAD, MART = "ETL.LOAD_ORDERS", "ETL.REVENUE_MART"


def failure(number: int, text: str) -> oracledb.DatabaseError:
    return oracledb.DatabaseError(SimpleNamespace(full_code=f"ORA-{number:05d}", text=text))


class FakeOracleScheduler:
    """The views of the profile over the Scheduler's log, and what its package does. `connect` is the driver's."""

    Error, DB_TYPE_CLOB = oracledb.Error, oracledb.DB_TYPE_CLOB

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
        self.enabled = {LOAD: True, MART: True}
        self.details: list[Row] = []
        self.running: dict[str, Row] = {}
        self.requests: dict[str, Row] = {}
        self.notes: dict[str, str] = {}
        self.retries: set[str] = set()
        """Jobs in state RETRY SCHEDULED: the Scheduler tries them again."""
        self.hangs: set[str] = set()
        self.forbidden = ""
        self.scheduler: str | None = "ENABLED"
        self.error: Exception | None = None
        self.loses_answer_of = ""
        self.number = self.oldest = 100
        self.newest_of_oracle = 0
        """Log id of the newest run of one of Oracle's own jobs."""
        self.statements: list[str] = []
        self.spoil: Any = None
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self.listener.getsockname()[1]
        for hours in range(6, 1, -1):
            self.ran(MART, "SUCCEEDED", self.now - timedelta(hours=hours))
            self.ran(LOAD, "FAILED", self.now - timedelta(hours=hours, minutes=-20))

    # -- the Scheduler
    def begins(self, job: str, began: datetime, first: int | None = None) -> Row:
        """`first`: the log id of the run of which it is a retry."""
        self.number += 1
        self.retries.discard(job)
        return {"log_id": self.number, "job": job, "began": began, "steps": [], "first": first}

    def ends(self, run: Row, state: str, seconds: float, info: str = "") -> Row:
        row = {**run, "state": state, "seconds": seconds, "info": info or ("ORA-01653" if state == "FAILED" else "")}
        self.details.append(row)
        return row

    def ran(self, job: str, state: str, began: datetime, seconds: float = 300, info: str = "") -> Row:
        return self.ends(self.begins(job, began), state, seconds, info)

    def tick(self) -> None:
        """Half a minute passes: requests start, and what runs ends, unless it hangs."""
        self.now += timedelta(seconds=30)
        for job, run in list(self.running.items()):
            if job not in self.hangs:
                self.ends(self.running.pop(job), "SUCCEEDED", (self.now - run["began"]).total_seconds())
        for request in self.requests.values():
            if not request["started"] and request["job"] not in self.running:
                request["started"], self.running[request["job"]] = True, self.begins(request["job"], self.now)

    # -- the views of the profile
    def runs(self) -> list[Row]:
        latest = {row["job"]: row["log_id"] for row in sorted(self.details, key=lambda row: int(row["log_id"]))}
        waiting = {latest[job] for job in self.retries if job in latest}
        ended = [row | {"state": "RETRY SCHEDULED"} if row["log_id"] in waiting else row for row in self.details]
        starts = [*ended, *({**run, "state": "RUNNING"} for run in self.running.values())]
        by_key: dict[str, Row | None] = {}
        for key, request in self.requests.items():
            window = [row for row in starts if row["job"] == request["job"]
                      and request["at"] <= row["began"] <= request["at"] + timedelta(minutes=10)]  # fmt: skip
            by_key[key] = min(window, key=lambda row: (row["began"], row["log_id"]), default=None)
        keys = {row["log_id"]: key for key, row in by_key.items() if row is not None}
        rows = [_run(row, keys.get(row["log_id"]), keys) for row in starts]
        rows += [
            {**dict.fromkeys(COLUMNS), "job_id": request["job"], "run_id": key, "action_key": key, "state": "REQUESTED"}
            for key, request in self.requests.items()
            if by_key[key] is None and request["at"] + timedelta(minutes=10) >= self.now
        ]
        return sorted(rows, key=lambda row: row["log_id"] or self.number + 1)

    # -- its package
    def start_job(self, job: str, key: str) -> None:
        if any(row["job_id"] == job and row["state"] in ("RUNNING", "REQUESTED") for row in self.runs()):
            raise failure(20000, "the job is running, or is about to")
        self.requests[key] = {"job": job, "at": self.now, "started": False}

    def stop_job(self, job: str, run: str) -> None:
        if not any(row["run_id"] == run and row["state"] == "RUNNING" for row in self.runs()):
            raise failure(20000, "this run is not running")
        self.ends(self.running.pop(job), "STOPPED", 20, "REASON=\"Stop job called by user: 'HEADWAY_AGENT'\"")

    def set_hold(self, job: str, enabled: str, note: str) -> None:
        if job not in self.enabled:
            raise failure(20000, "the job does not exist")
        self.notes = {
            **{name: text for name, text in self.notes.items() if name != job},
            **({job: note} if note else {}),
        }
        self.enabled[job] = enabled == "1"

    # -- the driver
    def connect(self, **_: Any) -> FakeOracleConnection:
        if self.error is not None:
            raise self.error
        return FakeOracleConnection(self)


COLUMNS = ("log_id", "job_id", "run_id", "action_key", "state", "started", "seconds", "message", "first_run")


def _run(row: Row, key: str | None, keys: dict[int, str]) -> Row:
    is_open = row["state"] == "RUNNING"
    started = row["began"].replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    values = (None if is_open else row["log_id"], row["job"], key or str(row["log_id"]), key, row["state"], started,
              row.get("seconds"), row.get("info"),
              None if row["first"] is None else keys.get(row["first"], str(row["first"])))  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


class FakeOracleConnection:
    """A connection, and its cursor."""

    call_timeout = 0

    def __init__(self, server: FakeOracleScheduler) -> None:
        self._server, self.description, self.rowcount = server, list[tuple[str]](), 0
        self._rows: Iterator[tuple[Any, ...]] = iter(())

    @property
    def connection(self) -> FakeOracleConnection:
        return self

    def cursor(self) -> FakeOracleConnection:
        return self

    def close(self) -> None:
        pass

    def commit(self) -> None:
        pass

    def parse(self, statement: str) -> None:
        del statement

    def setinputsizes(self, **sizes: Any) -> None:
        assert all(kind is oracledb.DB_TYPE_CLOB for kind in sizes.values())

    def execute(self, statement: str, given: Row | None = None, fetch_lobs: bool = True) -> None:
        given = given or {}
        assert not re.search(r"\{[a-z.]+\}", statement), f"a place is not bound: {statement}"
        assert set(given) == set(re.findall(r":(p_\w+)", statement)), f"bound otherwise: {statement}"
        self._server.statements.append(statement)
        rows = self._answer(statement, given)
        self.description = [(name.upper(),) for name in rows[0]] if rows else []
        self._rows = iter([tuple(row.values()) for row in rows])

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchmany(self, size: int) -> list[Any]:
        return list(islice(self._rows, size))

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def _answer(self, statement: str, given: Row) -> list[Row]:
        server = self._server
        if server.forbidden and server.forbidden in statement:
            raise failure(942, f"table or view {server.forbidden} does not exist")
        if statement.startswith("SET TRANSACTION"):
            return []
        if "SYSTIMESTAMP" in statement:
            return [{"now": server.now.replace(tzinfo=None), "version": "19.0.0.0.0"}]
        if match := re.fullmatch(r"CALL headway_agent\.scheduler\.(\w+)\((.*)\)", statement):
            getattr(server, match[1])(*(given[name] for name in re.findall(r":(\w+)", match[2])))
            if server.loses_answer_of == match[1]:
                raise ConnectionResetError("Connection reset by peer")
            return []
        if "headway_agent.lines" in statement:
            return self._log(given["p_run"])
        rows = self._selected(statement, given)
        if server.spoil is not None and "AS lost" not in statement:
            rows = server.spoil([dict(row) for row in rows])
        match = re.search(r" FETCH FIRST (\d+) ROWS ONLY$", statement)
        assert match, f"unbounded: {statement}"
        return rows[: int(match[1])]

    def _selected(self, statement: str, given: Row) -> list[Row]:
        server = self._server
        if "AS lost" in statement:
            return [{"lost": max(0, server.oldest - int(given["p_cursor"]) - 1)}]
        if "headway_agent.liveness" in statement:
            return [{"scheduler": server.scheduler}]
        if "headway_agent.jobs" in statement:
            return [_job(job, is_on, server.notes.get(job)) for job, is_on in server.enabled.items()]
        requested, after = json.loads(given["p_open"]), int(given["p_cursor"])
        rows = [row for row in server.runs()
                if row["log_id"] is None or row["log_id"] > after or row["run_id"] in requested]  # fmt: skip
        newest = max([server.newest_of_oracle, *(row["log_id"] for row in server.details)])
        is_behind = "headway_agent.bounds" in statement and newest > after
        rows += [{**dict.fromkeys(COLUMNS), "log_id": newest}] if is_behind else []
        if "p_missing" in given:
            numbers = json.loads(given["p_missing"])
            return [row for row in rows if row["log_id"] in numbers]
        return [row for row in rows if row["action_key"] == given["p_key"]] if "p_key" in given else rows

    def _log(self, run: str) -> list[Row]:
        row = next((row for row in self._server.runs() if row["run_id"] == run and row["log_id"]), None)
        detail = next((item for item in self._server.details if row and item["log_id"] == row["log_id"]), None)
        if detail is None:
            return []
        steps = [f"step {name}: {state} \n" for name, state in detail["steps"]]
        return [{"text": text} for text in (*steps, f"{detail['state']} {detail['info']}\n")]


def _job(job: str, is_enabled: bool, note: str | None) -> Row:
    return {"job_id": job, "owner": "ETL", "enabled": str(is_enabled).upper(), "note": note,
            "schedule": "FREQ=DAILY;BYHOUR=3", "next_at": "2030-01-01T03:00:00Z" if is_enabled else None,
            "definition": f"STORED_PROCEDURE {job} FREQ=DAILY;BYHOUR=3"}  # fmt: skip
