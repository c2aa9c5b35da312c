"""HOLD disables a workflow under the hold mark; RELEASE enables it, or removes only the mark.

A workflow has no field for a note. The mark is a variable of the repository's Actions, HEADWAY_HOLD_ and the
workflow's id, visible in the repository's settings. It is written before the workflow is disabled and removed after
it is enabled: no pause of ours is without its mark, and a mark whose pause never happened is bare.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from connectors.github_actions import parse
from connectors.github_actions.client import VARIABLES_LIMIT, GitHubClient
from connectors.github_actions.inventory import ACTIVE_STATE, PAUSE_REASONS, find_workflow, read_workflows
from connectors.sdk import fields
from connectors.sdk.contract import HoldMark, NativeHold
from connectors.sdk.errors import AccessRefused, ActionRefused, SystemUnreachable
from connectors.sdk.marked_pause import MarkedPause, MarkedPauseHolder, PauseState, native_holds
from connectors.sdk.send_outcome import or_put_back, raise_if_refused, send_each

VARIABLE_PREFIX = "HEADWAY_HOLD_"
HOLD_VARIABLE = re.compile(rf"{VARIABLE_PREFIX}(\d{{1,18}})")
MAX_PAGES = 40  # of variables: 1,200; a repository can have 500


class GitHubHolder(MarkedPauseHolder[fields.Row]):
    marking = MarkedPause("GitHub", "disabled", "variable")
    fix = "enable it on its page in GitHub"
    pause, resume, unit = "disable", "enable", "the workflow"
    hold_notes = (
        "active runs continue; an existing run can still be rerun",
        "it cannot be started by hand either while it is disabled",
        "workflows that start when it ends do not start meanwhile",
    )

    def __init__(self, client: GitHubClient) -> None:
        self._client = client

    def read(self, job: str) -> fields.Row:
        return find_workflow(self._client, job)

    def read_again(self, plan: Mapping[str, Any]) -> fields.Row:
        reply = self._client.workflow(int(plan["workflow"]))
        if reply.status != 200:
            raise ActionRefused(f"GitHub: {plan['job']} is gone")
        return reply.table()

    def state(self, row: fields.Row) -> PauseState:
        """Of a workflow: its state, and the variable that is its mark."""
        reply = self._client.variable(f"{VARIABLE_PREFIX}{fields.positive(row, 'id')}")
        mark = HoldMark.read(fields.optional_text(reply.table(), "value")) if reply.status == 200 else None
        return PauseState(row.get("state") != ACTIVE_STATE, () if mark is None else (mark,))

    def hold_refusal(self, job: str, row: fields.Row, now: PauseState) -> str | None:
        why, state = super().hold_refusal(job, row, now), fields.optional_text(row, "state")
        return f"{why}: {PAUSE_REASONS.get(state, state)}" if why else None

    def details(self, row: fields.Row, plan: Mapping[str, Any]) -> dict[str, Any]:
        return {"workflow": fields.positive(row, "id")}

    def hold_calls(self, row: fields.Row, plan: Mapping[str, Any], mark: HoldMark) -> tuple[str, ...]:
        variable = {"name": f"{VARIABLE_PREFIX}{row['id']}", "value": mark.text}
        return f"POST /actions/variables {fields.to_json(variable)}", f"PUT /actions/workflows/{row['id']}/disable"

    def release_calls(self, row: fields.Row, plan: Mapping[str, Any]) -> tuple[str, ...]:
        resume = plan["how"] == "release" and row.get("state") != ACTIVE_STATE
        enable = (f"PUT /actions/workflows/{row['id']}/enable",) if resume else ()
        return *enable, f"DELETE /actions/variables/{VARIABLE_PREFIX}{row['id']}"

    def write_hold(self, row: fields.Row, now: PauseState, plan: Mapping[str, Any], mark: HoldMark) -> None:
        workflow = int(plan["workflow"])
        if now.marks != (mark,):
            if now.marks:  # bare: its hold was undone by hand
                self._unmark(workflow)
            raise_if_refused(self._client.set_variable(f"{VARIABLE_PREFIX}{workflow}", mark.text))
        with or_put_back(lambda: self._unmark(workflow)):
            self._enable(workflow, False)

    def write_release(self, row: fields.Row, now: PauseState, plan: Mapping[str, Any]) -> None:
        workflow, resumes = int(plan["workflow"]), plan["how"] == "release" and now.is_paused
        enable = [("it was enabled", partial(self._enable, workflow, True))] if resumes else []
        send_each([*enable, ("its mark was removed", partial(self._unmark, workflow))])

    def _enable(self, workflow: int, on: bool) -> None:
        raise_if_refused(self._client.enable(workflow, on))

    def _unmark(self, workflow: int) -> None:
        raise_if_refused(self._client.delete_variable(f"{VARIABLE_PREFIX}{workflow}"))

    def all_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """Every mark of the repository; bare where its workflow is enabled. `known` adds nothing: all are seen."""
        marks = self._marks()
        if not marks:
            return ()
        rows, _, _ = read_workflows(self._client)

        def holds(item: Any) -> list[NativeHold]:
            row = fields.table(item)
            mark, repository = marks.get(fields.positive(row, "id")), self._client.repository
            job = parse.workflow_job_id(repository, parse.workflow_path(row))
            where = f"variable {VARIABLE_PREFIX}{row['id']} of the Actions of {repository}"
            state = PauseState(row.get("state") != ACTIVE_STATE, () if mark is None else (mark,))
            return native_holds(job, state, where)

        return tuple(hold for workflow in fields.readable(rows, holds) for hold in workflow)

    def _marks(self) -> dict[int, HoldMark]:
        """Workflow -> its mark. Raises AccessRefused without the right to read variables."""
        marks: dict[int, HoldMark] = {}
        for page in range(1, MAX_PAGES + 1):
            reply = self._client.variables(page)
            if reply.status == 403:
                raise AccessRefused(f"{reply.place} is a refusal: {reply.error}. Holds are kept in Actions variables.")
            rows = fields.rows(reply.table().get("variables"))
            for row in fields.tables(rows):
                match = HOLD_VARIABLE.fullmatch(str(row.get("name")))
                mark = HoldMark.read(str(row.get("value"))) if match else None
                if match and mark is not None:
                    marks[int(match[1])] = mark
            if len(rows) < VARIABLES_LIMIT:
                return marks
        raise SystemUnreachable("GitHub: the list of variables does not end")
