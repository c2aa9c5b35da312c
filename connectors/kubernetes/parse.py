"""Jobs, pods and CronJob schedules to records, and the names of our annotations. Pure; may raise RecordUnreadable.

A Job has ended with the condition Complete or Failed. `failed: 1` alone is a pod that failed: the Job tries again until
its backoffLimit. Pods report what the Job does not: waiting for a node or an image, the node, the exit code. A
CronJob's schedule is its expression, in its own time zone or in that of its controller.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from connectors.sdk import fields
from connectors.sdk.contract import ACTION_KEY
from connectors.sdk.fields import masked_head
from connectors.sdk.records import RunRecord, RunRef, Schedule, instant_key
from connectors.sdk.states import PeriodKind, RunEvidence, RunState
from connectors.sdk.vanished_runs import no_longer_listed

SCHEDULED_SUFFIX = re.compile(r"-(\d{8}|\d{10})$")
"""How the CronJob controller ends its Jobs' names: the scheduled instant, minutes of 1970, before 1.21 seconds."""
GENERATED_SUFFIX = re.compile(r"[a-z0-9]{5}")
MAX_LISTED_PODS = 10
SIGTERM_CODE = 143
"""Exit code of a container that was stopped, as others are once one of them has failed."""


def parse_metadata(row: fields.Row) -> fields.Row:
    """The metadata of an object, with namespace, name and uid. Raises RecordUnreadable."""
    meta = fields.table(row.get("metadata"))
    for name in ("namespace", "name", "uid"):
        fields.text(meta, name)
    return meta


def object_annotations(meta: fields.Row) -> dict[str, str]:
    annotations = fields.subtable(meta, "annotations")
    return {str(name): fields.clean(str(value)) for name, value in annotations.items()}


def owner_kind_and_name(meta: fields.Row) -> tuple[str, str]:
    """Kind and name of its owner: a CronJob first, else its controller; "" twice without one."""
    owners = [fields.table(owner) for owner in fields.rows(meta.get("ownerReferences"))]
    chosen = [owner for owner in owners if owner.get("kind") == "CronJob"] or [
        owner for owner in owners if owner.get("controller")
    ]
    return (fields.text(chosen[0], "kind"), fields.text(chosen[0], "name")) if chosen else ("", "")


@dataclass(frozen=True, slots=True)
class KubernetesJob:
    """A Job of the API, with the fields that are read."""

    row: fields.Row
    meta: fields.Row
    notes: dict[str, str]
    namespace: str
    name: str
    uid: str
    kind: str
    """Kind of its owner: "CronJob", "" for a standalone Job."""
    owner: str
    job: str
    """Job id: its CronJob's, or "namespace/job/name" for a standalone Job."""
    at: datetime | None
    """For which instant its CronJob made it; None for one that was started otherwise."""
    status: fields.Row
    spec: fields.Row
    conditions: dict[str, fields.Row]
    """Its true conditions, by type."""

    @property
    def is_over(self) -> bool:
        return "Complete" in self.conditions or "Failed" in self.conditions


def parse_job(value: Any) -> KubernetesJob:
    """Raises RecordUnreadable."""
    row = fields.table(value)
    meta, status, spec = fields.table(row.get("metadata")), fields.subtable(row, "status"), fields.subtable(row, "spec")
    namespace, name, uid = (fields.text(meta, key) for key in ("namespace", "name", "uid"))
    notes, (kind, owner) = object_annotations(meta), owner_kind_and_name(meta)
    at = fields.instant(notes, SCHEDULED_ANNOTATION)
    if SCHEDULED_ANNOTATION not in notes and kind == "CronJob" and MANUAL_ANNOTATION not in notes:
        at = scheduled_time_in_name(owner, name)
    job = _job_id(meta, notes, namespace, name, kind, owner)
    conditions = true_conditions(status)
    return KubernetesJob(row, meta, notes, namespace, name, uid, kind, owner, job, at, status, spec, conditions)


