"""Deployments, flows and automations of Prefect -> jobs, schedules and edges. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from connectors import fields
from connectors.contract import JobRecord, Proof, Schedule
from connectors.holdnotes import without_holds
from connectors.prefect import parse

DEPTH = 5
"""Of triggers within triggers."""


def deployment(
    row: fields.Row,
    job: str,
    upstreams: Iterable[str],
    next_at: datetime | None,
    ui: str,
    slots_of: Mapping[str, int | None] | None = None,
) -> JobRecord:
    """One deployment. `slots_of`: how many runs of each work pool there may be at once."""
    pool = fields.words(row, "work_pool_name")
    told = without_holds(fields.words(row, "description"))
    place = fields.words(row, "entrypoint") or fields.words(row, "path")
    words = "" if told in ("", "None") else f": {told[:500]}"
    kept = {name: row.get(name) for name in ("entrypoint", "version", "parameters", "job_variables", "pull_steps")}
    return JobRecord(
        native_id=job,
        title=job,
        schedule=schedule(row, next_at),
        paused=row.get("paused") is True,
        upstreams=tuple(sorted(set(upstreams) - {job})),
        definition=f"{place}{words}",
        definition_hash=fields.short_digest(kept),
        proof=Proof.FULL,
        run_as=pool,
        native_url=f"{ui}/deployments/deployment/{parse.id_of(row)}" if ui else "",
        pool=pool if pool in (slots_of or {}) else "",
        slots=(slots_of or {}).get(pool),
    )


def slots(row: Any) -> tuple[str, int | None]:
    """Name and limit of a work pool; None where it has none. Raises RecordUnreadable."""
    row = fields.table(row)
    found = fields.number(row, "concurrency_limit", 0) if row.get("concurrency_limit") is not None else 0
    return fields.text(row, "name"), found if found >= 1 else None


def flow(name: str, flow_id: str, ui: str) -> JobRecord:
    """A flow that runs without a deployment: another flow calls it, or a person does."""
    return JobRecord(
        native_id=name,
        title=name,
        schedule=Schedule("none", words="Called by another flow, or by hand"),
        definition="a flow without a deployment",
        definition_hash=fields.short_digest([name]),
        proof=Proof.FULL,
        native_url=f"{ui}/flows/flow/{flow_id}" if ui else "",
    )


def schedule(row: fields.Row, next_at: datetime | None) -> Schedule:
    """Of the dialect "prefect": one cron expression of five fields is told, of anything else words and the next run."""
    active = [one for one in fields.rows(row.get("schedules")) if isinstance(one, dict) and one.get("active") is True]
    rules = [one["schedule"] for one in active if isinstance(one.get("schedule"), dict)]
    if not rules:
        return Schedule("none", words="No active schedule")
    words = "; ".join(_words(one) for one in rules)
    zones = [fields.words(one, "timezone") or "UTC" for one in rules]
    cron = fields.words(rules[0], "cron")
    if len(rules) > 1 or len(cron.split()) != 5 or rules[0].get("day_or") is False:
        return Schedule("prefect", "", zones[0], words, next_at)
    return Schedule("prefect", cron, zones[0], words, next_at)


def _words(rule: fields.Row) -> str:
    if cron := fields.words(rule, "cron"):
        return f"cron {cron} ({fields.words(rule, 'timezone') or 'UTC'})"
    if rrule := fields.words(rule, "rrule"):
        return f"rrule {rrule[:200]}"
    every = rule.get("interval")
    return (
        f"every {every:g} s" if isinstance(every, int | float) and not isinstance(every, bool) else "its own schedule"
    )


def edges(row: Any) -> tuple[set[str], set[str]]:
    """Of an automation that runs deployments when flow runs change: the resources that it watches ("prefect.flow.ID",
    "prefect.deployment.ID"), and the deployments that it runs. Empty for any other automation."""
    row = fields.table(row)
    if row.get("enabled") is not True:
        return set(), set()
    runs = {
        parse.id_of(one, "deployment_id")
        for one in fields.rows(row.get("actions"))
        if isinstance(one, dict) and one.get("type") == "run-deployment" and one.get("deployment_id") is not None
    }
    return (set(_watched(row.get("trigger"), DEPTH)), runs) if runs else (set(), set())


def _watched(trigger: Any, depth: int) -> Iterator[str]:
    if not isinstance(trigger, dict) or depth == 0:
        return
    for inner in fields.rows(trigger.get("triggers")):
        yield from _watched(inner, depth - 1)
    expected = [one for one in fields.rows(trigger.get("expect")) if isinstance(one, str)]
    if trigger.get("posture") != "Reactive" or not any(one.startswith("prefect.flow-run.") for one in expected):
        return
    related = trigger.get("match_related")
    for place in related if isinstance(related, list) else [related]:
        if isinstance(place, dict):
            yield from _resources(place)


def _resources(place: Mapping[str, Any]) -> Iterator[str]:
    found = place.get("prefect.resource.id")
    for one in found if isinstance(found, list) else [found]:
        if isinstance(one, str) and one.startswith(("prefect.deployment.", "prefect.flow.")):
            yield one
