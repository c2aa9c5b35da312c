"""Raw replies of Dagster -> records. Pure; a row that cannot be read raises RecordUnreadable and nothing else."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from connectors import fields
from connectors.contract import (
    ACTION_KEY,
    Evidence,
    JobRecord,
    Proof,
    RecordUnreadable,
    RunRecord,
    Schedule,
    Skipped,
    State,
    instant_key,
)
from connectors.dagster.limits import Limit, tightest
from connectors.fields import Row

STATES: dict[str, State] = {
    "NOT_STARTED": State.QUEUED,
    "QUEUED": State.QUEUED,
    "MANAGED": State.QUEUED,
    "STARTING": State.QUEUED,
    "STARTED": State.RUNNING,
    "SUCCESS": State.SUCCEEDED,
    "FAILURE": State.FAILED,
    "CANCELING": State.CANCELLING,
    "CANCELED": State.CANCELLED,
}
USUAL_REPOSITORY = "__repository__"
ALL_ASSETS = "__ASSET_JOB"
KEY_TAG, PERIOD_TAG = "headway/key", "headway/period"
"""On runs that we started. Dagster copies tags to what is executed anew, so the key's tag names the parent run too."""
NAMED_STEPS = 12
NOTHING_HELD: Mapping[str, Collection[str]] = {}


def tag_of(key: str, parent: str = "") -> str:
    """The value of KEY_TAG: our key, and the run that is executed again."""
    return f"{key}:{parent}"


def seconds(row: Row, name: str) -> datetime | None:
    """An instant that is told as seconds since the epoch; None where it is missing."""
    found = row.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise RecordUnreadable(f"{name} is {str(found)[:60]!r}, not seconds")
    try:
        return datetime.fromtimestamp(found, UTC)
    except (ValueError, OverflowError, OSError):
        raise RecordUnreadable(f"{name} is {str(found)[:60]!r}, not an instant") from None


def tags_of(row: Row) -> dict[str, str]:
    """Tags by their key; of a key that stands twice the last."""
    told = [one for one in fields.rows(row.get("tags")) if isinstance(one, dict)]
    return {fields.words(one, "key"): fields.words(one, "value") for one in told}


def job_id(location: str, repository: str, job: str) -> str:
    """ "location/job"; with the repository's name where that is not the usual one."""
    return f"{location}/{job}" if repository in ("", USUAL_REPOSITORY) else f"{location}/{repository}/{job}"


def job_of(row: Row) -> str:
    """The job of a run."""
    origin = row.get("repositoryOrigin")
    place = origin if isinstance(origin, dict) else {}
    location = fields.words(place, "repositoryLocationName") or tags_of(row).get("dagster/code_location", "")
    return job_id(location or "?", fields.words(place, "repositoryName"), fields.text(row, "jobName"))


def run_ref(run: str) -> str:
    return json.dumps({"run": run})


def run(row: Any, red: Iterable[str], url: str) -> RunRecord:
    """One run; what is executed again is a run of its own. `red` are its steps that are not green."""
    row = fields.table(row)
    found, native = fields.text(row, "runId"), fields.text(row, "status")
    state, names = STATES.get(native, State.UNKNOWN), sorted(red)
    if state is State.SUCCEEDED and (names or _failed_steps(row)):
        state = State.PARTIAL
    started, ended = seconds(row, "startTime"), seconds(row, "endTime")
    ended = None if state.is_open or ended is None else max(ended, started or ended)
    key, at = _period(row, found)
    return RunRecord(
        job=job_of(row),
        attempt_key=found,
        state=state,
        native_state=native,
        evidence=Evidence.INFERRED if state is State.UNKNOWN else Evidence.NATIVE,
        period_key=key,
        period_at=at,
        again_of="" if (root := fields.words(row, "rootRunId")) == found else root,
        queued_at=seconds(row, "creationTime"),
        started_at=started,
        ended_at=ended,
        message=_not_green(names),
        reason="slot" if native == "QUEUED" else "",
        native_ref=run_ref(found),
        native_url=f"{url}/runs/{quote(found, safe='')}",
        action_key=action_of(row),
        context=_context(row),
    )


