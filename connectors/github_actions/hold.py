"""HOLD disables a workflow under our mark; RELEASE enables it, or takes away the mark alone.

A workflow has no place for a note. The mark is a variable of the repository's Actions, HEADWAY_HOLD_ and the workflow's
id, which people see in the repository's settings. It is written before the workflow is disabled and taken away after it
is enabled: there is no pause of ours without its mark, and a mark whose pause never came is bare.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from connectors import fields
from connectors.contract import (
    STARTED_LATER,
    Absent,
    AccessRefused,
    Ask,
    CannotTell,
    Found,
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
from connectors.github_actions.previews import instant, refused, row_of_id, workflow_of
from connectors.holdnotes import KEY_TO_COME, hold_mark, mark_of
from connectors.sending import refused as stop_if_refused

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
        mark = self._mark(workflow)
        if ask.verb is Verb.HOLD:
            return _hold(job, workflow, state, mark, ask)
        return _release(job, workflow, state, mark, ask)

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says."""
        workflow, job = int(plan["workflow"]), str(plan["job"])
        row = row_of_id(self._client, workflow)
        if row is None:
            raise NotSupported(f"GitHub: {job} is gone; nothing was sent")
        is_active, mark = row.get("state") == ACTIVE, self._mark(workflow)
        if plan["how"] == "hold":
            self._place(plan, key, is_active, mark)
            return Receipt(_ref(job, key), f"{job} is disabled")
        hold = str(plan["hold"])
        if mark is None or mark.id != hold:
            raise NotSupported(f"GitHub: no variable tells of this hold of {job} by now; nothing was sent")
        if plan["how"] == "release" and not is_active:
            stop_if_refused(self._client.enable(workflow, True))
        stop_if_refused(self._client.delete_variable(f"{PREFIX}{workflow}"))
        return Receipt(_ref(job, hold), f"{job} is as it was")

    def _place(self, plan: Mapping[str, Any], key: str, is_active: bool, mark: HoldMark | None) -> None:
        workflow, job = int(plan["workflow"]), plan["job"]
        if mark is not None and mark.id == key:
            if is_active:
                stop_if_refused(self._client.enable(workflow, False))
            return
        ours = mark_of(plan, key)
        if not is_active or ours is None:
            raise NotSupported(f"GitHub: {job} is disabled by now, and not by this hold; nothing was sent")
        if mark is not None:  # bare: its hold was undone by hand
            stop_if_refused(self._client.delete_variable(f"{PREFIX}{workflow}"))
        stop_if_refused(self._client.set_variable(f"{PREFIX}{workflow}", ours.text))
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
        workflow, job = int(plan["workflow"]), str(plan["job"])
        row = row_of_id(self._client, workflow)
        if row is None:
            return CannotTell(f"GitHub no longer has the workflow {job}")
        is_active, mark = row.get("state") == ACTIVE, self._mark(workflow)
        if plan["how"] == "hold":
            held = mark is not None and mark.id == key and not is_active
            return Found(_ref(job, key), f"{job} is disabled under our mark") if held else Absent()
        if mark is not None and mark.id == plan["hold"]:
            return Absent()
        if plan["how"] == "release" and not is_active:
            return CannotTell(f"{job} is disabled, and no variable tells of this hold: somebody else has it")
        return Found(_ref(job, str(plan["hold"])), f"no variable tells of this hold of {job}")

    def _mark(self, workflow: int) -> HoldMark | None:
        reply = self._client.variable(f"{PREFIX}{workflow}")
        return HoldMark.read(fields.words(reply.table(), "value")) if reply.status == 200 else None

    def all_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """Every mark of the repository; bare where its workflow is enabled. `known` adds nothing: all are seen."""
        marks = self._marks()
        if not marks:
            return ()
        rows, _, _ = workflows(self._client)
        holds = []
        for one in rows:
            try:
                row = fields.table(one)
                mark = marks.get(parse.id_of(row))
                job = parse.job_of(self._client.repository, parse.path_of(row))
            except RecordUnreadable:
                continue
            if mark is not None:
                where = f"variable {PREFIX}{row['id']} of the Actions of {self._client.repository}"
                holds.append(NativeHold(job, mark, where, bare=row.get("state") == ACTIVE))
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


def _hold(job: str, workflow: int, state: str, mark: HoldMark | None, ask: Ask) -> Preview:
    until = instant(ask.parameters.get("until"))
    if until is None:
        return refused("hold", "a hold needs an end (until), after which nobody should hold any more")
    if state != ACTIVE:
        ours = f"by Headway for {mark.by} until {instant_key(mark.until)}" if mark else "not by Headway"
        return refused("hold", f"{job} is disabled already, {ours}: {PAUSED_WORDS.get(state, state)}")
    asked = hold_mark(KEY_TO_COME, str(ask.parameters.get("by") or ""), until)
    name = f"{PREFIX}{workflow}"
    value = asked.text.replace(KEY_TO_COME, "KEY")
    return Preview(
        verb="disable the workflow",
        words=f"disable {job} until {instant_key(asked.until)} at the latest, marked by the variable {name}",
        scope=f"every start of {job}: by its clock, by events and by hand",
        native_calls=(
            f"POST /actions/variables {fields.shown({'name': name, 'value': value})}",
            f"PUT /actions/workflows/{workflow}/disable",
        ),
        notes=(
            "what runs goes on; a run that is there can still be run again",
            "it cannot be started by hand either while it is disabled",
            "workflows that start when it ends do not start meanwhile",
        ),
        plan={"how": "hold", "job": job, "workflow": workflow, "by": asked.by, "until": instant_key(asked.until)},
    )


def _release(job: str, workflow: int, state: str, mark: HoldMark | None, ask: Ask) -> Preview:
    hold, enables = str(ask.parameters.get("hold") or ""), ask.parameters.get("enable") != "no"
    if mark is None or mark.id != hold:
        why = "is disabled, but no variable tells of such a hold: a person has it" if state != ACTIVE else "is not held"
        return refused("release", f"{job} {why}")
    opens = enables and state != ACTIVE
    calls = [f"DELETE /actions/variables/{PREFIX}{workflow}"]
    return Preview(
        verb="enable the workflow" if opens else "take the mark away",
        words=f"enable {job} and delete our variable" if opens else f"delete our variable; whether {job} runs stays",
        scope=f"every start of {job}" if opens else f"the variable {PREFIX}{workflow}",
        native_calls=tuple([f"PUT /actions/workflows/{workflow}/enable", *calls] if opens else calls),
        notes=(STARTED_LATER,) if opens else (),
        plan={"how": "release" if enables else "clear", "job": job, "workflow": workflow, "hold": hold},
    )


def _ref(job: str, hold: str) -> str:
    return json.dumps({"workflow": job, "hold": hold})
