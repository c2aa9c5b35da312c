"""Replies of Dagster to records. Pure; an unreadable row raises RecordUnreadable and nothing else.

A pool is a concurrency limit on runs: of the whole instance, or of runs with a tag. It is read without a permission
of its own. Pools of ops and assets limit steps, not runs, and are not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from connectors.sdk import fields
from connectors.sdk.contract import ACTION_KEY
from connectors.sdk.errors import NotSupported, RecordUnreadable
from connectors.sdk.fields import Row, masked_head
from connectors.sdk.records import JobRecord, RunRecord, RunRef, Schedule, SkippedRecord, instant_key
from connectors.sdk.states import PeriodKind, ProofLevel, RunEvidence, RunState
from connectors.sdk.vanished_runs import no_longer_listed

STATES: dict[str, RunState] = {
    "NOT_STARTED": RunState.QUEUED,
    "QUEUED": RunState.QUEUED,
    "MANAGED": RunState.QUEUED,
    "STARTING": RunState.QUEUED,
    "STARTED": RunState.RUNNING,
    "SUCCESS": RunState.SUCCEEDED,
    "FAILURE": RunState.FAILED,
    "CANCELING": RunState.CANCELLING,
    "CANCELED": RunState.CANCELLED,
}
DEFAULT_REPOSITORY = "__repository__"
ASSET_JOB_PREFIX = "__ASSET_JOB"
KEY_TAG, PERIOD_TAG = "headway/key", "headway/period"
"""On runs that we started. Dagster copies tags to re-executions, so the key's tag also names the parent run."""
PARTITION_TAG = "dagster/partition"
RETRY_NUMBER_TAG, MAX_RETRIES_TAG = "dagster/retry_number", "dagster/max_retries"
WILL_RETRY_TAG, RETRY_RUN_TAG = "dagster/will_retry", "dagster/auto_retry_run_id"
"""Of a failed run: whether the daemon launches another try, and the run that it launched."""
RETRY_WITHIN, UNTAGGED_RETRY_WITHIN = timedelta(days=1), timedelta(hours=1)
"""How long after its end a failed run waits for its next try: by its tag, and where only its tries are numbered."""
MAX_NAMED_STEPS = 12
MAX_NAME_CHARACTERS = 200
MAX_ERROR_CHARACTERS = 500
NO_HELD_SCHEDULES: Mapping[str, Collection[str]] = {}


def state_of(native: str) -> RunState:
    return STATES.get(native, RunState.UNKNOWN)


def key_tag(key: str, parent: str = "") -> str:
    """The value of KEY_TAG: our key, and the run that is executed again."""
    return f"{key}:{parent}"


def parse_seconds(row: Row, name: str) -> datetime | None:
    """An instant given as seconds since the epoch; None if missing."""
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RecordUnreadable(f"{name} is {masked_head(str(value), 60)!r}, not seconds")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise RecordUnreadable(f"{name} is {masked_head(str(value), 60)!r}, not an instant") from None


def parse_tags(row: Row) -> dict[str, str]:
    return {
        fields.optional_text(tag, "key"): fields.optional_text(tag, "value") for tag in fields.tables(row.get("tags"))
    }


def job_id(location: str, repository: str, job: str) -> str:
    """ "location/job"; with the repository's name where that is not the usual one."""
    return f"{location}/{job}" if repository in ("", DEFAULT_REPOSITORY) else f"{location}/{repository}/{job}"


def run_job_id(row: Row) -> str:
    place = fields.subtable(row, "repositoryOrigin")
    location = fields.optional_text(place, "repositoryLocationName") or parse_tags(row).get("dagster/code_location", "")
    return job_id(location or "?", fields.optional_text(place, "repositoryName"), fields.text(row, "jobName"))


def run_ref(run: str) -> str:
    return json.dumps({"run": run})


