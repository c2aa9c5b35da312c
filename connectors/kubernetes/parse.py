"""A Job as a record of its run. Pure; whatever cannot be read raises RecordUnreadable."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from connectors import fields
from connectors.contract import ACTION_KEY, Evidence, RunRecord, RunRef, State, instant_key
from connectors.kubernetes import names
from connectors.kubernetes.pods import Pod
from connectors.kubernetes.states import Word, true_conditions, word_of

TAIL = re.compile(r"-(\d{8}|\d{10})$")
"""How the CronJob controller ends its Jobs' names: the scheduled instant, minutes of 1970, before 1.21 seconds."""
GENERATED = re.compile(r"[a-z0-9]{5}")
MOST_PODS = 10
SUFFIX_CHARACTERS = 5  # names.SimpleNameGenerator of the API server


def meta_of(row: fields.Row) -> fields.Row:
    """Its metadata; namespace, name and uid are there."""
    meta = fields.table(row.get("metadata"))
    for name in ("namespace", "name", "uid"):
        fields.text(meta, name)
    return meta


def notes_of(meta: fields.Row) -> dict[str, str]:
    """Its annotations."""
    found = meta.get("annotations")
    return {str(name): fields.clean(str(value)) for name, value in found.items()} if isinstance(found, dict) else {}


def owner_of(meta: fields.Row) -> tuple[str, str]:
    """Kind and name of what made it: a CronJob before all others, else its controller; "" twice without one."""
    owners = [fields.table(one) for one in fields.rows(meta.get("ownerReferences"))]
    chosen = [one for one in owners if one.get("kind") == "CronJob"] or [one for one in owners if one.get("controller")]
    return (fields.text(chosen[0], "kind"), fields.text(chosen[0], "name")) if chosen else ("", "")


@dataclass(frozen=True, slots=True)
class Job:
    """A Job of the API, as far as all that is asked of it goes."""

    row: fields.Row
    meta: fields.Row
    notes: dict[str, str]
    namespace: str
    name: str
    uid: str
    kind: str
    """Of what made it: "CronJob", "" for one by itself."""
    owner: str
    job: str
    """The id of the job that it is a run of: its CronJob's, or "namespace/job/name" for one that no CronJob made."""
    at: datetime | None
    """For which instant its CronJob made it; None for one that was started otherwise."""
    status: fields.Row
    spec: fields.Row
    held: dict[str, fields.Row]
    """Its conditions that hold, by type."""

    @property
    def is_over(self) -> bool:
        return "Complete" in self.held or "Failed" in self.held


def read(found: Any) -> Job:
    """From an object of the API."""
    row = fields.table(found)
    meta, status, spec = fields.table(row.get("metadata")), _table(row.get("status")), _table(row.get("spec"))
    namespace, name, uid = (fields.text(meta, one) for one in ("namespace", "name", "uid"))
    notes, (kind, owner) = notes_of(meta), owner_of(meta)
    job = _job_of(meta, notes, namespace, name, kind, owner)
    at = _scheduled(notes, name, kind, owner)
    return Job(row, meta, notes, namespace, name, uid, kind, owner, job, at, status, spec, true_conditions(status))


def _job_of(meta: fields.Row, notes: dict[str, str], namespace: str, name: str, kind: str, owner: str) -> str:
    if kind == "CronJob":
        return f"{namespace}/{owner}"
    same = notes.get(names.SAME_JOB, "")
    if same.startswith(f"{namespace}/"):
        return same
    if kind:
        return f"{namespace}/{kind.lower()}/{owner}"
    begin = fields.words(meta, "generateName")
    is_generated = begin and name.startswith(begin) and GENERATED.fullmatch(name[len(begin) :])
    return f"{namespace}/{names.LONE}/{begin.rstrip('-.') if is_generated else name}"


def _scheduled(notes: dict[str, str], name: str, kind: str, owner: str) -> datetime | None:
    if names.SCHEDULED in notes:
        return fields.instant(notes, names.SCHEDULED)
    return instant_in(owner, name) if kind == "CronJob" and names.MANUAL not in notes else None


def instant_in(owner: str, name: str) -> datetime | None:
    """The instant in the name that a CronJob's controller gave a Job; None in another name."""
    if not name.startswith(owner):
        return None
    found = TAIL.fullmatch(name[len(owner) :])
    if found is None:
        return None
    return datetime.fromtimestamp(int(found[1]) * (60 if len(found[1]) == 8 else 1), UTC)


def run(job: Job, pods: Sequence[Pod] = ()) -> RunRecord:
    """The run that a Job is."""
    word = word_of(job.status, job.spec, job.held, pods, ends_of(job))
    again = job.notes.get(names.AGAIN_OF, "")
    started = fields.instant(job.status, "startTime")
    action = ACTION_KEY.fullmatch(job.notes.get(names.ACTION, ""))
    failed = next((one for one in reversed(pods) if one.exit_code not in (0, None) or one.phase == "Failed"), None)
    is_ended = not word.state.is_open and word.state is not State.UNKNOWN
    return RunRecord(
        job=job.job,
        attempt_key=job.uid,
        state=word.state,
        native_state=word.native,
        evidence=word.evidence,
        period_key=instant_key(job.at) if job.at else None if again else job.uid,
        period_at=job.at,
        again_of=again,
        queued_at=fields.instant(job.meta, "creationTimestamp"),
        started_at=started if word.state is not State.QUEUED else None,
        ended_at=_end(job, started) if is_ended else None,
        exit_code=_exit_code(word, failed, pods),
        message=_message(word, failed, job.status, job.spec),
        reason=word.reason,
        native_ref=names.reference(job.namespace, job.name, job.uid),
        action_key=action[0] if action else None,
        context=fields.small(_context(job, pods), "pods"),
    )


