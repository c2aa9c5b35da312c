"""A MariaDB's events in memory: the recorded rows of a real one, a scheduler that a test advances, and no server.

It replaces `MySqlEventsClient`, below which is only SQL; that part is tested on a real server."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from connectors.mysql_events.client import MySqlEventsClient
from connectors.mysql_events.parse import ServerSnapshot, is_entry, run_log
from connectors.mysql_events.session import MySqlLogin, MySqlSession
from connectors.sdk.contract import HoldMark
from connectors.sdk.errors import NotSupported
from connectors.sdk.job_agent import GiveLog, Plan, Row
from connectors.sdk.log_chunks import read_through
from connectors.sdk.records import LogChunk

RECORDING = Path(__file__).parents[1] / "recordings" / "mysql_events" / "night.json"


class FakeEvents:
    """The events, the log table, and the signed-in user."""

    def __init__(self) -> None:
        by_key: dict[str, Any] = json.loads(RECORDING.read_text())
        self.about: Row = by_key["about"]
        self.grants: list[str] = by_key["grants"]
        self.events: list[Row] = by_key["events"]
        self.log: list[Row] = by_key["log"]
        self.processes: set[int] | None = set(by_key["processes"])
        self.uptime_seconds: float = by_key["uptime_seconds"]
        self.held: list[Row] = []
        self.by_table = True
        self.log_is_readable = True
        self.senders = 0
        self.page_rows = 2  # so that history comes in pages

    @property
    def newest(self) -> int:
        return max((int(row["run_id"]) for row in self.log), default=0)

    def named(self, name: str) -> Row:
        return next(row for row in self.events if row["event_name"] == name)

    def pass_time(self, seconds: float) -> None:
        self.about = self.about | {"clock": self.about["clock"] + seconds}
        self.uptime_seconds += seconds

    def write(self, name: str, status: str, key: str | None = None, run_id: int | None = None) -> Row:
        """A body writes into the log table."""
        clock = self.about["clock"]
        row = {
            "run_id": run_id or self.newest + 1,
            "event_schema": "ops",
            "event_name": name,
            "started": clock,
            "ended": None if status == "running" else clock + 0.01,
            "status": status,
            "message": None,
            "row_count": None if status == "running" else 1,
            "connection_id": 99,
            "action_key": key,
        }
        self.log.append(row)
        self.pass_time(1)
        return row

    def start(self, schema: str, name: str, key: str) -> None:
        """What `headway.event_start` does. Raises NotSupported as the procedure does."""
        if not any((row["event_schema"], row["event_name"]) == (schema, name) for row in self.events):
            raise NotSupported("no such event")
        if self.about["scheduler"] != "ON":
            raise NotSupported("events are off: nothing would start")
        if any(row["event_name"] == key for row in self.events):
            return
        made = {"event_name": key, "comment": name, "execute_at": self.about["clock"] + 1, "last_executed": None}
        self.events.append(self.named(name) | made)

    def marked(self, name: str) -> Row | None:
        return next((row for row in self.held if row["event_name"] == name), None)

    def hold(self, schema: str, name: str, mark: HoldMark) -> None:
        """What `headway.event_hold` does. Raises NotSupported as the procedure does."""
        event, existing = self.named(name), self.marked(name)
        if existing is not None and existing["mark"] != mark.text:
            raise NotSupported("the event is held already")
        if existing is None and event["status"] != "ENABLED":
            raise NotSupported("the event is not enabled: somebody else paused it")
        if existing is None:
            self.held = [*self.held, {"event_schema": schema, "event_name": name, "mark": mark.text}]
        event["status"] = "DISABLED"

    def release(self, name: str, hold: str, enable: bool) -> None:
        """What `headway.event_release` does. Raises NotSupported as the procedure does."""
        marked = self.marked(name)
        if marked is None or f"id={hold} " not in marked["mark"]:
            raise NotSupported("the event does not bear this hold: nothing was changed")
        self.held = [row for row in self.held if row is not marked]
        self.named(name)["status"] = "ENABLED" if enable else self.named(name)["status"]

    def work(self) -> None:
        """The scheduler starts what is due: one-shots that have not run."""
        self.pass_time(2)
        for row in self.events:
            if is_entry(row) and row["last_executed"] is None:
                row |= {"last_executed": int(self.about["clock"]), "status": "DISABLED"}
                if "event_log" in row["body"]:
                    self.write(row["comment"], "succeeded", row["event_name"])


class FakeClient(MySqlEventsClient):
    """The client's questions, answered from the fake; rows are copies, as they would come over a wire."""

    def __init__(self, fake: FakeEvents) -> None:
        login = MySqlLogin("fake", 3306, "headway", "", "off", None)
        super().__init__(MySqlSession(lambda: login), "ops.event_log", "headway")
        self._fake = fake
        self.tidied: list[tuple[str, str]] = []

    def snapshot(self) -> ServerSnapshot:
        fake = self._fake
        processes = None if fake.processes is None else frozenset(fake.processes)
        newest = (fake.newest or None) if fake.log_is_readable else None
        seen = ServerSnapshot(fake.about, fake.grants, fake.events, fake.by_table, fake.log_is_readable, newest=newest)
        return copy.deepcopy(replace(seen, processes=processes, uptime_seconds=fake.uptime_seconds, held=fake.held))

    def page(self, after: int, again: Sequence[int]) -> ServerSnapshot:
        fake, seen = self._fake, self.snapshot()
        log = sorted((row for row in fake.log if row["run_id"] > after), key=lambda row: int(row["run_id"]))
        page = log[: fake.page_rows] if fake.log_is_readable else []
        old = [row for row in fake.log if row["run_id"] in again]
        return copy.deepcopy(replace(seen, log=page, again=old, is_full=len(page) >= fake.page_rows))

    def situation(self, schema: str, name: str, key: str) -> ServerSnapshot:
        running = [row for row in self._fake.log if row["event_name"] == name and row["status"] == "running"]
        return copy.deepcopy(replace(self.snapshot(), running=running, senders=self._fake.senders))

    def log(self, run_id: int, give: GiveLog) -> LogChunk | None:
        row = next((dict(row) for row in self._fake.log if row["run_id"] == run_id), None)
        message = (row or {}).get("message") or ""
        parts = read_through(lambda first, count: message[first : first + count], 1000)
        return give(run_log(row, parts), False) if row else None

    def start(self, schema: str, name: str, key: str) -> None:
        self._fake.start(schema, name, key)

    def hold(self, plan: Plan, mark: HoldMark) -> None:
        self._fake.hold(plan["schema"], plan["event"], mark)

    def release(self, plan: Plan, hold: str, key: str, enable: bool) -> None:
        self._fake.release(plan["event"], hold, enable)

    def tidy(self, schema: str, key: str) -> None:
        self.tidied.append((schema, key))
