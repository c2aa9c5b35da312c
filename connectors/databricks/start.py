"""START: run-now under our key as its idempotency token, so that a repeat is answered with the same run.

The token is seen in no answer. Where the job has a parameter `headway_key` it gets our key, and so the run is known
again; without it a lost answer is told as such, and only a repeat under the same key would tell.
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
from connectors.databricks import parse, schedules
from connectors.databricks.client import DatabricksClient
from connectors.databricks.pages import pages
from connectors.databricks.parse import KEY_PARAMETER, PERIOD_PARAMETER
from connectors.databricks.previews import active, settings_of
from connectors.previews import instant, refused
from connectors.sending import after_once
from connectors.sending import refused as stop_if_refused

MOST_PAGES = 20
CLOCKS_APART = timedelta(minutes=2)
LISTED_LATER = timedelta(seconds=IN_FLIGHT_SECONDS) + CLOCKS_APART
"""How long after the intent Databricks may have started the run."""
NO_KEY = f"its run does not show our key: give the job a parameter {KEY_PARAMETER}, else a lost answer stays unknown"


class Starter:
    """Starts jobs of one workspace."""

    def __init__(self, client: DatabricksClient) -> None:
        self._client = client

    def preview(self, ask: Ask) -> Preview:
        """As the contract says."""
        job, verb = ask.run.job, str(ask.verb)
        at = instant(ask.parameters.get("period_at")) or instant(ask.run.period_key)
        if at is None and ask.verb is Verb.RERUN:
            return refused(verb, f"Databricks has no run {ask.run.period_key} of {job}, and it is no scheduled instant")
        settings = settings_of(self._client, job)
        if settings is None:
            return refused(verb, f"Databricks has no job {job}; a task starts with its job, never alone")
        names = [str(one.get("name")) for one in fields.rows(settings.get("parameters")) if isinstance(one, dict)]
        dated = {PERIOD_PARAMETER: instant_key(at)} if at is not None and PERIOD_PARAMETER in names else {}
        plan = {"how": "run_now", "job": int(job), "parameters": dated, "shown": KEY_PARAMETER in names}
        label = f"{at:%Y-%m-%d %H:%MZ}" if at else "now"
        undated = f"the run gets no date: it runs for now (a parameter {PERIOD_PARAMETER} would get it)"
        paused = ("its schedule is paused; a run that is started by hand goes all the same",)
        return Preview(
            verb="run now",
            words=f"start a run of {fields.words(settings, 'name') or job} for {label}",
            scope="all tasks of the job",
            overlap=active(self._client, job),
            native_calls=(f"POST /api/2.2/jobs/run-now {fields.shown(body_of(plan, 'KEY'))}",),
            notes=(
                *(() if dated else (undated,)),
                *(() if plan["shown"] else (NO_KEY,)),
                *(paused if schedules.is_paused(settings) else ()),
            ),
            plan=plan,
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says. The same key again makes no second run."""
        reply = self._client.run_now(body_of(plan, key))
        stop_if_refused(reply)
        run = after_once(reply).get("run_id")
        if type(run) is not int:
            raise OutcomeUnknown(f"{reply.place} names no run. It was sent; it is looked up.")
        return Receipt(parse.ref_of(run), f"run {run}")

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the parameter that has our key."""
        mine, is_whole = self._started(plan)
        found = [row for row in mine if parse.parameters_of(row).get(KEY_PARAMETER) == key]
        if plan.get("shown") and found:
            return Found(parse.ref_of(parse.id_of(found[0], "run_id")), "a run has our key")
        if not is_whole:
            return CannotTell(f"{len(mine)} runs and more began then: ours may be one that is not listed")
        if not plan.get("shown"):
            by_hand = [row for row in mine if row.get("trigger") == "ONE_TIME"]
            return (
                CannotTell(f"{len(by_hand)} runs of it were started by hand since; {NO_KEY}") if by_hand else Absent()
            )
        return Absent()

    def _started(self, plan: Mapping[str, Any]) -> tuple[list[fields.Row], bool]:
        """Runs of the job that began while ours could, the newest first, and whether these are all."""
        sent = sent_at(plan)
        since = (sent or datetime.now(UTC) - timedelta(days=1)) - CLOCKS_APART
        where = {"job_id": int(plan["job"]), "start_time_from": int(since.timestamp() * 1000)}
        if sent:
            where["start_time_to"] = int((sent + LISTED_LATER).timestamp() * 1000)
        rows, is_whole = list[Any](), True
        for some, reply in pages(lambda page: self._client.runs(page, **where), "runs", MOST_PAGES):
            rows += some
            is_whole = not reply.table().get("next_page_token")
        return [row for row in rows if isinstance(row, dict)], is_whole


def body_of(plan: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What is sent. A key of ours has 48 characters at most, a token may have 64."""
    parameters = {**plan["parameters"], **({KEY_PARAMETER: key} if plan["shown"] else {})}
    told = {"job_parameters": parameters} if parameters else {}
    return {"job_id": plan["job"], "idempotency_token": key, **told}