def _job_id(meta: fields.Row, notes: dict[str, str], namespace: str, name: str, kind: str, owner: str) -> str:
    if kind == "CronJob":
        return f"{namespace}/{owner}"
    same = notes.get(JOB_ANNOTATION, "")
    if same.startswith(f"{namespace}/"):
        return same
    if kind:
        return f"{namespace}/{kind.lower()}/{owner}"
    begin = fields.optional_text(meta, "generateName")
    is_generated = begin and name.startswith(begin) and GENERATED_SUFFIX.fullmatch(name[len(begin) :])
    return f"{namespace}/{STANDALONE_PREFIX}/{begin.rstrip('-.') if is_generated else name}"


def scheduled_time_in_name(owner: str, name: str) -> datetime | None:
    """The instant in the name that a CronJob's controller gave a Job; None in another name."""
    if not name.startswith(owner):
        return None
    match = SCHEDULED_SUFFIX.fullmatch(name[len(owner) :])
    if match is None:
        return None
    return datetime.fromtimestamp(int(match[1]) * (60 if len(match[1]) == 8 else 1), UTC)


def run_record(job: KubernetesJob, pods: Sequence[KubernetesPod] = ()) -> RunRecord:
    outcome = job_state(job, pods)
    again = job.notes.get(RERUN_OF_ANNOTATION, "")
    started = fields.instant(job.status, "startTime")
    action = ACTION_KEY.fullmatch(job.notes.get(ACTION_ANNOTATION, ""))
    failed = next((pod for pod in reversed(pods) if pod.exit_code not in (0, None) or pod.phase == "Failed"), None)
    is_ended = not outcome.state.is_open and outcome.state is not RunState.UNKNOWN
    exit_code = failed.exit_code if failed is not None and outcome.state.is_red else None
    if outcome.state is RunState.SUCCEEDED:
        exit_code = next((0 for pod in pods if pod.exit_code == 0), None)
    return RunRecord(
        job=job.job,
        attempt_key=job.uid,
        state=outcome.state,
        native_state=outcome.native,
        evidence=outcome.evidence,
        period_key=instant_key(job.at) if job.at else None if again else job.uid,
        period_at=job.at,
        period_kind=None if job.at else PeriodKind.RUN,
        again_of=again,
        queued_at=fields.instant(job.meta, "creationTimestamp"),
        started_at=started if outcome.state is not RunState.QUEUED else None,
        ended_at=_job_end(job, started) if is_ended else None,
        exit_code=exit_code,
        message=_run_message(outcome, failed, job.status, job.spec),
        reason=outcome.reason,
        native_ref=run_ref(job.namespace, job.name, job.uid),
        action_key=action[0] if action else None,
        context=fields.bounded_context(_run_context(job, pods), "pods"),
    )


def _job_end(job: KubernetesJob, started: datetime | None) -> datetime | None:
    """A failed Job has no completionTime: its condition has the time."""
    condition = job.conditions.get("Failed") or job.conditions.get("Complete") or {}
    at = fields.instant(job.status, "completionTime") or fields.instant(condition, "lastTransitionTime")
    return max(at, started) if at is not None and started is not None else at


def _run_message(outcome: KubernetesState, failed: KubernetesPod | None, status: fields.Row, spec: fields.Row) -> str:
    parts = [outcome.message] if outcome.message else []
    if outcome.state in (RunState.PARTIAL, RunState.FAILED) and fields.number(spec, "completions", 1) > 1:
        done, all_of = fields.number(status, "succeeded", 0), fields.number(spec, "completions", 1)
        which = fields.optional_text(status, "failedIndexes")
        parts.append(f"{done} of {all_of} completions" + (f", failed: {which}" if which else ""))
    if failed is not None and not outcome.state.is_open and outcome.state is not RunState.SUCCEEDED:
        code = f" {failed.exit_code}" if failed.exit_code is not None else ""
        parts.append(
            f"pod {failed.name} ({failed.why or failed.phase}{code})" + (f": {failed.message}" * bool(failed.message))
        )
    return masked_head("; ".join(parts), 1000)