def action_of(row: Row) -> str | None:
    """Our action that made this run; None for one that only inherited our tag."""
    key, _, parent = tags_of(row).get(KEY_TAG, "").partition(":")
    mine = parent == fields.words(row, "parentRunId")
    return key if mine and ACTION_KEY.fullmatch(key) else None


def _failed_steps(row: Row) -> bool:
    stats = row.get("stats")
    return isinstance(stats, dict) and fields.number(stats, "stepsFailed", 0) > 0


def _period(row: Row, found: str) -> tuple[str | None, datetime | None]:
    """Ours by our tag, of a partition the partition; of a schedule only the start is known: None, where
    `again_of` says whose start counts. Else the first run of those that were executed again."""
    tags = tags_of(row)
    ours = tags.get(PERIOD_TAG, "")
    if ours and KEY_TAG in tags:
        at = fields.instant({"tag": ours}, "tag")
        return (instant_key(at), at) if at else (ours, None)
    if partition := tags.get("dagster/partition"):
        return partition, None
    if "dagster/schedule_name" in tags:
        return None, None
    return fields.words(row, "rootRunId") or found, None


def _not_green(names: list[str]) -> str:
    more = len(names) - NAMED_STEPS
    shown = ", ".join(names[:NAMED_STEPS])
    return f"steps not green: {shown}" + (f" and {more} more" if more > 0 else "") if names else ""


def _context(row: Row) -> Mapping[str, Any]:
    tags = tags_of(row)
    found = {
        "parent_run": row.get("parentRunId"),
        "root_run": row.get("rootRunId"),
        "schedule": tags.get("dagster/schedule_name"),
        "sensor": tags.get("dagster/sensor_name"),
        "partition": tags.get("dagster/partition"),
        "backfill": tags.get("dagster/backfill"),
        "why": tags.get("dagster/failure_reason"),
        "steps": row.get("stepKeysToExecute"),
    }
    return fields.small({name: value for name, value in found.items() if value is not None}, "steps")


def red_steps(row: Any) -> tuple[str, list[str]]:
    """A run's id, and its steps that are not green."""
    row = fields.table(row)
    steps = [one for one in fields.rows(row.get("stepStats")) if isinstance(one, dict)]
    red = [one for one in steps if one.get("status") == "FAILURE"]
    return fields.text(row, "runId"), [f"{fields.words(one, 'stepKey')} (FAILURE)" for one in red]


# inventory


def unloaded(entries: Iterable[Any]) -> list[Skipped]:
    """The code locations of a workspace whose jobs are not listed now, each with why."""
    found = []
    for entry in entries:
        row = fields.table(entry)
        name, loaded = fields.words(row, "name"), fields.table(row.get("locationOrLoadError"))
        if fields.words(loaded, "__typename") == "RepositoryLocation":
            continue
        why = fields.words(loaded, "message") or f"it is {fields.words(row, 'loadStatus') or 'not loaded'}"
        found.append(Skipped(f"code location {name or '?'}", f"not loaded, so its jobs are not listed: {why[:300]}"))
    return found


def jobs(
    node: Any,
    upstreams: Mapping[str, set[str]],
    url: str,
    limits: tuple[Limit, ...] = (),
    held: Mapping[str, Collection[str]] = NOTHING_HELD,
) -> list[JobRecord]:
    """The jobs of one repository. `limits`: of runs that go at once. `held`: of jobs the schedules that we stopped."""
    node = fields.table(node)
    place = node.get("location")
    location = fields.text(place, "name") if isinstance(place, dict) else "?"
    repository = fields.words(node, "name")
    clocks = [one for one in fields.rows(node.get("schedules")) if isinstance(one, dict)]
    triggers = [one for one in fields.rows(node.get("sensors")) if isinstance(one, dict)]
    told = []
    for one in fields.rows(node.get("jobs")):
        row = fields.table(one)
        name = fields.text(row, "name")
        mine = [clock for clock in clocks if clock.get("pipelineName") == name]
        job = job_id(location, repository, name)
        one_job = _job(row, job, mine, sensors(triggers, name), upstreams, url, held.get(job, ()))
        pool, slots = tightest(limits, tags_of(row))
        told.append(replace(one_job, pool=pool, slots=slots))
    return told


