"""HOLD pauses what starts a job by itself, under our mark; RELEASE unpauses it, or takes away the mark alone.

The mark is the job's tag headway_hold. Tag and pause go in one request, so there is none without the other; where a
workspace takes no such tag (Google Cloud allows less in one), it refuses the whole, and nothing is held.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from connectors import fields
from connectors.contract import (
    STARTED_LATER,
    Ask,
    LookUp,
    NativeHold,
    NotSupported,
    Preview,
    Receipt,
    RecordUnreadable,
    Verb,
    instant_key,
)
from connectors.databricks import parse, schedules
from connectors.databricks.client import DatabricksClient
from connectors.databricks.inventory import HOLD_TAG, MOST_PAGES, tags_of
from connectors.databricks.pages import pages
from connectors.databricks.previews import settings_of
from connectors.holdnotes import holds_in
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

MARKING = Marking("Databricks", "paused", "tag")
BY_HAND = "resume its schedule in Databricks"


class Holder:
    """HOLD and RELEASE in one workspace."""

    def __init__(self, client: DatabricksClient) -> None:
        self._client = client

    def preview(self, ask: Ask) -> Preview:
        """As the contract says."""
        job, verb = ask.run.job, str(ask.verb)
        settings = settings_of(self._client, job)
        if settings is None:
            return refused(verb, f"Databricks has no job {job}; a task starts with its job, never alone")
        if ask.verb is Verb.HOLD:
            return _hold(job, settings, ask)
        return _release(job, settings, ask)

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says."""
        settings = settings_of(self._client, str(plan["job"]))
        if settings is None:
            raise MARKING.gone(plan)
        body = _held(settings, plan, key) if plan["how"] == "hold" else _freed(settings, plan)
        if body is not None:
            stop_if_refused(self._client.update(body))
        return MARKING.done(plan, key)

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the tag and the pause."""
        settings = settings_of(self._client, str(plan["job"]))
        return MARKING.look(None if settings is None else _standing(settings), plan, key)

    def all_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """Every mark of the workspace; bare where its job is not paused. `known` adds nothing: all are seen."""
        holds: list[NativeHold] = []
        for rows, _ in pages(self._client.jobs, "jobs", MOST_PAGES):
            for one in rows:
                try:
                    row = fields.table(one)
                    job, settings = str(parse.id_of(row, "job_id")), fields.table(row.get("settings"))
                except RecordUnreadable:
                    continue
                where = f"tag {HOLD_TAG} of the job {fields.clean(str(settings.get('name')))}"
                holds += native_holds(job, _standing(settings), where)
        return tuple(holds)


def _standing(settings: fields.Row) -> Standing:
    return Standing(schedules.is_paused(settings), tuple(holds_in(tags_of(settings).get(HOLD_TAG, ""))))


def _held(settings: fields.Row, plan: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """What is sent; None where it is held under this key. Raises NotSupported."""
    mark = MARKING.to_write(_standing(settings), plan, key)
    if mark is None:
        return None
    if not schedules.clock_of(settings):
        raise NotSupported(f"Databricks: {plan['job']} has no schedule by now; nothing was sent")
    return body_of(int(plan["job"]), settings, {**tags_of(settings), HOLD_TAG: mark.text}, schedules.PAUSED)


def _freed(settings: fields.Row, plan: Mapping[str, Any]) -> dict[str, Any]:
    MARKING.check_release(_standing(settings), plan)
    return _freeing(int(plan["job"]), settings, plan["how"] == "release")


def _freeing(job: int, settings: fields.Row, enables: bool) -> dict[str, Any]:
    rest = {name: value for name, value in tags_of(settings).items() if name != HOLD_TAG}
    return body_of(job, settings, rest, "UNPAUSED" if enables else "")


def body_of(job: int, settings: fields.Row, tags: Mapping[str, str], pause: str) -> dict[str, Any]:
    """What is sent: top-level settings are replaced whole, so the clock goes along as it is, less its pause."""
    changed: dict[str, Any] = {"tags": dict(tags)} if tags else {}
    name = schedules.clock_of(settings)
    if pause and name:
        changed[name] = {**settings[name], "pause_status": pause}
    return {
        "job_id": job,
        **({"new_settings": changed} if changed else {}),
        **({} if tags else {"fields_to_remove": ["tags"]}),
    }


def _hold(job: str, settings: fields.Row, ask: Ask) -> Preview:
    asked, clock = asked_mark(ask), schedules.clock_of(settings)
    why = MARKING.unfit(job, _standing(settings))
    if not clock:
        why = f"{job} has no schedule and no trigger: only people and other jobs start it"
    if asked is None or why is not None:
        return refused("hold", why or NO_END)
    tags = {HOLD_TAG: shown(asked)}
    body = {"job_id": int(job), "new_settings": {clock: {"pause_status": schedules.PAUSED}, "tags": tags}}
    return Preview(
        verb="pause the schedule",
        words=f"pause the {clock} of {fields.words(settings, 'name') or job} until {instant_key(asked.until)}"
        " at the latest, marked in its tags",
        scope=f"the {clock} of the job",
        native_calls=(f"POST /api/2.2/jobs/update {fields.shown(body)}",),
        notes=(
            "what runs goes on; it can still be started by hand, and by other jobs",
            "tags go to the job's clusters: those that start meanwhile bear the mark as well",
            "whoever deploys the job anew (bundles, Terraform) writes its schedule and tags: that ends the hold",
        ),
        plan=hold_plan(job, asked),
    )


def _release(job: str, settings: fields.Row, ask: Ask) -> Preview:
    plan, now = release_plan(job, ask), _standing(settings)
    why = MARKING.bound(job, now, plan["hold"], BY_HAND)
    if why is not None:
        return refused("release", why)
    enables, clock = plan["how"] == "release", schedules.clock_of(settings)
    resumes, body = enables and now.is_paused, _freeing(int(job), settings, enables)
    return Preview(
        verb="resume the schedule" if resumes else "take the mark away",
        words=f"resume the {clock} of {job} and take our tag away" if resumes else f"take our tag from {job}",
        scope=f"the {clock} of the job" if resumes else "the tags of the job",
        native_calls=(f"POST /api/2.2/jobs/update {fields.shown(body)}",),
        notes=(STARTED_LATER,) if resumes else (),
        plan=plan,
    )
