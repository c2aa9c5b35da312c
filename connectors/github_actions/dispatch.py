"""START: a workflow_dispatch event. Our key goes into the input `headway_key` where the workflow has it, and is seen in
the run's title where `run-name` shows it; GitHub itself takes no key.

Without it a lost answer cannot be told from somebody else's start, and such a start is never repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors import fields
from connectors.arrival import IN_FLIGHT_SECONDS, sent_at
from connectors.contract import (
    Absent,
    Ask,
    CannotTell,
    Found,
    LookUp,
    OutcomeUnknown,
    Preview,
    Receipt,
    Verb,
    instant_key,
)
from connectors.github_actions import parse
from connectors.github_actions.client import PAGE_LIMIT, GitHubClient
from connectors.github_actions.definition import KEY_INPUT, PERIOD_INPUT, Definition
from connectors.github_actions.definitions import Definitions
from connectors.github_actions.inventory import ACTIVE
from connectors.github_actions.previews import active, login, workflow_of
from connectors.previews import instant, refused
from connectors.sending import after_once
from connectors.sending import refused as stop_if_refused
from connectors.transport.http import Reply

CLOCKS_APART = timedelta(minutes=2)
LISTED_LATER = timedelta(seconds=IN_FLIGHT_SECONDS) + CLOCKS_APART
"""How long after the intent GitHub may have created the run."""
DETAILS = "return_run_details"
NO_KEY = (
    f"its run cannot carry our key: give workflow_dispatch an input {KEY_INPUT} and show it in run-name, else a lost"
    " answer cannot be looked up"
)


class Dispatcher:
    """Starts workflows of one repository."""

    def __init__(
        self, client: GitHubClient, definitions: Definitions, ref: str, inputs: Mapping[str, Mapping[str, str]]
    ) -> None:
        self._client, self._definitions, self._ref, self._inputs = client, definitions, ref, inputs

    def preview(self, ask: Ask) -> Preview:
        """As the contract says."""
        job, verb = ask.run.job, str(ask.verb)
        at = instant(ask.parameters.get("period_at")) or instant(ask.run.period_key)
        if at is None and ask.verb is Verb.RERUN:
            return refused(verb, f"GitHub has no run {ask.run.period_key} of {job}, and it is no scheduled instant")
        row = workflow_of(self._client, job)
        if row is None:
            return refused(verb, f"GitHub has no workflow {job}: its jobs start with it, never alone")
        path = parse.path_of(row)
        self._definitions.refresh()
        definition = self._definitions.of(path)
        given = dict(self._inputs.get(path.removeprefix(parse.FOLDER), {}))
        why = _why_not(row, definition, given)
        if why is not None or definition is None:
            return refused(verb, why or "its file is not on the default branch")
        plan: dict[str, Any] = {
            "how": "dispatch",
            "job": job,
            "workflow": parse.id_of(row),
            "ref": self._ref or self._default_branch(),
            "inputs": given,
            "key": KEY_INPUT in definition.inputs,
            "shown": definition.shows_key,
        }
        if at is not None and PERIOD_INPUT in definition.inputs:
            plan["inputs"] = {**given, PERIOD_INPUT: instant_key(at)}
        return self._told(job, at, plan)

    def _told(self, job: str, at: datetime | None, plan: dict[str, Any]) -> Preview:
        label = f"{at:%Y-%m-%d %H:%MZ}" if at else "now"
        dated = PERIOD_INPUT in plan["inputs"]
        notes = () if dated else (f"the run gets no date: it runs for now (an input {PERIOD_INPUT} would get it)",)
        return Preview(
            verb="dispatch the workflow",
            words=f"start {job} on {plan['ref']} for {label}",
            scope="all jobs of the workflow",
            overlap=active(self._client, plan["workflow"]),
            native_calls=(
                f"POST /actions/workflows/{plan['workflow']}/dispatches {fields.shown(body_of(plan, 'KEY'))}",
            ),
            notes=(*notes, *(() if plan["shown"] else (NO_KEY,))),
            plan=plan,
        )

    def _default_branch(self) -> str:
        return fields.text(self._client.repository_row().table(), "default_branch")

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. What is there under this key is not sent again."""
        found = self._mine(self._dispatched(plan), key) if plan["shown"] else 0
        if found:
            return Receipt(parse.ref_of(found, 1), "was dispatched under this key before")
        workflow, body = int(plan["workflow"]), body_of(plan, key)
        reply = self._client.dispatch(workflow, body)
        if reply.status == 422 and DETAILS in reply.said:  # an Enterprise Server that does not know it yet
            reply = self._client.dispatch(workflow, {name: value for name, value in body.items() if name != DETAILS})
        stop_if_refused(reply)
        run = _run_in(reply)
        if run:
            return Receipt(parse.ref_of(run, 1), f"dispatched as run {run}")
        return Receipt(str(plan["job"]), "dispatched; GitHub did not say as which run")

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the key in a title; without it, whether our account dispatched anything since."""
        listed = self._dispatched(plan)
        if plan.get("shown") and (found := self._mine(listed, key)):
            return Found(parse.ref_of(found, 1), "a run's title has our key")
        if len(listed) >= PAGE_LIMIT:
            return CannotTell(f"{len(listed)} runs and more were dispatched then: ours may be one that is not listed")
        return Absent() if plan.get("shown") else self._look_for_ours(listed)

    def _look_for_ours(self, listed: list[fields.Row]) -> LookUp:
        me = login(self._client)
        if not me:
            return CannotTell("the run's title does not show our key, and the token has no user to look for")
        rows = [row for row in listed if parse.login_of(row) == me]
        if rows:
            return CannotTell(f"{len(rows)} runs were dispatched by {me} since: none shows our key, one may be it")
        return Absent()

    def _mine(self, listed: list[fields.Row], key: str) -> int:
        return min((parse.id_of(row) for row in listed if key in str(row.get("display_title"))), default=0)

    def _dispatched(self, plan: Mapping[str, Any]) -> list[fields.Row]:
        """Runs that were dispatched while ours could be, the newest first, a page of them."""
        sent = sent_at(plan)
        since = (sent or datetime.now(UTC) - timedelta(days=1)) - CLOCKS_APART
        first = f"{since:%Y-%m-%dT%H:%M:%SZ}"
        created = f"{first}..{sent + LISTED_LATER:%Y-%m-%dT%H:%M:%SZ}" if sent else f">={first}"
        reply = self._client.runs_of(int(plan["workflow"]), event="workflow_dispatch", created=created)
        return [row for row in fields.rows(reply.table().get("workflow_runs")) if isinstance(row, dict)]


def body_of(plan: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What is sent."""
    inputs = {**plan["inputs"], **({KEY_INPUT: key} if plan["key"] else {})}
    return {"ref": plan["ref"], **({"inputs": inputs} if inputs else {}), DETAILS: True}


def _why_not(row: fields.Row, definition: Definition | None, given: Mapping[str, str]) -> str | None:
    if row.get("state") != ACTIVE:
        return f"GitHub starts no workflow that is {fields.words(row, 'state')}"
    if definition is None:
        return "its file is not on the default branch, or cannot be read"
    if "workflow_dispatch" not in definition.triggers:
        return "its file has no workflow_dispatch trigger: GitHub starts nothing else on request"
    missing = [name for name, must in definition.inputs.items() if must and name not in given]
    missing = [name for name in missing if name not in (KEY_INPUT, PERIOD_INPUT)]
    unknown = sorted(given.keys() - definition.inputs.keys())
    if missing:
        return f"it needs the inputs {', '.join(missing)}: name them in the system's inputs"
    return f"it has no inputs {', '.join(unknown)}: correct the system's inputs" if unknown else None


def _run_in(reply: Reply) -> int:
    """The run that the answer names; 0 where it names none."""
    if reply.status == 204 or not reply.body:
        return 0
    found = after_once(reply).get("workflow_run_id")
    if not isinstance(found, int):
        raise OutcomeUnknown(f"{reply.place} names no run. It was sent; it is looked up before anything is sent again.")
    return found