def ends_of(job: Job) -> frozenset[str]:
    """Who is ending it, or has: "us" by a deadline of ours, "deletion"."""
    by_us = {"us"} if names.CANCELLED in job.notes else set()
    return frozenset(by_us | ({"deletion"} if fields.words(job.meta, "deletionTimestamp") else set()))


def _exit_code(word: Word, failed: Pod | None, pods: Sequence[Pod]) -> int | None:
    if word.state is State.SUCCEEDED:
        return next((one.exit_code for one in reversed(pods) if one.exit_code == 0), None)
    return failed.exit_code if failed is not None and word.state.is_red else None


def _end(job: Job, started: datetime | None) -> datetime | None:
    """A Job that failed has no completionTime: its condition tells when."""
    found = job.held.get("Failed") or job.held.get("Complete") or {}
    at = fields.instant(job.status, "completionTime") or fields.instant(found, "lastTransitionTime")
    return max(at, started) if at is not None and started is not None else at


def _message(word: Word, failed: Pod | None, status: fields.Row, spec: fields.Row) -> str:
    told = [word.message] if word.message else []
    if word.state in (State.PARTIAL, State.FAILED) and fields.number(spec, "completions", 1) > 1:
        done, all_of = fields.number(status, "succeeded", 0), fields.number(spec, "completions", 1)
        which = fields.words(status, "failedIndexes")
        told.append(f"{done} of {all_of} completions" + (f", failed: {which}" if which else ""))
    if failed is not None and not word.state.is_open and word.state is not State.SUCCEEDED:
        code = f" {failed.exit_code}" if failed.exit_code is not None else ""
        told.append(
            f"pod {failed.name} ({failed.why or failed.phase}{code})" + (f": {failed.message}" * bool(failed.message))
        )
    return "; ".join(told)[:1000]


def _context(job: Job, pods: Sequence[Pod]) -> dict[str, Any]:
    spec, status = job.spec, job.status
    counts = {name: fields.number(status, name, 0) for name in ("active", "succeeded", "failed")}
    limits = {name: fields.number(spec, name, 0) for name in ("completions", "parallelism", "backoffLimit")}
    containers = fields.rows(_table(_table(spec.get("template")).get("spec")).get("containers"))
    image = _table(containers[0]).get("image") if containers else None
    indexes = {name: fields.words(status, name) for name in ("completedIndexes", "failedIndexes")}
    found: dict[str, Any] = {
        "image": fields.clean(image) if isinstance(image, str) else None,
        "owner": f"{job.kind}/{job.owner}" if job.kind not in ("", "CronJob") else None,
        **{name: value for name, value in counts.items() if value},
        **{name: value for name, value in limits.items() if value > 1 or (name == "backoffLimit" and value)},
        **{name: value for name, value in indexes.items() if value},
        "pods": [_pod(one) for one in pods[-MOST_PODS:]] or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _pod(one: Pod) -> dict[str, Any]:
    told = {"name": one.name, "node": one.node, "index": one.index, "why": one.why, "restarts": one.restarts}
    code = {} if one.exit_code is None else {"exit": one.exit_code}
    return {**{name: value for name, value in told.items() if value}, **code}


def deleted(record: RunRecord, at: datetime | None) -> RunRecord:
    """The run of a Job whose deletion was seen before its end: with the Job its pods are ended."""
    ended = max(at, record.started_at) if at is not None and record.started_at is not None else at
    message = "its Job was deleted while it was open: its pods were ended with it"
    return replace(record, state=State.CANCELLED, native_state="deleted", ended_at=ended, message=message, reason="")


def gone(known: RunRef, finished: str) -> RunRecord:
    """A run that was open and whose Job is deleted, unseen. `finished`: what its CronJob's event says of its end."""
    states = {"Complete": State.SUCCEEDED, "Failed": State.FAILED}
    state = states.get(finished) or (State.LOST if known.started_at else State.UNKNOWN)
    words = "its Job is deleted (by hand, by its TTL or by a history limit), and its end was not seen"
    return RunRecord(
        job=known.job,
        attempt_key=known.attempt_key,
        state=state,
        native_state=f"SawCompletedJob: {finished}" if finished in states else "deleted",
        evidence=Evidence.NATIVE if finished in states else Evidence.INFERRED,
        period_key=known.period_key,
        started_at=known.started_at,
        message="its Job is deleted; its end is told by an event of its CronJob" if finished in states else words,
        native_ref=known.native_ref,
    )


def _table(value: Any) -> fields.Row:
    return value if isinstance(value, dict) else {}