def _run_context(job: KubernetesJob, pods: Sequence[KubernetesPod]) -> dict[str, Any]:
    spec, status = job.spec, job.status
    counts = {name: fields.number(status, name, 0) for name in ("active", "succeeded", "failed")}
    limits = {name: fields.number(spec, name, 0) for name in ("completions", "parallelism", "backoffLimit")}
    containers = fields.tables(fields.subtable(spec, "template", "spec").get("containers"))
    image = containers[0].get("image") if containers else None
    indexes = {name: fields.optional_text(status, name) for name in ("completedIndexes", "failedIndexes")}
    context: dict[str, Any] = {
        **({"image": fields.clean(image)} if isinstance(image, str) else {}),
        **({"owner": f"{job.kind}/{job.owner}"} if job.kind not in ("", "CronJob") else {}),
        **{name: value for name, value in counts.items() if value},
        **{name: value for name, value in limits.items() if value > 1 or (name == "backoffLimit" and value)},
        **{name: value for name, value in indexes.items() if value},
    }
    if pods:
        context["pods"] = [pod.context for pod in pods[-MAX_LISTED_PODS:]]
    return context


def deleted_run(record: RunRecord, at: datetime | None) -> RunRecord:
    """The run of a Job whose deletion was seen before its end: with the Job its pods are ended."""
    ended = max(at, record.started_at) if at is not None and record.started_at is not None else at
    message = "its Job was deleted while it was open: its pods were ended with it"
    return replace(record, state=RunState.CANCELLED, native_state="deleted", ended_at=ended, message=message, reason="")


def vanished_run(run: RunRef, finished: str) -> RunRecord:
    """An open run whose Job was deleted, its end unseen. `finished`: its end by its CronJob's event."""
    state = COMPLETION_STATES.get(finished)
    if state is None:
        message = "its Job is deleted (by hand, by its TTL or by a history limit), and its end was not seen"
        return no_longer_listed(run, "deleted", message)
    message = "its Job is deleted; its end is known from an event of its CronJob"
    record = no_longer_listed(run, f"SawCompletedJob: {finished}", message, state)
    return replace(record, evidence=RunEvidence.NATIVE)


COMPLETION_STATES = {"Complete": RunState.SUCCEEDED, "Failed": RunState.FAILED}
"""By the status in an event SawCompletedJob."""
FAILURE_REASONS: dict[str, RunState] = {"DeadlineExceeded": RunState.TIMED_OUT, "FailedIndexes": RunState.PARTIAL}
"""Reasons of the condition Failed that are more specific. FailedIndexes: every index ran, and some failed."""
INTERIM_CONDITIONS = ("FailureTarget", "SuccessCriteriaMet")
"""The end is decided, and pods are still being ended."""
KNOWN_CONDITIONS = ("Complete", "Failed", "Suspended", *INTERIM_CONDITIONS)


@dataclass(frozen=True, slots=True)
class KubernetesState:
    state: RunState
    native: str
    reason: str = ""
    message: str = ""
    evidence: RunEvidence = RunEvidence.NATIVE


def job_state(job: KubernetesJob, pods: Sequence[KubernetesPod]) -> KubernetesState:
    """State of a Job now. Raises RecordUnreadable."""
    conditions = job.conditions
    if "Failed" in conditions:
        return _failed_state(conditions, job.status, CANCELLED_ANNOTATION in job.notes)
    if "Complete" in conditions:
        row = conditions["Complete"]
        return KubernetesState(RunState.SUCCEEDED, "Complete", message=fields.optional_text(row, "message"))
    if fields.optional_text(job.meta, "deletionTimestamp"):
        return KubernetesState(RunState.CANCELLING, "Terminating", message="it is being deleted")
    unknown = sorted(set(conditions) - set(KNOWN_CONDITIONS))
    if unknown:
        return KubernetesState(RunState.UNKNOWN, unknown[0], evidence=RunEvidence.INFERRED)
    if "Suspended" in conditions or job.spec.get("suspend") is True:
        return KubernetesState(RunState.HELD, "Suspended")
    for name in INTERIM_CONDITIONS:
        if name in conditions:
            return KubernetesState(RunState.RUNNING, name, message=fields.optional_text(conditions[name], "message"))
    return _open_state(job.status, pods)