def sensors(rows: Iterable[Row], job: str) -> list[str]:
    """Names of those that start the job."""
    return [
        fields.words(one, "name")
        for one in rows
        if any(isinstance(to, dict) and to.get("pipelineName") == job for to in fields.rows(one.get("targets")))
    ]


def _job(
    row: Row,
    name: str,
    clocks: Sequence[Row],
    sensors: list[str],
    upstreams: Mapping[str, set[str]],
    url: str,
    held: Collection[str],
) -> JobRecord:
    tags = tags_of(row)
    kind = "assets" if row.get("isAssetJob") is True else "ops"
    words = fields.words(row, "description")
    definition = f"a job of {kind}{f', also started by {chr(44).join(sensors)}' if sensors else ''}"
    return JobRecord(
        native_id=name,
        title="assets materialized by hand or by condition" if name.endswith(ALL_ASSETS) else name,
        schedule=schedule(clocks, sensors, held),
        paused=bool(clocks) and not any(runs(one) for one in clocks),
        upstreams=tuple(sorted(upstreams.get(name, set()) - {name})),
        definition=f"{definition}: {words[:500]}" if words else definition,
        definition_hash=fields.short_digest([definition, words, sorted(tags.items())]),
        proof=Proof.FULL,
        native_url=f"{url}/locations/{quote(name.partition('/')[0], safe='')}/jobs/{quote(row['name'], safe='')}",
        owner=tags.get("owner") or tags.get("team") or "",
    )


def runs(instigator: Row, name: str = "scheduleState") -> bool:
    """Whether a schedule runs; with another `name` a sensor."""
    state = instigator.get(name)
    return isinstance(state, dict) and state.get("status") == "RUNNING"


def schedule(clocks: Sequence[Row], sensors: list[str], held: Collection[str] = ()) -> Schedule:
    """Of the dialect "dagster". Several schedules, or one whose expression is several: words and the next run.
    Those that were stopped for a hold (`held`) count as they did before."""
    if not clocks:
        return Schedule("none", words=f"Started by {', '.join(sensors)}" if sensors else "Never by a schedule")
    mine = [one for one in clocks if one.get("name") in held]
    used = [one for one in clocks if runs(one)] or mine or clocks
    ahead = [at for one in used if (at := _next(one)) is not None]
    cron, zone = fields.words(used[0], "cronSchedule"), fields.words(used[0], "executionTimezone") or "UTC"
    words = "; ".join(f"cron {fields.words(one, 'cronSchedule')}" for one in used)
    alone = cron if len(used) == 1 and len(cron.split()) == 5 and "[" not in cron else ""
    return Schedule("dagster", alone, zone, f"{words} ({zone})", min(ahead, default=None))


def _next(clock: Row) -> datetime | None:
    ticks = clock.get("futureTicks")
    rows = fields.rows(ticks.get("results")) if isinstance(ticks, dict) else []
    return seconds(rows[0], "timestamp") if rows and isinstance(rows[0], dict) and runs(clock) else None


def feeds(nodes: Iterable[Any]) -> dict[str, set[str]]:
    """Job -> jobs that make an asset which one of its assets is made from."""
    makers: dict[str, set[str]] = {}
    needs: dict[str, set[str]] = {}
    for node in nodes:
        row = fields.table(node)
        asset, mine = _asset(row.get("assetKey")), _jobs_of(row)
        makers.setdefault(asset, set()).update(mine)
        for job in mine:
            needs.setdefault(job, set()).update(_asset(one) for one in fields.rows(row.get("dependencyKeys")))
    made: dict[str, set[str]] = {job: {one for one, by in makers.items() if job in by} for job in needs}
    return {
        job: {maker for one in wanted - made[job] for maker in makers.get(one, ())} - {job}
        for job, wanted in needs.items()
    }


def _asset(key: Any) -> str:
    path = key.get("path") if isinstance(key, dict) else None
    return "/".join(str(one) for one in fields.rows(path))


def _jobs_of(row: Row) -> set[str]:
    repository = row.get("repository")
    place = repository if isinstance(repository, dict) else {}
    location = place.get("location")
    name = fields.words(location, "name") if isinstance(location, dict) else ""
    names = [one for one in fields.rows(row.get("jobNames")) if isinstance(one, str) and one != ALL_ASSETS]
    return {job_id(name or "?", fields.words(place, "name"), one) for one in names}