def run_record(row: Any, red: Iterable[str], url: str, repeated: Collection[str] = ()) -> RunRecord:
    """One run: an attempt of the first one of its re-executions. `red`: its failed steps, each with its error.
    `repeated`: ids of runs that others repeat, so that a failed one does not wait for its next try any more."""
    row = fields.table(row)
    run_id, native = fields.text(row, "runId"), fields.text(row, "status")
    state, steps = state_of(native), sorted(red)
    unnamed = len(steps) - MAX_NAMED_STEPS
    if state is RunState.FAILED and run_id not in repeated and will_retry(row):
        state = RunState.RETRYING
    stats = fields.subtable(row, "stats")
    if state is RunState.SUCCEEDED and (steps or fields.number(stats, "stepsFailed", 0) > 0):
        state = RunState.PARTIAL
    started, ended = parse_seconds(row, "startTime"), parse_seconds(row, "endTime")
    ended = None if state.is_open or ended is None else max(ended, started or ended)
    period = _run_period(row, run_id)
    return RunRecord(
        job=run_job_id(row),
        attempt_key=run_id,
        state=state,
        native_state=native,
        evidence=RunEvidence.INFERRED if state is RunState.UNKNOWN else RunEvidence.NATIVE,
        period_key=period.key,
        period_at=period.at,
        period_kind=period.kind,
        period_name=period.name,
        again_of="" if (root := fields.optional_text(row, "rootRunId")) == run_id else root,
        queued_at=parse_seconds(row, "creationTime"),
        started_at=started,
        ended_at=ended,
        message="\n".join(steps[:MAX_NAMED_STEPS] + [f"and {unnamed} more"] * (unnamed > 0)),
        reason="slot" if native == "QUEUED" else "time" if state is RunState.RETRYING else "",
        native_ref=run_ref(run_id),
        native_url=f"{url}/runs/{quote(run_id, safe='')}",
        action_key=action_key(row),
        context=_run_context(row),
    )


def will_retry(row: Row) -> bool:
    """Whether Dagster's daemon is about to launch another try of a failed run. It tags the run once it has decided, and
    again with the new run; older code servers and daemons leave only the numbers of the tries."""
    tags = parse_tags(row)
    ended = parse_seconds(row, "endTime") or parse_seconds(row, "updateTime") or parse_seconds(row, "creationTime")
    if ended is None or tags.get(RETRY_RUN_TAG):
        return False
    since = datetime.now(UTC) - ended
    if (answer := tags.get(WILL_RETRY_TAG)) is not None:
        return answer.strip().lower() == "true" and since < RETRY_WITHIN
    if tags.get("dagster/failure_reason") == "STEP_FAILURE" and _is_false(tags, "dagster/retry_on_asset_or_op_failure"):
        return False
    return _count(tags, RETRY_NUMBER_TAG) < _count(tags, MAX_RETRIES_TAG) and since < UNTAGGED_RETRY_WITHIN


def _is_false(tags: Mapping[str, str], name: str) -> bool:
    return tags.get(name, "").strip().lower() == "false"


def _count(tags: Mapping[str, str], name: str) -> int:
    """0 for a tag that is missing or no number."""
    value = tags.get(name, "").strip()
    return int(value) if _COUNT.fullmatch(value) else 0


def action_key(row: Row) -> str | None:
    """Our action that made this run; None for one that only inherited our tag."""
    key, _, parent = parse_tags(row).get(KEY_TAG, "").partition(":")
    is_own_tag = parent == fields.optional_text(row, "parentRunId")
    return key if is_own_tag and ACTION_KEY.fullmatch(key) else None


@dataclass(frozen=True, slots=True)
class DagsterPeriod:
    key: str | None
    kind: PeriodKind = PeriodKind.RUN
    at: datetime | None = None
    name: str = ""


def _run_period(row: Row, run_id: str) -> DagsterPeriod:
    """Ours by our tag; of a schedule only the start is known, and its partition, if any: no key, where `again_of` names
    the run whose start counts. Of a partition or a range that no schedule started that one, else the first run of those
    that were executed again, with its assets or the key by which a sensor requested it."""
    tags = parse_tags(row)
    if tags.get(PERIOD_TAG) and KEY_TAG in tags:
        at, name = fields.instant(tags, PERIOD_TAG), tags.get(PARTITION_TAG, "")
        kind = PeriodKind.INSTANT if at else PeriodKind.RUN
        return DagsterPeriod(instant_key(at) if at else tags[PERIOD_TAG], kind, at, name)
    first, last = (tags.get(f"dagster/asset_partition_range_{end}", "") for end in ("start", "end"))
    partition = tags.get(PARTITION_TAG, "") or (f"{first}...{last}" if first or last else "")
    assets = _selected_assets(row)
    if "dagster/schedule_name" in tags:
        return DagsterPeriod(None, name=f"{assets} {partition}".strip())
    if partition and not assets:
        return DagsterPeriod(partition, PeriodKind.NAME)
    name = f"{assets} {partition}".strip() or tags.get("dagster/run_key", "")
    return DagsterPeriod(fields.optional_text(row, "rootRunId") or run_id, name=name)