def true_conditions(status: fields.Row) -> dict[str, fields.Row]:
    """Conditions that hold, by type. Raises RecordUnreadable."""
    conditions = [fields.table(condition) for condition in fields.rows(status.get("conditions"))]
    return {fields.text(condition, "type"): condition for condition in conditions if condition.get("status") == "True"}


def _failed_state(held: Mapping[str, fields.Row], status: fields.Row, is_cancelled_by_us: bool) -> KubernetesState:
    row = held["Failed"]
    reason, message = fields.optional_text(row, "reason"), fields.optional_text(row, "message")
    native = f"Failed: {reason}" if reason else "Failed"
    if "Complete" in held:
        return KubernetesState(RunState.FAILED, "Complete and Failed", message=message, evidence=RunEvidence.CONFLICT)
    if reason == "DeadlineExceeded" and is_cancelled_by_us:
        return KubernetesState(RunState.CANCELLED, native, message="ended by Headway")
    state = FAILURE_REASONS.get(reason, RunState.FAILED)
    if state is RunState.PARTIAL and fields.number(status, "succeeded", 0) == 0:
        state = RunState.FAILED
    return KubernetesState(state, native, message=message)


def _open_state(status: fields.Row, pods: Sequence[KubernetesPod]) -> KubernetesState:
    active, failed = fields.number(status, "active", 0), fields.number(status, "failed", 0)
    alive = [pod for pod in pods if pod.is_alive]
    tried = f"{failed} of its pods failed" if failed else ""
    if active == 0 and failed > 0:
        return KubernetesState(RunState.RETRYING, "BackOff", message=f"{tried}: it waits before it tries again")
    if active == 0:
        return KubernetesState(RunState.QUEUED, "no pod yet", "resource")
    waiting = next((pod.waiting for pod in alive if pod.waiting), "")
    if alive and all(pod.phase == "Pending" for pod in alive):
        return KubernetesState(RunState.QUEUED, waiting or "Pending", "resource", waiting and alive[0].message)
    if waiting == "CrashLoopBackOff":
        return KubernetesState(RunState.RETRYING, waiting, message=alive[0].message)
    return KubernetesState(RunState.RUNNING, "Active", message=tried)


@dataclass(frozen=True, slots=True)
class KubernetesPod:
    name: str
    job_uid: str
    phase: str
    """Pending, Running, Succeeded, Failed, Unknown."""
    made: datetime | None
    node: str = ""
    index: str = ""
    """Of an indexed Job: which index it works for."""
    container: str = ""
    """The container with the most useful log: of those that failed one that was not stopped (SIGTERM), and of these
    the pod's default container, else the first to end; where none failed, the default container, else the first.
    Native sidecars are not of the job."""
    exit_code: int | None = None
    why: str = ""
    """Why it ended: "Error", "OOMKilled", "Evicted"."""
    message: str = ""
    waiting: str = ""
    """The reason why it waits: "ImagePullBackOff", "Unschedulable"."""
    restarts: int = 0

    @property
    def is_alive(self) -> bool:
        return self.phase not in ("Succeeded", "Failed")

    @property
    def context(self) -> dict[str, Any]:
        values = {"name": self.name, "node": self.node, "index": self.index, "why": self.why, "restarts": self.restarts}
        code = {} if self.exit_code is None else {"exit": self.exit_code}
        return {**{name: value for name, value in values.items() if value}, **code}


