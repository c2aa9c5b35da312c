"""HOLD pauses what starts a job by itself, under the hold mark; RELEASE unpauses it, or removes only the mark.

The mark is the job's tag `headway_hold`. Tag and pause are set in one request, so neither exists without the other.
A workspace that does not accept such a tag (Google Cloud allows fewer characters) rejects the whole request, and
nothing is held.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from connectors.databricks import parse
from connectors.databricks.client import DatabricksClient, read_pages
from connectors.databricks.inventory import HOLD_TAG, MAX_PAGES, job_tags, read_job_settings
from connectors.sdk import fields
from connectors.sdk.contract import STARTED_LATER, HoldMark, NativeHold, Preview
from connectors.sdk.errors import NotSupported
from connectors.sdk.marked_pause import MarkedPause, MarkedPauseHolder, PauseState, holds_in, native_holds, shown_mark
from connectors.sdk.records import instant_key
from connectors.sdk.send_outcome import raise_if_refused


class DatabricksHolder(MarkedPauseHolder[fields.Row]):
    marking = MarkedPause("Databricks", "paused", "tag")
    missing_job = "Databricks has no job {job}; a task starts with its job, never alone"
    fix = "resume its schedule in Databricks"

    def __init__(self, client: DatabricksClient) -> None:
        self._client = client

    def read(self, job: str) -> fields.Row | None:
        return read_job_settings(self._client, job)

    def state(self, row: fields.Row) -> PauseState:
        return PauseState(parse.is_paused(row), tuple(holds_in(job_tags(row).get(HOLD_TAG, ""))))

    def hold_refusal(self, job: str, row: fields.Row, now: PauseState) -> str | None:
        if not parse.trigger_kind(row):
            return f"{job} has no schedule and no trigger: only people and other jobs start it"
        return super().hold_refusal(job, row, now)

    def preview_hold(self, job: str, row: fields.Row, mark: HoldMark) -> Preview:
        clock = parse.trigger_kind(row)
        tags = {HOLD_TAG: shown_mark(mark)}
        body = {"job_id": int(job), "new_settings": {clock: {"pause_status": parse.PAUSED_STATUS}, "tags": tags}}
        return Preview(
            verb="pause the schedule",
            summary=f"pause the {clock} of {fields.optional_text(row, 'name') or job} until {instant_key(mark.until)}"
            " at the latest, marked in its tags",
            scope=f"the {clock} of the job",
            native_calls=(f"POST /api/2.2/jobs/update {fields.to_json(body)}",),
            notes=(
                "active runs continue; it can still be started by hand, and by other jobs",
                "tags are copied to the job's clusters: those that start meanwhile carry the mark as well",
                "a redeploy of the job (bundles, Terraform) rewrites its schedule and tags, which ends the hold",
            ),
        )

    def preview_release(self, job: str, row: fields.Row, plan: Mapping[str, Any], resumes: bool) -> Preview:
        clock, body = parse.trigger_kind(row), _unpause_body(int(job), row, plan["how"] == "release")
        return Preview(
            verb="resume the schedule" if resumes else "remove the mark",
            summary=f"resume the {clock} of {job} and remove our tag" if resumes else f"remove our tag from {job}",
            scope=f"the {clock} of the job" if resumes else "the tags of the job",
            native_calls=(f"POST /api/2.2/jobs/update {fields.to_json(body)}",),
            notes=(STARTED_LATER,) if resumes else (),
        )

    def write_hold(self, row: fields.Row, now: PauseState, plan: Mapping[str, Any], mark: HoldMark) -> None:
        if not parse.trigger_kind(row):
            raise NotSupported(f"Databricks: {plan['job']} no longer has a schedule; nothing was sent")
        tags = {**job_tags(row), HOLD_TAG: mark.text}
        raise_if_refused(self._client.update(settings_body(int(plan["job"]), row, tags, parse.PAUSED_STATUS)))

    def write_release(self, row: fields.Row, now: PauseState, plan: Mapping[str, Any]) -> None:
        raise_if_refused(self._client.update(_unpause_body(int(plan["job"]), row, plan["how"] == "release")))

    def all_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """Every mark of the workspace; bare where its job is not paused. `known` adds nothing: all are seen."""
        holds: list[NativeHold] = []
        rows = (row for page, _ in read_pages(self._client.jobs, "jobs", MAX_PAGES) for row in page)
        for job, settings in fields.readable(rows, _job_settings):
            where = f"tag {HOLD_TAG} of the job {fields.clean(str(settings.get('name')))}"
            holds += native_holds(str(job), self.state(settings), where)
        return tuple(holds)


def _job_settings(item: Any) -> tuple[int, fields.Row]:
    row = fields.table(item)
    return fields.positive(row, "job_id"), fields.table(row.get("settings"))


def _unpause_body(job: int, settings: fields.Row, enables: bool) -> dict[str, Any]:
    rest = {name: value for name, value in job_tags(settings).items() if name != HOLD_TAG}
    return settings_body(job, settings, rest, "UNPAUSED" if enables else "")


def settings_body(job: int, settings: fields.Row, tags: Mapping[str, str], pause: str) -> dict[str, Any]:
    """Body of the request: top-level settings are replaced as a whole, so the trigger is sent unchanged except for its
    pause."""
    changed: dict[str, Any] = {"tags": dict(tags)} if tags else {}
    name = parse.trigger_kind(settings)
    if pause and name:
        changed[name] = {**settings[name], "pause_status": pause}
    return {
        "job_id": job,
        **({"new_settings": changed} if changed else {}),
        **({} if tags else {"fields_to_remove": ["tags"]}),
    }