def _selected_assets(row: Row) -> str:
    """The assets of a run of the job that has all of them; empty for other jobs, whose runs are whole."""
    if not fields.optional_text(row, "jobName").startswith(ASSET_JOB_PREFIX):
        return ""
    assets = sorted(map(_asset_key, fields.rows(row.get("assetSelection"))))
    named = masked_head(fields.listed(assets, MAX_NAMED_STEPS), MAX_NAME_CHARACTERS)
    return named if named == ", ".join(assets) else f"{named} ({fields.short_digest(assets)})"


def _run_context(row: Row) -> Mapping[str, Any]:
    tags = parse_tags(row)
    context = {
        "parent_run": row.get("parentRunId"),
        "root_run": row.get("rootRunId"),
        "schedule": tags.get("dagster/schedule_name"),
        "sensor": tags.get("dagster/sensor_name"),
        "partition": tags.get(PARTITION_TAG),
        "backfill": tags.get("dagster/backfill"),
        "why": tags.get("dagster/failure_reason"),
        "retry": tags.get(RETRY_NUMBER_TAG),
        "steps": row.get("stepKeysToExecute"),
    }
    return fields.bounded_context(context, "steps")


def failed_steps(row: Any) -> tuple[str, list[str]]:
    """The id of a run, and for each failed step its name with the error that its code raised."""
    row = fields.table(row)
    events = fields.tables(fields.subtable(row, "eventConnection").get("events"))
    errors = {fields.optional_text(event, "stepKey"): _raised(event.get("error")) for event in events}
    failed = [step for step in fields.tables(row.get("stepStats")) if step.get("status") == "FAILURE"]
    red = [fields.optional_text(step, "stepKey") for step in failed]
    texts = [f"{step}: {errors.get(step) or 'step failed'}" for step in red]
    return fields.text(row, "runId"), [masked_head(fields.clean(text), MAX_ERROR_CHARACTERS) for text in texts]


def _raised(error: Any) -> str:
    """The message of an error of a step: of its cause, where Dagster's own error is about that of the code."""
    outer = fields.subtable(error)
    messages = (fields.optional_text(part, "message").strip() for part in (fields.subtable(outer, "cause"), outer))
    return next(filter(None, messages), "")


def unloaded_locations(entries: Iterable[Any]) -> list[SkippedRecord]:
    """The code locations of a workspace whose jobs are not listed now, each with why."""
    locations = []
    for entry in entries:
        row = fields.table(entry)
        name, loaded = fields.optional_text(row, "name"), fields.table(row.get("locationOrLoadError"))
        if fields.optional_text(loaded, "__typename") == "RepositoryLocation":
            continue
        status = fields.optional_text(row, "loadStatus") or "not loaded"
        why = masked_head(fields.optional_text(loaded, "message") or f"it is {status}", 300)
        reason = f"not loaded, so its jobs are not listed: {why}"
        locations.append(SkippedRecord(f"code location {name or '?'}", reason))
    return locations


def job_records(
    node: Any,
    upstreams: Mapping[str, set[str]],
    url: str,
    limits: tuple[DagsterLimit, ...] = (),
    held: Mapping[str, Collection[str]] = NO_HELD_SCHEDULES,
) -> list[JobRecord]:
    """The jobs of one repository. `limits`: of runs that go at once. `held`: of jobs the schedules that we stopped."""
    node = fields.table(node)
    place = node.get("location")
    location = fields.text(place, "name") if isinstance(place, dict) else "?"
    repository = fields.optional_text(node, "name")
    clocks, triggers = fields.tables(node.get("schedules")), fields.tables(node.get("sensors"))
    records = []
    for job_row in fields.rows(node.get("jobs")):
        row = fields.table(job_row)
        name = fields.text(row, "name")
        job_clocks = [clock for clock in clocks if clock.get("pipelineName") == name]
        job = job_id(location, repository, name)
        record = _job_record(row, job, job_clocks, sensor_names(triggers, name), upstreams, url, held.get(job, ()))
        pool, slots = tightest_limit(limits, parse_tags(row))
        records.append(replace(record, pool=pool, slots=slots))
    return records