def pods_by_job(rows: Iterable[Any]) -> dict[str, list[KubernetesPod]]:
    """Pods by the uid of their Job, the oldest first; a pod that cannot be read is left out."""
    by_job: dict[str, list[KubernetesPod]] = {}
    for pod in fields.readable(rows, lambda row: _parse_pod(fields.table(row))):
        if pod.job_uid:
            by_job.setdefault(pod.job_uid, []).append(pod)
    for pods in by_job.values():
        pods.sort(key=lambda pod: (pod.made is not None and pod.made.timestamp(), pod.name))
    return by_job


def _parse_pod(row: fields.Row) -> KubernetesPod:
    meta, status, spec = fields.table(row.get("metadata")), fields.subtable(row, "status"), fields.subtable(row, "spec")
    helpers = {row.get("name") for row in fields.tables(spec.get("initContainers")) if _is_sidecar(row)}
    every = [*fields.tables(status.get("initContainerStatuses")), *fields.tables(status.get("containerStatuses"))]
    statuses = [row for row in every if row.get("name") not in helpers]
    main = fields.optional_text(fields.subtable(meta, "annotations"), "kubectl.kubernetes.io/default-container")
    statuses.sort(key=lambda row: (_pod_exit_code(row) == SIGTERM_CODE, row.get("name") != main, _ended_at(row)))
    red = next((row for row in statuses if _pod_exit_code(row) not in (0, None)), {})
    ended = red or next((row for row in statuses if _pod_exit_code(row) is not None), {})
    waiting = next((row for row in statuses if _waiting_reason(row)), {})
    waiting_reason = _waiting_reason(waiting)
    end = fields.subtable(ended, "state", "terminated") or fields.subtable(ended, "lastState", "terminated")
    names = [row.get("name") for row in fields.tables(spec.get("containers"))]
    first_name = next((fields.clean(name) for name in names if isinstance(name, str)), "")
    first_name = main if main in names else first_name
    conditions = fields.tables(status.get("conditions"))
    unscheduled = (row for row in conditions if row.get("type") == "PodScheduled" and row.get("status") == "False")
    reasons = (fields.optional_text(row, "message") or "no node accepts it" for row in unscheduled)
    unschedulable = next(reasons, "")
    owners = fields.tables(meta.get("ownerReferences"))
    return KubernetesPod(
        name=fields.text(meta, "name"),
        job_uid=next((fields.optional_text(owner, "uid") for owner in owners if owner.get("kind") == "Job"), ""),
        phase=fields.optional_text(status, "phase") or "Unknown",
        made=fields.instant(meta, "creationTimestamp"),
        node=fields.optional_text(spec, "nodeName"),
        index=fields.optional_text(fields.subtable(meta, "annotations"), "batch.kubernetes.io/job-completion-index"),
        container=fields.optional_text(red, "name") or first_name,
        exit_code=_pod_exit_code(ended),
        why=fields.optional_text(end, "reason") or fields.optional_text(status, "reason"),
        message=masked_head(
            fields.optional_text(end, "message")
            or fields.optional_text(status, "message")
            or fields.optional_text(fields.subtable(waiting, "state", "waiting"), "message")
            or unschedulable,
            500,
        ),
        waiting=waiting_reason or ("Unschedulable" if unschedulable else ""),
        restarts=max((fields.number(row, "restartCount", 0) for row in statuses), default=0),
    )


def _is_sidecar(container: fields.Row) -> bool:
    """Whether it runs beside the job until the job has ended: its own end says nothing about the job."""
    return container.get("restartPolicy") == "Always"


def _ended_at(status: fields.Row) -> str:
    """When a container ended, to sort by; after all others where that is not reported."""
    for name in ("state", "lastState"):
        at = fields.subtable(status, name, "terminated").get("finishedAt")
        if isinstance(at, str) and at:
            return at
    return "~"


def _pod_exit_code(status: fields.Row) -> int | None:
    for name in ("state", "lastState"):
        value = fields.subtable(status, name, "terminated").get("exitCode")
        if type(value) is int:
            return value
    return None


