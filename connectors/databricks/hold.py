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
from connectors.sdk.contract import HoldMark, NativeHold
from connectors.sdk.errors import ActionRefused
from connectors.sdk.marked_pause import MarkedPause, MarkedPauseHolder, PauseState, holds_in, native_holds
from connectors.sdk.send_outcome import raise_if_refused


class DatabricksHolder(MarkedPauseHolder[fields.Row]):
    marking = MarkedPause("Databricks", "paused", "tag")
    fix = "resume its schedule in Databricks"
    unit = "the schedule"
    hold_notes = (
        "active runs continue; it can still be started by hand, and by other jobs",
        "tags are copied to the job's clusters: those that start meanwhile carry the mark as well",
        "a redeploy of the job (bundles, Terraform) rewrites its schedule and tags, which ends the hold",
    )

    def __init__(self, client: DatabricksClient) -> None:
        self._client = client

    def read(self, job: str) -> fields.Row:
        return read_job_settings(self._client, job)

    def state(self, row: fields.Row) -> PauseState:
        return PauseState(parse.is_paused(row), tuple(holds_in(job_tags(row).get(HOLD_TAG, ""))))

    def hold_refusal(self, job: str, row: fields.Row, now: PauseState) -> str | None:
        if not parse.trigger_kind(row):
            return f"{job} has no schedule and no trigger: only people and other jobs start it"
        return super().hold_refusal(job, row, now)

    def subject(self, job: str, row: fields.Row) -> str:
        return f"the {parse.trigger_kind(row)} of {fields.optional_text(row, 'name') or job}"

    def hold_calls(self, row: fields.Row, plan: Mapping[str, Any], mark: HoldMark) -> tuple[str, ...]:
        return (_call_text(_pause_body(row, plan, mark)),)

    def release_calls(self, row: fields.Row, plan: Mapping[str, Any]) -> tuple[str, ...]:
        return (_call_text(_unpause_body(row, plan)),)

    def write_hold(self, row: fields.Row, now: PauseState, plan: Mapping[str, Any], mark: HoldMark) -> None:
        if not parse.trigger_kind(row):
            raise ActionRefused(f"Databricks: {plan['job']} no longer has a schedule")
        raise_if_refused(self._client.update(_pause_body(row, plan, mark)))

    def write_release(self, row: fields.Row, now: PauseState, plan: Mapping[str, Any]) -> None:
        raise_if_refused(self._client.update(_unpause_body(row, plan)))

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


def _call_text(body: dict[str, Any]) -> str:
    return f"POST /api/2.2/jobs/update {fields.to_json(body)}"


def _pause_body(settings: fields.Row, plan: Mapping[str, Any], mark: HoldMark) -> dict[str, Any]:
    tags = {**job_tags(settings), HOLD_TAG: mark.text}
    return settings_body(int(plan["job"]), settings, tags, parse.PAUSED_STATUS)


def _unpause_body(settings: fields.Row, plan: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in job_tags(settings).items() if name != HOLD_TAG}
    return settings_body(int(plan["job"]), settings, rest, "UNPAUSED" if plan["how"] == "release" else "")


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
