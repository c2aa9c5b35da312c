"""HOLD pauses what starts a job by itself, under our mark; RELEASE unpauses it, or takes away the mark alone.

The mark is the job's tag headway_hold. Tag and pause go in one request, so there is none without the other; where a
workspace takes no such tag (Google Cloud allows less in one), it refuses the whole, and nothing is held.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from connectors import fields
from connectors.contract import (
    STARTED_LATER,
    Absent,
    Ask,
    CannotTell,
    Found,
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
from connectors.databricks.inventory import HOLD_TAG, MOST_PAGES, mark_of_tags, tags_of
from connectors.databricks.pages import pages
from connectors.databricks.previews import instant, refused, settings_of
from connectors.holdnotes import KEY_TO_COME, hold_mark, mark_of, not_released
from connectors.sending import refused as stop_if_refused

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
        job = str(plan["job"])
        settings = settings_of(self._client, job)
        if settings is None:
            raise NotSupported(f"Databricks: {job} is gone; nothing was sent")
        mark, paused = mark_of_tags(settings), schedules.is_paused(settings)
        hold = key if plan["how"] == "hold" else str(plan["hold"])
        if plan["how"] == "hold":
            if paused and mark is not None and mark.id == key:
                return Receipt(_ref(job, key), "was held under this key before")
            ours = mark_of(plan, key)
            if paused or ours is None or not schedules.clock_of(settings):
                raise NotSupported(f"Databricks: {job} is paused by now, and not by this hold; nothing was sent")
            body = body_of(int(job), settings, {**tags_of(settings), HOLD_TAG: ours.text}, schedules.PAUSED)
        elif mark is None or mark.id != hold:
            raise NotSupported(f"Databricks: no tag of {job} tells of this hold by now; nothing was sent")
        else:
            rest = {name: value for name, value in tags_of(settings).items() if name != HOLD_TAG}
            body = body_of(int(job), settings, rest, "UNPAUSED" if plan["how"] == "release" else "")
        stop_if_refused(self._client.update(body))
        return Receipt(_ref(job, hold), f"{job} is {'paused' if plan['how'] == 'hold' else 'as it was'}")

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By the tag and the pause."""
        job = str(plan["job"])
        settings = settings_of(self._client, job)
        if settings is None:
            return CannotTell(f"Databricks no longer has the job {job}")
        mark, paused = mark_of_tags(settings), schedules.is_paused(settings)
        if plan["how"] == "hold":
            held = mark is not None and mark.id == key and paused
            return Found(_ref(job, key), f"{job} is paused under our mark") if held else Absent()
        if mark is not None and mark.id == plan["hold"]:
            return Absent()
        if plan["how"] == "release" and paused:
            return CannotTell(f"{job} is paused, and no tag tells of this hold: somebody else has it")
        return Found(_ref(job, str(plan["hold"])), f"no tag of {job} tells of this hold")

    def all_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """Every mark of the workspace; bare where its job is not paused. `known` adds nothing: all are seen."""
        holds = []
        for rows, _ in pages(self._client.jobs, "jobs", MOST_PAGES):
            for one in rows:
                try:
                    row = fields.table(one)
                    job, settings = str(parse.id_of(row, "job_id")), fields.table(row.get("settings"))
                except RecordUnreadable:
                    continue
                mark = mark_of_tags(settings)
                if mark is not None:
                    name = fields.clean(str(settings.get("name")))
                    bare = not schedules.is_paused(settings)
                    holds.append(NativeHold(job, mark, f"tag {HOLD_TAG} of the job {name}", bare=bare))
        return tuple(holds)


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
    until, clock = instant(ask.parameters.get("until")), schedules.clock_of(settings)
    if until is None:
        return refused("hold", "a hold needs an end (until), after which nobody should hold any more")
    if not clock:
        return refused("hold", f"{job} has no schedule and no trigger: only people and other jobs start it")
    mark = mark_of_tags(settings)
    if schedules.is_paused(settings):
        ours = f"by Headway for {mark.by} until {instant_key(mark.until)}" if mark else "not by Headway"
        return refused("hold", f"{job} is paused already, {ours}")
    asked = hold_mark(KEY_TO_COME, str(ask.parameters.get("by") or ""), until)
    tag = asked.text.replace(KEY_TO_COME, "KEY")
    shown = {"job_id": int(job), "new_settings": {clock: {"pause_status": "PAUSED"}, "tags": {HOLD_TAG: tag}}}
    return Preview(
        verb="pause the schedule",
        words=f"pause the {clock} of {fields.words(settings, 'name') or job} until {instant_key(asked.until)}"
        " at the latest, marked in its tags",
        scope=f"the {clock} of the job",
        native_calls=(f"POST /api/2.2/jobs/update {fields.shown(shown)}",),
        notes=(
            "what runs goes on; it can still be started by hand, and by other jobs",
            "tags go to the job's clusters: those that start meanwhile bear the mark as well",
            "whoever deploys the job anew (bundles, Terraform) writes its schedule and tags: that ends the hold",
        ),
        plan={"how": "hold", "job": int(job), "by": asked.by, "until": instant_key(asked.until)},
    )


def _release(job: str, settings: fields.Row, ask: Ask) -> Preview:
    hold, enables = str(ask.parameters.get("hold") or ""), ask.parameters.get("enable") != "no"
    paused, mark = schedules.is_paused(settings), mark_of_tags(settings)
    why = not_released(job, hold, mark, not paused, BY_HAND)
    if why is not None:
        return refused("release", why)
    resumes, clock = enables and paused, schedules.clock_of(settings)
    rest = {name: value for name, value in tags_of(settings).items() if name != HOLD_TAG}
    body = body_of(int(job), settings, rest, "UNPAUSED" if enables else "")
    return Preview(
        verb="resume the schedule" if resumes else "take the mark away",
        words=f"resume the {clock} of {job} and take our tag away" if resumes else f"take our tag from {job}",
        scope=f"the {clock} of the job" if resumes else "the tags of the job",
        native_calls=(f"POST /api/2.2/jobs/update {fields.shown(body)}",),
        notes=(STARTED_LATER,) if resumes else (),
        plan={"how": "release" if enables else "clear", "job": int(job), "hold": hold},
    )


def _ref(job: str, hold: str) -> str:
    return json.dumps({"job": job, "hold": hold})