def sensor_names(rows: Iterable[Row], job: str) -> list[str]:
    return [
        fields.optional_text(row, "name")
        for row in rows
        if any(target.get("pipelineName") == job for target in fields.tables(row.get("targets")))
    ]


def _job_record(
    row: Row,
    name: str,
    clocks: Sequence[Row],
    sensors: list[str],
    upstreams: Mapping[str, set[str]],
    url: str,
    held: Collection[str],
) -> JobRecord:
    tags = parse_tags(row)
    kind = "assets" if row.get("isAssetJob") is True else "ops"
    description = fields.optional_text(row, "description")
    definition = f"a job of {kind}{f', also started by {chr(44).join(sensors)}' if sensors else ''}"
    return JobRecord(
        native_id=name,
        title="assets materialized by hand or by condition" if name.endswith(ASSET_JOB_PREFIX) else name,
        schedule=parse_schedule(clocks, sensors, held),
        paused=bool(clocks) and not any(is_running(clock) for clock in clocks),
        upstreams=tuple(sorted(upstreams.get(name, set()) - {name})),
        definition=f"{definition}: {masked_head(description, 500)}" if description else definition,
        definition_hash=fields.short_digest([definition, description, sorted(tags.items())]),
        proof=ProofLevel.FULL,
        native_url=f"{url}/locations/{quote(name.partition('/')[0], safe='')}/jobs/{quote(row['name'], safe='')}",
        owner=tags.get("owner") or tags.get("team") or "",
    )


def is_running(instigator: Row, name: str = "scheduleState") -> bool:
    """Whether a schedule runs; with another `name` a sensor."""
    return fields.subtable(instigator, name).get("status") == "RUNNING"


def parse_schedule(clocks: Sequence[Row], sensors: list[str], held: Collection[str] = ()) -> Schedule:
    """Schedule of the dialect "dagster"; several schedules or expressions: a description and the next run. Schedules
    stopped for a hold (`held`) count as running."""
    if not clocks:
        return Schedule("none", text=f"Started by {', '.join(sensors)}" if sensors else "Never by a schedule")
    held_clocks = [clock for clock in clocks if clock.get("name") in held]
    used = [clock for clock in clocks if is_running(clock)] or held_clocks or clocks
    ahead = []
    for clock in used:
        ticks = fields.tables(fields.subtable(clock, "futureTicks").get("results"))
        if ticks and is_running(clock) and (at := parse_seconds(ticks[0], "timestamp")) is not None:
            ahead.append(at)
    cron, zone = (fields.optional_text(used[0], name) for name in ("cronSchedule", "executionTimezone"))
    zone = zone or "UTC"
    crons = "; ".join(f"cron {fields.optional_text(clock, 'cronSchedule')}" for clock in used)
    alone = cron if len(used) == 1 and "[" not in cron else ""
    return Schedule("dagster", alone, zone, f"{crons} ({zone})", min(ahead, default=None))


def asset_edges(nodes: Iterable[Any]) -> dict[str, set[str]]:
    makers: dict[str, set[str]] = {}
    needs: dict[str, set[str]] = {}
    for node in nodes:
        row = fields.table(node)
        asset, place = _asset_key(row.get("assetKey")), fields.subtable(row, "repository")
        location = fields.optional_text(fields.subtable(place, "location"), "name") or "?"
        names = {name for name in fields.rows(row.get("jobNames")) if isinstance(name, str)} - {ASSET_JOB_PREFIX}
        jobs = {job_id(location, fields.optional_text(place, "name"), name) for name in names}
        makers.setdefault(asset, set()).update(jobs)
        for job in jobs:
            needs.setdefault(job, set()).update(_asset_key(key) for key in fields.rows(row.get("dependencyKeys")))
    made: dict[str, set[str]] = {job: {asset for asset, by in makers.items() if job in by} for job in needs}
    return {
        job: {maker for asset in needed - made[job] for maker in makers.get(asset, ())} - {job}
        for job, needed in needs.items()
    }


def _asset_key(key: Any) -> str:
    return "/".join(str(part) for part in fields.rows(fields.subtable(key).get("path")))


