"""HOLD pauses a deployment's schedules under the hold mark; RELEASE resumes them, or removes only the mark.

The mark is a line in the deployment's description. Mark and pause are set in one request and one transaction, so
neither exists without the other. The request takes no condition, so the deployment is read again immediately before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from connectors.prefect.client import PAGE_LIMIT, PrefectClient, list_rows
from connectors.prefect.inventory import FlowNames, read_deployment
from connectors.sdk import fields
from connectors.sdk.contract import HoldMark, NativeHold
from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.marked_pause import (
    MarkedPause,
    MarkedPauseHolder,
    PauseState,
    holds_in,
    native_holds,
    with_hold,
    without_hold,
)
from connectors.sdk.send_outcome import raise_if_refused

MAX_PAGES = 250


class PrefectHolder(MarkedPauseHolder[fields.Row]):
    marking = MarkedPause("Prefect", "paused", "line in the description")
    unit = "the deployment"
    hold_notes = (
        "runs that Prefect has made ahead by its schedules are deleted; those that wait or run by hand go on",
        "it can still be started by hand, and by automations",
        "a redeploy rewrites its description and resumes it, which ends the hold",
    )
    fix = "resume it in Prefect"

    def __init__(self, client: PrefectClient, names: FlowNames) -> None:
        self._client, self._names = client, names

    def read(self, job: str) -> fields.Row:
        return read_deployment(self._client, job)

    def state(self, row: fields.Row) -> PauseState:
        return PauseState(row.get("paused") is True, tuple(holds_in(_description(row))))

    def write_hold(self, row: fields.Row, now: PauseState, plan: Mapping[str, Any], mark: HoldMark) -> None:
        self._change(row, _held(row, mark))

    def write_release(self, row: fields.Row, now: PauseState, plan: Mapping[str, Any]) -> None:
        self._change(row, _released(row, plan))

    def _change(self, row: fields.Row, body: dict[str, Any]) -> None:
        raise_if_refused(self._client.change_deployment(str(row["id"]), body))

    def hold_calls(self, row: fields.Row, plan: Mapping[str, Any], mark: HoldMark) -> tuple[str, ...]:
        return (_call_text(row, {**_held(row, mark), "description": f"… {mark.text}"}),)

    def release_calls(self, row: fields.Row, plan: Mapping[str, Any]) -> tuple[str, ...]:
        body = {**_released(row, plan), "description": "its description without the hold mark"}
        return (_call_text(row, body),)

    def all_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """Every mark of a watched deployment; bare where it is not paused, or under another mark. `known` adds
        nothing: all are seen."""
        holds: list[NativeHold] = []
        for page in range(MAX_PAGES):
            rows = list_rows(self._client.deployments(page * PAGE_LIMIT))
            marked = [row for row in fields.tables(rows) if holds_in(_description(row))]
            self._names.learn({"deployment_id": row.get("id"), "flow_id": row.get("flow_id")} for row in marked)
            for job, row in fields.readable(marked, lambda row: (self._names.deployment(row), row)):
                if self._names.watched(job):
                    holds += native_holds(job, self.state(row), f"description of the deployment {job}")
            if len(rows) < PAGE_LIMIT:
                return tuple(holds)
        raise SystemUnreachable(
            "Prefect: the list of deployments is too long. Fix: name those to watch in `deployments`"
        )


def _description(row: fields.Row) -> str:
    description = row.get("description")
    return fields.clean(description) if isinstance(description, str) else ""


def _held(row: fields.Row, mark: HoldMark) -> dict[str, Any]:
    return {"paused": True, "description": with_hold(fields.optional_text(row, "description"), mark)}


def _released(row: fields.Row, plan: Mapping[str, Any]) -> dict[str, Any]:
    resumed = {"paused": False} if plan["how"] == "release" else {}
    description = without_hold(fields.optional_text(row, "description"), str(plan["hold"]))
    return {**resumed, "description": description or None}


def _call_text(row: fields.Row, body: Mapping[str, Any]) -> str:
    return f"PATCH /deployments/{row['id']} {fields.to_json(dict(body))}"
