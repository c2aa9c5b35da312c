"""What is done to the fake Airflow: clears, triggers, pauses and states set by hand, as measured on 3.3.2."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).parents[1] / "recordings" / "airflow"
RED = ("failed", "upstream_failed")

Row = dict[str, Any]


def recorded(name: str) -> Any:
    """The reply of one recorded call."""
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))["response"]


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class FakeActs:
    """The half of the fake that changes what is there."""

    now: datetime
    dags: dict[str, tuple[str, ...]]
    runs: list[Row]
    backfills: list[Row]
    instances: list[Row]
    question: Row
    paused: set[str]
    role: str
    refuse_note: bool

    def start(self, dag: str, run_id: str = "", **more: Any) -> str:
        raise NotImplementedError

    def run(self, dag: str, run_id: str) -> Row | None:
        raise NotImplementedError

    def tasks_of(self, dag: str, run_id: str) -> list[Row]:
        raise NotImplementedError

    def _uuid(self) -> str:
        raise NotImplementedError

    def _question_of(self, row: Row) -> Row:
        answer = row.get("_answer") or {"chosen_options": None, "responded_by_user": None}
        return {**self.question, "task_instance": dict(row), **answer, "response_received": bool(row.get("_answer"))}

    def list_questions(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        rows = [self._question_of(row) for row in self.instances if row["state"] == "awaiting_input"]
        return 200, {"hitl_details": rows, "total_entries": len(rows)}

    def one_question(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        rows = [row for row in self.tasks_of(*parts[:2]) if row["task_id"] == parts[2]]
        waits = rows and (rows[0]["state"] == "awaiting_input" or rows[0].get("_answer"))
        return (200, self._question_of(rows[0])) if waits else (404, {"detail": "detail does not exist"})

    def answer_question(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        """Measured: one answer only, and none that is not among the options."""
        status, request = self.one_question(parts, query, body)
        if status != 200 or self.role == "viewer":
            return (status, request) if status != 200 else (403, {"detail": "Forbidden"})
        if request["response_received"]:
            return 409, {"detail": "Human-in-the-loop detail has already been updated"}
        if set(body["chosen_options"]) - set(request["options"]):
            return 400, {"detail": "Invalid options"}
        row = next(row for row in self.tasks_of(*parts[:2]) if row["task_id"] == parts[2])
        self.now += timedelta(milliseconds=7)
        given = {"chosen_options": body["chosen_options"], "responded_by_user": {"id": "headway", "name": "headway"}}
        row |= {"state": "success", "end_date": stamp(self.now), "_updated": self.now, "_answer": given}
        return 200, {**given, "responded_by": given["responded_by_user"]}

    def clear_run(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        if self.role == "viewer":
            return 403, {"detail": "Forbidden"}
        run = self.run(*parts)
        if run is None:
            return 404, recorded("dagRun_404")
        if self.refuse_note and "note" in body:
            return 422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "note"], "msg": "Extra inputs"}]}
        rows = [row for row in self.tasks_of(*parts) if not body["only_failed"] or row["state"] in RED]
        if body["dry_run"]:
            return 200, {"task_instances": rows, "total_entries": len(rows)}
        self._clear(run, rows)
        run["note"] = body.get("note", run["note"])
        return 200, run

    def clear_tasks(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        if self.role == "viewer":
            return 403, {"detail": "Forbidden"}
        run = self.run(parts[0], body["dag_run_id"])
        if run is None:
            return 404, recorded("dagRun_404")
        chain, expected = list(self.dags[parts[0]]), body.get("task_ids", [])
        below = chain[chain.index(expected[0]) :] if expected and expected[0] in chain else []
        rows = [row for row in self.tasks_of(parts[0], body["dag_run_id"]) if row["task_id"] in below]
        rows = [row for row in rows if row["state"] in RED] if body.get("only_failed") else rows
        if not body["dry_run"]:
            if any(row["state"] == "running" for row in rows):
                return 409, recorded("clear_running_prevented")
            self._clear(run, rows)
            for row in rows:
                row["note"] = body.get("note", row["note"])
        return 200, {"task_instances": rows, "total_entries": len(rows)}

    def _clear(self, run: Row, rows: list[Row]) -> None:
        self.now += timedelta(milliseconds=7)
        for row in rows:
            row |= {"id": self._uuid(), "state": None, "_updated": self.now}
        if rows:
            run |= {"state": "queued", "queued_at": stamp(self.now), "start_date": None, "end_date": None}
            run["_updated"] = self.now

    def trigger(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        if self.role == "viewer":
            return 403, recorded("trigger_forbidden_viewer")
        logical = body["logical_date"]
        is_used = any(logical and (row["dag_id"], row["logical_date"]) == (parts[0], logical) for row in self.runs)
        if is_used or self.run(parts[0], body["dag_run_id"]):
            return 409, recorded("trigger_409_same_id")
        start, end = body.get("data_interval_start", logical), body.get("data_interval_end", logical)
        times = {"logical_date": logical, "data_interval_start": start, "data_interval_end": end}
        run_after = {"run_after": body.get("run_after", stamp(self.now))}
        details = {"note": body.get("note"), "conf": body.get("conf", {})}
        self.start(parts[0], body["dag_run_id"], run_type="manual", **details, **times, **run_after)
        return 200, self.run(parts[0], body["dag_run_id"])

    def backfill_dry_run(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        if self.role == "viewer":
            return 403, {"detail": "Forbidden"}
        if "from_date" not in body:
            return 422, {"detail": [{"type": "missing", "loc": ["body", "from_date"], "msg": "Field required"}]}
        if body["dag_id"] not in self.dags:
            return 404, recorded("backfill_unknown_dag")
        return 200, recorded("backfill_dry_run")

    def backfill(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        if any(row["dag_id"] == body["dag_id"] and not row["completed_at"] for row in self.backfills):
            return 409, recorded("backfill_conflict")
        row = {**recorded("backfill_create"), **body, "id": len(self.backfills) + 1, "completed_at": None}
        self.backfills.append(row)
        return 200, row

    def list_backfills(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        rows = [row for row in reversed(self.backfills) if row["dag_id"] == query["dag_id"]]
        return 200, {"backfills": rows, "total_entries": len(rows)}

    def one_backfill(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        row = next((row for row in self.backfills if str(row["id"]) == parts[0]), None)
        return (200, row) if row else (404, {"detail": "Backfill not found"})

    def change_backfill(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        status, row = self.one_backfill(parts, query, body)
        if status != 200 or row["completed_at"]:
            return (status, row) if status != 200 else (409, recorded("backfill_cancel_again"))
        row["is_paused"] = parts[1] != "unpause"
        row["completed_at"] = stamp(self.now) if parts[1] == "cancel" else None
        return 200, row

    def patch_run(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        if self.role == "viewer":
            return 403, {"detail": "Forbidden"}
        run = self.run(*parts)
        if run is None:
            return 404, recorded("dagRun_404")
        if len(body.get("note") or "") > 1000:
            return 422, {"detail": [{"type": "string_too_long", "loc": ["body", "note"], "msg": "too long"}]}
        if "note" in body:
            run["note"] = body["note"] or None  # measured: this does not move updated_at
        if body.get("state", run["state"]) != run["state"]:
            self._end(run, body["state"])
        return 200, run

    def _end(self, run: Row, state: str) -> None:
        """Measured: what runs gets the state of its run, what waits is skipped, what ended stays as it is."""
        self.now += timedelta(milliseconds=7)
        for row in self.tasks_of(run["dag_id"], run["dag_run_id"]):
            if row["state"] in (None, "running", "queued", "scheduled"):
                ended = state if row["state"] == "running" else "skipped"
                row |= {"state": ended, "end_date": stamp(self.now), "_updated": self.now}
        run |= {"state": state, "end_date": run["end_date"] or stamp(self.now), "_updated": self.now}

    def patch_dag(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        if self.role == "viewer":
            return 403, {"detail": "Forbidden"}
        if parts[0] not in self.dags:
            return 404, {"detail": f"Dag with id: {parts[0]} was not found"}
        (self.paused.add if body["is_paused"] else self.paused.discard)(parts[0])
        return 200, {"dag_id": parts[0], "is_paused": body["is_paused"]}

    def mark_task_dry(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        rows = [row for row in self.tasks_of(*parts[:2]) if row["task_id"] == parts[2]]
        return 200, {"task_instances": [row for row in rows if row["state"] != body["new_state"]]}

    def mark_task(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        """Measured: failed tasks that follow are cleared, and the run is queued again where there are any."""
        if self.role == "viewer":
            return 403, {"detail": "Forbidden"}
        rows = [row for row in self.tasks_of(*parts[:2]) if row["task_id"] == parts[2]]
        if all(row["state"] == body["new_state"] for row in rows):
            return 409, {"detail": f"Task id {parts[2]} is already in {body['new_state']} state"}
        self.now += timedelta(milliseconds=7)
        for row in rows:
            row |= {"state": body["new_state"], "note": body.get("note"), "_updated": self.now}
        chain = self.dags[parts[0]]
        below = chain[chain.index(parts[2]) + 1 :]
        red = [row for row in self.tasks_of(*parts[:2]) if row["task_id"] in below and row["state"] in RED]
        run = self.run(*parts[:2])
        if run is not None and red:
            self._clear(run, red)
        return 200, {"task_instances": rows, "total_entries": len(rows)}
