"""HOLD disables a workflow under our mark; RELEASE enables it, or takes away the mark alone.

A workflow has no place for a note. The mark is a variable of the repository's Actions, HEADWAY_HOLD_ and the workflow's
id, which people see in the repository's settings. It is written before the workflow is disabled and taken away after it
is enabled: there is no pause of ours without its mark, and a mark whose pause never came is bare.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from connectors import fields
from connectors.contract import (
    STARTED_LATER,
    AccessRefused,
    Ask,
    HoldMark,
    LookUp,
    NativeHold,
    NotSupported,
    OutcomeUnknown,
    Preview,
    Receipt,
    RecordUnreadable,
    SystemUnreachable,
    Verb,
    instant_key,
)
from connectors.github_actions import parse
from connectors.github_actions.client import VARIABLES_LIMIT, GitHubClient
from connectors.github_actions.inventory import ACTIVE, PAUSED_WORDS, workflows
from connectors.github_actions.previews import row_of_id, workflow_of
from connectors.marking import (
    NO_END,
    Marking,
    Standing,
    asked_mark,
    hold_plan,
    native_holds,
    release_plan,
    shown,
)
from connectors.previews import refused
from connectors.sending import refused as stop_if_refused

MARKING = Marking("GitHub", "disabled", "variable")
PREFIX = "HEADWAY_HOLD_"
OURS = re.compile(rf"{PREFIX}(\d{{1,18}})")
MOST_PAGES = 40
"""Of variables: 1,200; a repository can have 500."""


class Holder:
    """HOLD and RELEASE in one repository."""

    def __init__(self, client: GitHubClient) -> None:
        self._client = client

    def preview(self, ask: Ask) -> Preview:
        """As the contract says."""
        job, verb = ask.run.job, str(ask.verb)
        row = workflow_of(self._client, job)
        if row is None:
            return refused(verb, f"GitHub has no workflow {job}: its jobs start with it, never alone")
        workflow, state = parse.id_of(row), fields.words(row, "state")
        now = self._standing(row)
        if ask.verb is Verb.HOLD:
            return _hold(job, workflow, state, now, ask)
        return _release(job, workflow, now, ask)

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says."""
        workflow = int(plan["workflow"])
        row = row_of_id(self._client, workflow)
        if row is None:
            raise MARKING.gone(plan)
        now = self._standing(row)
        if plan["how"] == "hold":
            mark = MARKING.to_write(now, plan, key)
            if mark is not None:
                self._place(workflow, now, mark)
            return MARKING.done(plan, key)
        MARKING.check_release(now, plan)
        if plan["how"] == "release" and now.is_paused:
            stop_if_refused(self._client.enable(workflow, True))
        stop_if_refused(self._client.delete_variable(f"{PREFIX}{workflow}"))
        return MARKING.done(plan, key)

    def _place(self, workflow: int, now: Standing, mark: HoldMark) -> None:
        if now.marks != (mark,):
            if now.marks:  # bare: its hold was undone by hand
                stop_if_refused(self._client.delete_variable(f"{PREFIX}{workflow}"))
            stop_if_refused(self._client.set_variable(f"{PREFIX}{workflow}", mark.text))
        try:
            stop_if_refused(self._client.enable(workflow, False))
        except (NotSupported, AccessRefused, SystemUnreachable):  # not disabled: the mark would be a lie
            self._take_back(workflow)
            raise

    def _take_back(self, workflow: int) -> None:
        try:
            stop_if_refused(self._client.delete_variable(f"{PREFIX}{workflow}"))
        except (NotSupported, AccessRefused, SystemUnreachable) as error:
            raise OutcomeUnknown(f"GitHub: not disabled, and the mark {PREFIX}{workflow} is left: {error}") from None

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the variable and the workflow's state."""
        row = row_of_id(self._client, int(plan["workflow"]))
        return MARKING.look(None if row is None else self._standing(row), plan, key)

    def _standing(self, row: fields.Row) -> Standing:
        """Of a workflow: its state, and the variable that is its mark."""
        reply = self._client.variable(f"{PREFIX}{parse.id_of(row)}")
        mark = HoldMark.read(fields.words(reply.table(), "value")) if reply.status == 200 else None
        return Standing(row.get("state") != ACTIVE, () if mark is None else (mark,))

    def all_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """Every mark of the repository; bare where its workflow is enabled. `known` adds nothing: all are seen."""
        marks = self._marks()
        if not marks:
            return ()
        rows, _, _ = workflows(self._client)
        holds: list[NativeHold] = []
        for one in rows:
            try:
                row = fields.table(one)
                mark = marks.get(parse.id_of(row))
                job = parse.job_of(self._client.repository, parse.path_of(row))
            except RecordUnreadable:
                continue
            if mark is not None:
                where = f"variable {PREFIX}{row['id']} of the Actions of {self._client.repository}"
                holds += native_holds(job, Standing(row.get("state") != ACTIVE, (mark,)), where)
        return tuple(holds)

    def _marks(self) -> dict[int, HoldMark]:
        """Workflow -> its mark. Raises AccessRefused without the right to read variables."""
        marks: dict[int, HoldMark] = {}
        for page in range(1, MOST_PAGES + 1):
            reply = self._client.variables(page)
            if reply.status == 403:
                raise AccessRefused(f"{reply.place} is a refusal: {reply.said}. Holds are kept in Actions variables.")
            rows = fields.rows(reply.table().get("variables"))
            for row in rows:
                found = OURS.fullmatch(str(row.get("name"))) if isinstance(row, dict) else None
                mark = HoldMark.read(str(row.get("value"))) if found else None
                if found and mark is not None:
                    marks[int(found[1])] = mark
            if len(rows) < VARIABLES_LIMIT:
                return marks
        raise SystemUnreachable("GitHub: the list of variables does not end")


def _hold(job: str, workflow: int, state: str, now: Standing, ask: Ask) -> Preview:
    asked, why = asked_mark(ask), MARKING.unfit(job, now)
    if asked is None or why is not None:
        return refused("hold", f"{why}: {PAUSED_WORDS.get(state, state)}" if why else NO_END)
    name = f"{PREFIX}{workflow}"
    return Preview(
        verb="disable the workflow",
        words=f"disable {job} until {instant_key(asked.until)} at the latest, marked by the variable {name}",
        scope=f"every start of {job}: by its clock, by events and by hand",
        native_calls=(
            f"POST /actions/variables {fields.shown({'name': name, 'value': shown(asked)})}",
            f"PUT /actions/workflows/{workflow}/disable",
        ),
        notes=(
            "what runs goes on; a run that is there can still be run again",
            "it cannot be started by hand either while it is disabled",
            "workflows that start when it ends do not start meanwhile",
        ),
        plan={**hold_plan(job, asked), "workflow": workflow},
    )


def _release(job: str, workflow: int, now: Standing, ask: Ask) -> Preview:
    plan = {**release_plan(job, ask), "workflow": workflow}
    why = MARKING.bound(job, now, plan["hold"], "enable it on its page in GitHub")
    if why is not None:
        return refused("release", why)
    opens = plan["how"] == "release" and now.is_paused
    calls = [f"DELETE /actions/variables/{PREFIX}{workflow}"]
    return Preview(
        verb="enable the workflow" if opens else "take the mark away",
        words=f"enable {job} and delete our variable" if opens else f"delete our variable; whether {job} runs stays",
        scope=f"every start of {job}" if opens else f"the variable {PREFIX}{workflow}",
        native_calls=tuple([f"PUT /actions/workflows/{workflow}/enable", *calls] if opens else calls),
        notes=(STARTED_LATER,) if opens else (),
        plan=plan,
    )
