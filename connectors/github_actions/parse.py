"""Rows of runs and jobs, and workflow files, to records. Pure; an unreadable text or row raises RecordUnreadable.

A rerun keeps the run's id and counts its attempts; the list shows the latest. GitHub does not report a run's end: it
is the end of its last job if jobs were read, else the row's last change. Schedules, `needs` and inputs are only in
the workflow's file on the default branch, which is also the one that GitHub's scheduler reads.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from connectors.sdk import fields
from connectors.sdk.contract import ACTION_KEY
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.fields import masked_head
from connectors.sdk.records import RunRecord
from connectors.sdk.states import PeriodKind, RunEvidence, RunState
from connectors.sdk.yaml_document import read_yaml

WORKFLOW_PREFIX = ".github/workflows/"
STATUSES: dict[str, tuple[RunState, str]] = {
    "requested": (RunState.QUEUED, ""),
    "queued": (RunState.QUEUED, "slot"),
    "pending": (RunState.WAITING, "slot"),
    "waiting": (RunState.WAITING, "approval"),
    "in_progress": (RunState.RUNNING, ""),
}
"""Open states. pending: its concurrency group is busy; waiting: a deployment's protection rule."""
CONCLUSIONS: dict[str, RunState] = {
    "success": RunState.SUCCEEDED,
    "neutral": RunState.SKIPPED,
    "skipped": RunState.SKIPPED,
    "failure": RunState.FAILED,
    "startup_failure": RunState.FAILED,
    "timed_out": RunState.TIMED_OUT,
    "cancelled": RunState.CANCELLED,
    "stale": RunState.LOST,
    "action_required": RunState.WAITING,
}
"""Ended states. stale: GitHub abandoned it; action_required: a maintainer must approve it before it runs."""
WORST_FIRST = (
    RunState.RUNNING, RunState.QUEUED, RunState.WAITING, RunState.FAILED, RunState.TIMED_OUT, RunState.LOST,
    RunState.CANCELLED, RunState.UNKNOWN, RunState.SUCCEEDED, RunState.SKIPPED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GitHubJob:
    id: int
    attempt: int
    display_name: str
    state: RunState
    native: str
    reason: str
    started_at: datetime | None
    ended_at: datetime | None
    runner: str
    step: str


def workflow_job_id(repository: str, path: str) -> str:
    return f"{repository}:{path.partition('@')[0].removeprefix(WORKFLOW_PREFIX)}"


def workflow_path(row: fields.Row) -> str:
    """The workflow's file, also of a run. Raises RecordUnreadable."""
    return fields.text(row, "path").partition("@")[0]


def parse_attempt(row: fields.Row) -> int:
    return max(1, fields.number(row, "run_attempt", 1))


def attempt_key(run: int, attempt: int) -> str:
    return f"{run}.{attempt}"


def run_ref(run: int, attempt: int, task: str = "") -> str:
    return json.dumps({"run": run, "attempt": attempt, **({"task": task} if task else {})})


def parse_state(row: fields.Row) -> tuple[RunState, str, str]:
    status, conclusion = fields.optional_text(row, "status"), fields.optional_text(row, "conclusion")
    if status != "completed":
        state, reason = STATUSES.get(status, (RunState.UNKNOWN, ""))
        return state, status or "(no status)", reason
    state = CONCLUSIONS.get(conclusion, RunState.UNKNOWN)
    return state, conclusion or "(no conclusion)", "approval" if state is RunState.WAITING else ""


def run_record(row: Any, repository: str, default_branch: str = "") -> RunRecord:
    """The latest attempt of a run, named by its branch ("owner:branch" of a fork), unless it ran on the default one as
    schedules do."""
    row = fields.table(row)
    number, attempt = fields.positive(row, "id"), parse_attempt(row)
    state, native, reason = parse_state(row)
    created, began = fields.instant(row, "created_at"), fields.instant(row, "run_started_at")
    has_begun = state not in (RunState.QUEUED, RunState.WAITING)
    started = (began or created) if has_begun else None
    changed = fields.instant(row, "updated_at")
    ended = None if state.is_open or state is RunState.UNKNOWN else _at_or_after(changed, started)
    event = fields.optional_text(row, "event")
    branch = "" if event == "schedule" or not default_branch else _branch(row)
    key = ACTION_KEY.search(fields.optional_text(row, "display_title"))  # a rerun repeats the title without being ours
    return RunRecord(
        job=workflow_job_id(repository, workflow_path(row)),
        attempt_key=attempt_key(number, attempt),
        state=state,
        native_state=native,
        evidence=RunEvidence.INFERRED if state in (RunState.UNKNOWN, RunState.LOST) else RunEvidence.NATIVE,
        period_key=None if event == "schedule" else str(number),
        period_kind=PeriodKind.RUN,
        period_name="" if branch == default_branch else branch,
        again_of=attempt_key(number, 1) if attempt > 1 else "",
        queued_at=created if attempt == 1 else began,
        started_at=started,
        ended_at=ended,
        reason=reason,
        native_ref=run_ref(number, attempt),
        native_url=run_url(row, attempt),
        action_key=key[0] if key and event == "workflow_dispatch" and attempt == 1 else None,
        context=fields.bounded_context(_run_context(row, event), "title"),
    )


def _branch(row: fields.Row) -> str:
    branch = fields.optional_text(row, "head_branch")
    base, head = (
        fields.optional_text(fields.subtable(row, name), "full_name") for name in ("repository", "head_repository")
    )
    return f"{head.partition('/')[0]}:{branch}" if branch and head != base else branch


def run_url(row: fields.Row, attempt: int = 1) -> str:
    """Its page; "" unless it is an https address."""
    url = fields.optional_text(row, "html_url")
    if not url.startswith("https://"):
        return ""
    return f"{url}/attempts/{attempt}" if attempt > 1 else url


def record_with_jobs(record: RunRecord, jobs: Sequence[GitHubJob]) -> RunRecord:
    """The record completed from its jobs: failed jobs, PARTIAL for a successful run with such, the end."""
    if not jobs:
        return record
    red = [job for job in jobs if job.state.is_red]
    green = record.state is RunState.SUCCEEDED
    ends = [job.ended_at for job in jobs if job.ended_at]
    if record.ended_at is not None and ends:
        record = replace(record, ended_at=_at_or_after(max(ends), record.started_at))
    if not red:
        return record
    named = [f"{job.display_name} ({job.native}{f' in {job.step}' if job.step else ''})" for job in red]
    message = masked_head(fields.clean(f"jobs not green: {fields.listed(named, 10)}"), 1000)
    return replace(record, state=RunState.PARTIAL if green else record.state, message=message)


def parse_job(row: Any) -> GitHubJob:
    row = fields.table(row)
    state, native, reason = parse_state(row)
    started = fields.instant(row, "started_at") if state not in (RunState.QUEUED, RunState.WAITING) else None
    ended = None if state.is_open else _at_or_after(fields.instant(row, "completed_at"), started)
    steps = (step for step in fields.tables(row.get("steps")) if step.get("conclusion") in ("failure", "timed_out"))
    return GitHubJob(
        id=fields.positive(row, "id"),
        attempt=parse_attempt(row),
        display_name=fields.text(row, "name"),
        state=state,
        native=native,
        reason=reason,
        started_at=started,
        ended_at=ended,
        runner=fields.optional_text(row, "runner_name"),
        step=next((masked_head(fields.clean(str(step.get("name"))), 100) for step in steps), ""),
    )


def task_record(whole: RunRecord, name: str, jobs: Sequence[GitHubJob]) -> RunRecord:
    """The record of a task in an attempt, from all of its jobs (at least one): the worst of a matrix counts."""
    chosen = min(jobs, key=lambda job: (WORST_FIRST.index(job.state), job.id))
    run_id, attempt = (int(part) for part in whole.attempt_key.split("."))
    attempt = min(attempt, chosen.attempt)
    starts = [job.started_at for job in jobs if job.started_at]
    ends = [job.ended_at for job in jobs if job.ended_at]
    started = min(starts, default=None)
    counts = Counter(job.native for job in jobs)
    several = f"{len(jobs)} jobs: {', '.join(f'{n} {state}' for state, n in counts.most_common())}" if jobs[1:] else ""
    parts = [several, f"failed in {chosen.step}" if chosen.step else ""]
    return RunRecord(
        job=f"{whole.job}.{name}",
        attempt_key=attempt_key(run_id, attempt),
        state=chosen.state,
        native_state=chosen.native,
        evidence=RunEvidence.INFERRED if chosen.state in (RunState.UNKNOWN, RunState.LOST) else RunEvidence.NATIVE,
        period_key=str(run_id),
        period_kind=PeriodKind.RUN,
        period_name=whole.period_name,
        queued_at=whole.queued_at,
        started_at=started,
        ended_at=None if chosen.state.is_open else _at_or_after(max(ends, default=None), started),
        message="; ".join(part for part in parts if part),
        reason=chosen.reason,
        native_ref=run_ref(run_id, attempt, name),
        native_url=whole.native_url,
        context={"runner": chosen.runner} if chosen.runner else {},
    )


def _at_or_after(at: datetime | None, start: datetime | None) -> datetime | None:
    return max(at, start) if at is not None and start is not None else at


def _run_context(row: fields.Row, event: str) -> dict[str, Any]:
    return {
        "event": event or None,
        "title": masked_head(fields.optional_text(row, "display_title"), 200) or None,
        "branch": fields.optional_text(row, "head_branch") or None,
        "commit": fields.optional_text(row, "head_sha")[:40] or None,
        "number": fields.number(row, "run_number", 0) or None,
        "by": actor_login(row) or None,
    }


def actor_login(row: fields.Row) -> str:
    """Login that started this attempt; "" if the row has none."""
    logins = (fields.subtable(row, name).get("login") for name in ("triggering_actor", "actor"))
    return next((fields.clean(login) for login in logins if isinstance(login, str)), "")


KEY_INPUT = "headway_key"  # of workflow_dispatch: it gets our key. In `run-name` it is seen from outside.
PERIOD_INPUT = "headway_period"  # of workflow_dispatch: it gets the period's instant
_EXPRESSION = re.compile(r"\$\{\{(?:(?!\$\{\{|\}\}).)*\}\}", re.DOTALL)
_KEY_IN_RUN_NAME = re.compile(r"\$\{\{[^{}]*\b(github\.event\.)?inputs\.headway_key\b[^{}]*\}\}")


@dataclass(frozen=True, slots=True)
class GitHubWorkflowJob:
    """A job of the file: its key, its display name (a pattern if it holds expressions), its needs."""

    name: str
    title: str
    needs: tuple[str, ...]
    soft: bool
    """`continue-on-error`: its failure leaves the run green."""
    definition: str

    def runs_as(self, display_name: str) -> bool:
        """True for a job of a run that is this one, part of its matrix, or a job of the workflow that it calls."""
        for title in (self.title, self.name):
            first, *parts = map(re.escape, _EXPRESSION.split(title) if len(title) < 500 else [title])
            middle = "".join(f"(?>.*?{part})" for part in parts[:-1])  # atomic: the leftmost place will do
            last = f".*{parts[-1]}" if parts else ""
            if re.fullmatch(rf"{first}{middle}{last}( \(.*\))?( / .*)?", display_name, re.DOTALL):
                return True
        return False


@dataclass(frozen=True, slots=True)
class GitHubWorkflow:
    crons: tuple[tuple[str, str], ...] = ()
    """Expression and zone of each schedule."""
    triggers: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    """Names of the workflows whose end starts it."""
    inputs: Mapping[str, bool] = field(default_factory=dict)
    """Of workflow_dispatch: whether it must be given."""
    shows_key: bool = False
    tasks: tuple[GitHubWorkflowJob, ...] = ()

    @property
    def is_soft(self) -> bool:
        return any(task.soft for task in self.tasks)

    def task_of(self, display_name: str) -> str | None:
        """The key of the task that a job of a run is; None for one that the file of now does not have."""
        return next((task.name for task in self.tasks if task.runs_as(display_name)), None)


def parse_workflow(text: str) -> GitHubWorkflow:
    import yaml

    try:
        whole = read_yaml(text, yaml.SafeLoader)
    except ValueError as error:
        raise RecordUnreadable(f"it is not YAML: {masked_head(str(error), 150)}") from None
    if not isinstance(whole, dict):
        raise RecordUnreadable("it is not a YAML mapping")
    triggers = whole.get("on", whole.get(True))  # YAML 1.1 reads the word "on" as true
    on = triggers if isinstance(triggers, dict) else dict.fromkeys(_text_list(triggers))
    on = {_text_value(name): value for name, value in on.items()}
    rows = [row for row in fields.tables(on.get("schedule")) if isinstance(row.get("cron"), str)]
    inputs = {}
    for name, row in fields.subtable(on, "workflow_dispatch", "inputs").items():
        required = fields.subtable(row).get("required") is True
        inputs[_text_value(name)] = required and fields.subtable(row).get("default") in (None, "")
    return GitHubWorkflow(
        crons=tuple(
            (" ".join(_text_value(row["cron"]).split()), _text_value(row.get("timezone") or "UTC")) for row in rows
        ),
        triggers=tuple(sorted(on)),
        after=_text_list(fields.subtable(on, "workflow_run").get("workflows")),
        inputs=inputs,
        shows_key=KEY_INPUT in inputs and _KEY_IN_RUN_NAME.search(str(whole.get("run-name") or "")) is not None,
        tasks=tuple(
            _parse_task(_text_value(name), fields.subtable(row)) for name, row in fields.subtable(whole, "jobs").items()
        ),
    )


def _parse_task(name: str, row: Mapping[Any, Any]) -> GitHubWorkflowJob:
    soft = row.get("continue-on-error")
    runs = row.get("uses") or row.get("runs-on")
    return GitHubWorkflowJob(
        name=name,
        title=_text_value(row.get("name") or name),
        needs=_text_list(row.get("needs")),
        soft=soft is True or isinstance(soft, str),
        definition=f"{'uses' if row.get('uses') else 'runs on'} {_text_value(runs)}" if runs else "",
    )


def _text_list(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(_text_value(item) for item in values if isinstance(item, str))


def _text_value(value: Any) -> str:
    return masked_head(fields.clean(str(value)), 1000)