def _waiting_reason(status: fields.Row) -> str:
    reason = fields.optional_text(fields.subtable(status, "state", "waiting"), "reason")
    return "" if reason in ("ContainerCreating", "PodInitializing") else reason


STEP_OVER_ALL = re.compile(r"(?<![^,])\*/(0*[2-9]\d*|0*1\d+)")
"""A step of two days and more."""
ZONE_PREFIX = re.compile(r"(?:CRON_TZ|TZ)=(\S+)\s+(.+)")


def parse_schedule(spec: fields.Row) -> Schedule:
    """Of a CronJob's spec. Raises RecordUnreadable."""
    text = fields.text(spec, "schedule").strip()
    zone = fields.optional_text(spec, "timeZone") or "UTC"
    match = ZONE_PREFIX.fullmatch(text)
    if match is not None:
        zone, text = match[1], match[2]
    if text.startswith("@every"):
        return Schedule("none", text=f"{text}: an interval from its last start")
    dialect = "kubernetes-forbid" if spec.get("concurrencyPolicy") == "Forbid" else "kubernetes"
    return Schedule(dialect, five_fields(text), zone, text=fields.text(spec, "schedule"))


def five_fields(text: str) -> str:
    """The expression as others read it: `?` is `*`, and a step over all days is no `*`, so that day of month and day of
    week are an OR beside it (measured on robfig/cron 3.0.1)."""
    parts = text.replace("?", "*").split()
    if len(parts) == 5:
        for at, days in ((2, "1-31"), (4, "0-6")):
            parts[at] = STEP_OVER_ALL.sub(rf"{days}/\1", parts[at])
    return " ".join(parts)


def policy_text(spec: fields.Row) -> str:
    """Its policies for a late start and for an active previous run."""
    overlap, late = fields.optional_text(spec, "concurrencyPolicy") or "Allow", spec.get("startingDeadlineSeconds")
    return f"overlap: {overlap}" + (f", starts up to {late} s late" if type(late) is int and late >= 0 else "")


ACTION_ANNOTATION = "headway/action"
"""On a Job that we created: the action's key."""
RERUN_OF_ANNOTATION = "headway/again-of"
"""On a rerun: uid of the Job that it runs again."""
CANCELLED_ANNOTATION = "headway/cancelled"
"""On a Job that we cancelled: the action's key."""
HOLD_ANNOTATION = "headway/hold"
"""On a CronJob that we suspended: the mark."""
JOB_ANNOTATION = "headway/job"
"""On a rerun of a Job that no CronJob made: which one it belongs to."""
MANUAL_ANNOTATION = "cronjob.kubernetes.io/instantiate"
"""As kubectl writes it on a Job created from a CronJob."""
SCHEDULED_ANNOTATION = "batch.kubernetes.io/cronjob-scheduled-timestamp"
"""For which instant a Job was made; the CronJob controller writes it since 1.28."""

MAX_NAME_LENGTH = 63  # a Job's name is a label of its pods
STANDALONE_PREFIX = "job"


def new_job_name(job: str, key: str) -> str:
    """The name of a Job made under `key`: it begins as its CronJob or Job is called, and two of one key collide."""
    room = MAX_NAME_LENGTH - len(key) - 1
    begin = job[:room].rstrip("-.")
    return f"{begin}-{key}" if begin else key


def run_ref(namespace: str, name: str, uid: str) -> str:
    return json.dumps({"ns": namespace, "name": name, "uid": uid})


def parse_reference(run: RunRef) -> tuple[str, str, str]:
    """Namespace, name and uid of the Job of a run; three times "" without one (a MISSED run)."""
    row = fields.reference_row(run.native_ref)
    return str(row.get("ns", "")), str(row.get("name", "")), str(row.get("uid", ""))


def split_job_id(job: str) -> tuple[str, str, bool]:
    """Namespace and name of a job's id, and whether it is a CronJob: "reports/nightly", "reports/job/migrate"."""
    namespace, _, rest = job.partition("/")
    kind, _, name = rest.rpartition("/")
    return namespace, name, not kind
