"""A pg_cron in memory: the recorded tables of a real one, a launcher that a test advances, and no server.

It replaces `PgCronClient`, below which is only SQL; that part is tested on a real server."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from connectors.pg_cron.client import HOLD_PREFIX, ActionTrace, EntryTrace, PgCronClient, PgCronPage, PgCronSituation
from connectors.pg_cron.parse import ENTRY_PREFIX, is_open, run_log
from connectors.sdk.contract import HoldMark
from connectors.sdk.errors import NotSupported
from connectors.sdk.job_agent import PAGE_ROWS, GiveLog, Plan, Row
from connectors.sdk.records import LogChunk
from connectors.sdk.transport.postgres import PostgresSession

RECORDING = Path(__file__).parents[1] / "recordings" / "pg_cron" / "night.json"
OPEN = ("starting", "connecting", "sending", "running")


class FakePgCron:
    """The two tables and the signed-in user."""

    def __init__(self) -> None:
        by_key: dict[str, Any] = json.loads(RECORDING.read_text())
        self.access: Row = by_key["access"] | {"launched": "0", "may_hold": True, "may_clear": True, "may_cancel": True}
        self.jobs: list[Row] = by_key["jobs"]
        self.runs: list[Row] = by_key["runs"]
        self.sessions = 0
        """Our own sessions that still send."""
        self.page_rows = 5  # so that history comes in pages

    @property
    def newest(self) -> int:
        return max((int(row["runid"]) for row in self.runs), default=0)

    def add_entry(self, jobid: int, key: str) -> int:
        """What `headway.rerun` does."""
        original: Row = next(row for row in self.jobs if row["jobid"] == jobid)
        name = f"{ENTRY_PREFIX}{jobid}:{key}"
        jobs = [row["jobid"] for row in self.jobs if row["jobname"] == name]
        if jobs:
            return int(jobs[0])
        added = 1 + max(int(row["jobid"]) for row in (*self.jobs, *self.runs))  # of a sequence: never again
        command = f"/* {name} */ {shown(original)['command']}"
        self.jobs.append(original | {"jobid": added, "jobname": name, "command": command, "schedule": "0 9 20 11 *"})
        return added

    def run(self, jobid: int, status: str, message: str | None = None) -> Row:
        """The launcher starts a job, and it ends with the given status (or stays open)."""
        job = next(row for row in self.jobs if row["jobid"] == jobid)
        clock = float(self.access["clock"])
        row = {
            "runid": self.newest + 1,
            "jobid": jobid,
            "job_pid": 4000 + self.newest,
            "database": job["database"],
            "username": job["username"],
            "command": job["command"],
            "status": status,
            "message": message,
            "started": str(clock),
            "ended": None if status in OPEN else str(clock + 0.01),
        }
        self.runs.append(row)
        self.access = self.access | {"clock": str(clock + 1)}
        return row

    def change(self, jobid: int, **values: Any) -> None:
        """What a person does to an entry of cron.job."""
        next(row for row in self.jobs if row["jobid"] == jobid).update(values)

    def hold(self, jobid: int, mark: HoldMark, schedule: str, plain_hash: str) -> None:
        """What `headway.hold` does. Raises NotSupported as the function does."""
        row = next((row for row in self.jobs if row["jobid"] == jobid), None)
        prefix = f"/* {mark.text} */ "
        if row is None:
            raise NotSupported(f"no pg_cron job {jobid}")
        if row["command"].startswith(prefix) and not row["active"]:
            return
        is_as_seen = (row["schedule"], row["command_hash"]) == (schedule, plain_hash)
        is_running = any(run["jobid"] == jobid and run["status"] in OPEN for run in self.runs)
        if shown(row)["hold"] or not row["active"] or not is_as_seen or is_running:
            raise NotSupported(f"pg_cron job {jobid} is held, paused, changed or running")
        row |= {"command": prefix + row["command"], "active": False}

    def release(self, jobid: int, hold: str, enable: bool) -> None:
        """What `headway.release` and `headway.clear` do. Raises NotSupported as the functions do."""
        row = next((row for row in self.jobs if row["jobid"] == jobid), None)
        mark = HoldMark.read(str(shown(row)["hold"] or "")) if row else None
        if row is None or mark is None or mark.id != hold:
            raise NotSupported(f"pg_cron job {jobid} does not bear hold {hold}")
        row |= {"command": shown(row)["command"], "active": enable or row["active"]}

    def cancel(self, runid: int) -> None:
        """What `headway.cancel` does. Raises NotSupported as the function does."""
        row = next((row for row in self.runs if row["runid"] == runid), None)
        if row is None or row["status"] not in OPEN:
            raise NotSupported(f"pg_cron run {runid} is not running")
        text = "ERROR:  canceling statement due to user request\n"
        row |= {"status": "failed", "message": text, "ended": self.access["clock"]}

    def start_entries(self) -> None:
        """The full minute comes: entries that never ran run, and go well."""
        ran = {row["jobid"] for row in self.runs}
        for row in list(self.jobs):
            if str(row["jobname"]).startswith(ENTRY_PREFIX) and row["jobid"] not in ran:
                self.run(row["jobid"], "succeeded", "1 row")


def shown(row: Row) -> Row:
    """An entry as the client's SQL returns it: the hold mark apart from the command."""
    match = re.match(HOLD_PREFIX, row["command"])
    return row | {"command": row["command"][match.end() if match else 0 :], "hold": match[1] if match else None}