ALL_RUNS_POOL = "run queue"
_COUNT = re.compile("[1-9][0-9]{0,8}")  # a limit as written in YAML; -1 means no limit and does not match
_TRUE, _NULL = ("true", "True", "TRUE"), ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class DagsterLimit:
    """Of all runs, or of those with a tag."""

    slots: int
    key: str = ""
    value: str | None = None
    """None: of any value."""
    by_value: bool = False

    def pool(self, tags: Mapping[str, str]) -> str:
        """Name of the pool that runs with these tags share; "" if the limit does not apply to them."""
        if not self.key:
            return ALL_RUNS_POOL
        if self.key not in tags or (self.value is not None and tags[self.key] != self.value):
            return ""
        return f"runs with {self.key}" + (f"={tags[self.key]}" if self.by_value or self.value is not None else "")


def parse_limits(answer: Any) -> tuple[DagsterLimit, ...]:
    """Of `instance { runQueueConfig }`; none where it has none, or cannot be read."""
    config = fields.subtable(answer, "runQueueConfig")
    max_runs = config.get("maxConcurrentRuns")
    whole = []
    if isinstance(max_runs, int) and not isinstance(max_runs, bool) and max_runs >= 1:  # -1 means no limit
        whole.append(DagsterLimit(max_runs))
    return (*whole, *_tag_limits(config.get("tagConcurrencyLimitsYaml")))


def tightest_limit(limits: tuple[DagsterLimit, ...], tags: Mapping[str, str]) -> tuple[str, int | None]:
    """Pool and slots of a job whose runs have these tags; ("", None) without a limit."""
    applicable = [(limit.slots, pool) for limit in limits if (pool := limit.pool(tags))]
    slots, pool = min(applicable, default=(None, ""))
    return pool, slots


def _tag_limits(text: Any) -> Iterator[DagsterLimit]:
    if not isinstance(text, str):
        return
    import yaml

    try:
        rows = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - texts alone: no tag is obeyed, and no merge grows
    except (yaml.YAMLError, RecursionError):
        return
    for row in fields.tables(rows):
        limit, key = row.get("limit"), row.get("key")
        if isinstance(key, str) and key and isinstance(limit, str) and _COUNT.fullmatch(limit):
            value = row.get("value")
            by_value = fields.subtable(value).get("applyLimitPerUniqueValue") in _TRUE
            tag_value = value if isinstance(value, str) and value not in _NULL else None
            yield DagsterLimit(int(limit), key, tag_value, by_value)


@dataclass(frozen=True, slots=True)
class DagsterPartition:
    """The config and the tags with which a run of a partition is launched."""

    config: str
    tags: Mapping[str, str]


def launched_partition(answer: Row, name: str) -> DagsterPartition | None:
    """The launch of a run of the partition; None for a job without partitions. Raises NotSupported for a
    partition that is unknown or cannot be launched."""
    names = fields.rows(fields.subtable(answer, "partitionKeysOrError").get("partitionKeys"))
    if not names:
        return None
    if not name:
        raise NotSupported("it runs by partition, and the partition of this start is unknown: launch it in Dagster")
    if name not in names:
        raise NotSupported(f"it has no partition {masked_head(name, MAX_NAME_CHARACTERS)}: launch it in Dagster")
    partition = fields.subtable(answer, "partition")
    config, tags = fields.subtable(partition, "runConfigOrError"), fields.subtable(partition, "tagsOrError")
    for part, kind in ((config, "PartitionRunConfig"), (tags, "PartitionTags")):
        if part.get("__typename") != kind:
            why = fields.optional_text(part, "message") or f"Dagster has no {kind} of it: launch it in Dagster"
            raise NotSupported(masked_head(why, MAX_ERROR_CHARACTERS))
    own = {fields.text(tag, "key"): fields.optional_text(tag, "value") for tag in fields.tables(tags.get("results"))}
    return DagsterPartition(fields.optional_text(config, "yaml"), own | {PARTITION_TAG: name})


def parse_reference(run: RunRef) -> str:
    """The native id of a run; "" if it has none (a MISSED run)."""
    try:
        return fields.text(fields.parse_table(run.native_ref), "run")
    except RecordUnreadable:
        return ""


def vanished_run(run: RunRef) -> RunRecord:
    message = "Dagster no longer has this run: it was deleted, and its end was not seen"
    return no_longer_listed(run, "deleted", message)
