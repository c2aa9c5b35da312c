"""HOLD pauses a deployment's schedules under the hold mark; RELEASE resumes them, or removes only the mark.

The mark is a line in the deployment's description. Mark and pause are set in one request and one transaction, so
neither exists without the other. The request takes no condition, so the deployment is read again immediately before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from connectors.prefect.client import PAGE_LIMIT, PrefectClient, list_rows
from connectors.prefect.inventory import FlowNames, no_deployment_reason, read_deployment
from connectors.sdk import fields
from connectors.sdk.contract import STARTED_LATER, HoldMark, NativeHold, Preview
from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.marked_pause import (
    MarkedPause,
    MarkedPauseHolder,
    PauseState,
    holds_in,
    native_holds,
    shown_mark,
    with_hold,
    without_hold,
)
from connectors.sdk.records import instant_key
from connectors.sdk.send_outcome import raise_if_refused

MAX_PAGES = 250


class PrefectHolder(MarkedPauseHolder[fields.Row]):
    marking = MarkedPause("Prefect", "paused", "line in the description")
    fix = "resume it in Prefect"

    def __init__(self, client: PrefectClient, names: FlowNames) -> None:
        self._client, self._names = client, names

    def read(self, job: str) -> fields.Row | None:
        return read_deployment(self._client, job)

    def state(self, row: fields.Row) -> PauseState:
        return PauseState(row.get("paused") is True, tuple(holds_in(_description(row))))

    def missing(self, job: str, verb: str) -> str:
        return no_deployment_reason(job, verb)

    def write_hold(self, row: fields.Row, now: PauseState, plan: Mapping[str, Any], mark: HoldMark) -> None:
        self._change(row, {"paused": True, "description": with_hold(fields.optional_text(row, "description"), mark)})

    def write_release(self, row: fields.Row, now: PauseState, plan: Mapping[str, Any]) -> None:
        resumed = {"paused": False} if plan["how"] == "release" else {}
        description = without_hold(fields.optional_text(row, "description"), str(plan["hold"]))
        self._change(row, {**resumed, "description": description or None})

    def _change(self, row: fields.Row, body: dict[str, Any]) -> None:
        raise_if_refused(self._client.change_deployment(str(row["id"]), body))

    def preview_hold(self, job: str, row: fields.Row, mark: HoldMark) -> Preview:
        return Preview(
            verb="pause the deployment",
            summary=f"pause all schedules of {job} until {instant_key(mark.until)} at the latest, "
            "marked in its description",
            scope=f"all schedules of {job}",
            native_calls=(_call_text(row, {"paused": True, "description": f"… {shown_mark(mark)}"}),),
            notes=(
                "runs that Prefect has made ahead by its schedules are deleted; those that wait or run by hand go on",
                "it can still be started by hand, and by automations",
                "a redeploy rewrites its description and resumes it, which ends the hold",
            ),
        )

    def preview_release(self, job: str, row: fields.Row, plan: Mapping[str, Any], resumes: bool) -> Preview:
        enables = plan["how"] == "release"
        calls = {**({"paused": False} if enables else {}), "description": "its description without the hold mark"}
        alone = "whether it is paused stays as it is" if not enables else "it was resumed meanwhile"
        return Preview(
            verb="resume the deployment" if resumes else "remove the mark",
            summary=f"resume all schedules of {job} and remove the hold mark from its description"
            if resumes
            else f"remove the hold mark from the description of {job}; {alone}",
            scope=f"all schedules of {job}" if resumes else f"the description of {job}",
            native_calls=(_call_text(row, calls),),
            notes=(STARTED_LATER,) if resumes else (),
        )

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


def _call_text(row: fields.Row, body: Mapping[str, Any]) -> str:
    return f"PATCH /deployments/{row['id']} {fields.to_json(dict(body))}"