class FakeClient(PgCronClient):
    """The client's questions, answered from the fake; rows are copies, as they would come over a wire."""

    def __init__(self, fake: FakePgCron) -> None:
        super().__init__(PostgresSession(dict, "headway"), "headway")
        self._fake = fake

    def access(self) -> Row:
        return dict(self._fake.access)

    def jobs(self) -> tuple[Row, list[Row]]:
        self._require_access()
        return dict(self._fake.access), self._jobs()

    def page(self, after: int, again: Sequence[int]) -> PgCronPage:
        self._require_access()
        limit = min(PAGE_ROWS, self._fake.page_rows)
        runs = [row for row in self._fake.runs if row["runid"] > after]
        runs = sorted(runs, key=lambda row: int(row["runid"]))[:limit]
        old = [row for row in self._fake.runs if row["runid"] in again]
        ours = {row["jobid"] for row in self._fake.jobs if str(row["jobname"]).startswith(ENTRY_PREFIX)}
        entries = [
            {"jobid": row["jobid"], "ended": row["status"] not in OPEN}
            for row in self._fake.runs
            if row["jobid"] in ours
        ]
        fake, newest, is_full = self._fake, self._fake.newest or None, len(runs) >= limit
        return copy.deepcopy(PgCronPage(fake.access, self._jobs(), runs, old, newest, entries, is_full))

    def situation(self, which: Callable[[Sequence[Row]], Row | None]) -> PgCronSituation:
        self._require_access()
        job = which(self._jobs())
        running = [row for row in self._fake.runs if job and row["jobid"] == job["jobid"] and row["status"] in OPEN]
        return copy.deepcopy(PgCronSituation(self._fake.access, job, running, self._fake.newest))

    def trace(self, entry: str, mark: str, after: int, key: str) -> EntryTrace:
        self._require_access()
        entries = [row for row in self._fake.jobs if row["jobname"] == entry]
        runs = [row for row in self._fake.runs if row["runid"] > after and row["command"].startswith(mark)]
        return copy.deepcopy(EntryTrace(self._fake.access, entries, runs, 0))

    def job_left(self, jobid: int, key: str) -> ActionTrace:
        self._require_access()
        row = next((row for row in self._jobs() if row["jobid"] == jobid), None)
        return ActionTrace(dict(self._fake.access), row, self._fake.sessions)

    def run_left(self, runid: int, key: str = "") -> ActionTrace:
        self._require_access()
        row = next((dict(row) for row in self._fake.runs if row["runid"] == runid), None)
        return ActionTrace(dict(self._fake.access), {"job_pid": 1, **row} if row else None, self._fake.sessions)

    def hold(self, plan: Plan, mark: HoldMark) -> None:
        self._fake.hold(plan["jobid"], mark, plan["schedule"], plan["hash"])

    def release(self, plan: Plan, hold: str, key: str, enable: bool) -> None:
        self._fake.release(plan["jobid"], hold, enable)

    def cancel(self, runid: int, key: str) -> list[Row]:
        self._fake.cancel(runid)
        return [{"done": True}]

    def _jobs(self) -> list[Row]:
        return [shown(row) for row in self._fake.jobs]

    def log(self, runid: int, give: GiveLog) -> LogChunk | None:
        row = next((dict(row) for row in self._fake.runs if row["runid"] == runid), None)
        return give(run_log(iter([str(row["message"] or "")])), is_open(row)) if row else None

    def rerun(self, jobid: int, key: str) -> int | None:
        return self._fake.add_entry(jobid, key)

    def unschedule(self, key: str) -> None:
        self._fake.jobs = [row for row in self._fake.jobs if not str(row["jobname"]).endswith(f":{key}")]

    def _require_access(self) -> None:
        self.require_view(self._fake.access)
