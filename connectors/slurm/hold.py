"""Holds: the waiting submissions of a job are held by scontrol, under the hold mark at the end of their comment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from connectors.sdk.contract import (
    STARTED_LATER,
    ActionAbsent,
    ActionFound,
    ActionSpec,
    ActionUnknown,
    HoldMark,
    LookUpResult,
    NativeHold,
    Preview,
    Receipt,
    check_action_key,
)
from connectors.sdk.errors import NotSupported
from connectors.sdk.marked_pause import (
    hold_parameters,
    mark_refusal,
    release_parameters,
    release_refusal,
    required_mark,
    shown_mark_of_plan,
)
from connectors.sdk.settle import host_window
from connectors.sdk.states import Verb
from connectors.slurm import parse
from connectors.slurm.client import JobSituation, SlurmClient, sent, situation
from connectors.slurm.options import JobSelection
from connectors.slurm.parse import QueueRow, SlurmAnswer

WAITING_ONLY = (
    "Slurm holds submissions, not names: later submissions are not held. Hold the job where it is submitted, too",
    "running jobs go on to their end",
)


class SlurmHolds:
    def __init__(self, client: SlurmClient, selection: JobSelection) -> None:
        self._client, self._selection = client, selection

    def holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """As the contract says; bare marks are always seen."""
        del known  # all are in the queue
        answer = self._client.pending()
        marked: dict[tuple[str, str], list[tuple[QueueRow, HoldMark]]] = {}
        for line in self._waiting(answer):
            mark = HoldMark.read(line.comment)
            if mark is not None and self._selection.wants(line.name):
                marked.setdefault((self._selection.job_of(line.user, line.name), mark.id), []).append((line, mark))
        holds = []
        for (job, _), rows in sorted(marked.items()):
            where = f"comment of job {', '.join(row.part for row, _ in rows[:5])} on {self._selection.target}"
            holds.append(NativeHold(job, rows[0][1], where, bare=not any(row.is_held for row, _ in rows)))
        return tuple(holds)

    def _waiting(self, answer: SlurmAnswer) -> list[QueueRow]:
        waits, _, error = parse.queue(answer)
        if error:
            raise parse.nothing_seen([error], self._client.where)
        return [line for queued in waits.values() for line in queued if line.is_pending]

    def _read(self, job: str) -> tuple[JobSituation, list[QueueRow]]:
        answer = self._client.pending()
        rows = [row for row in self._waiting(answer) if self._selection.job_of(row.user, row.name) == job]
        return situation(answer), rows

    def preview(self, spec: ActionSpec) -> Preview:
        user, name = self._selection.parts_of(spec.run.job)
        if not name:
            raise NotSupported(f"{spec.run.job}: not a job of {self._selection.target}")
        now, waiting = self._read(spec.run.job)
        part = self._hold if spec.verb is Verb.HOLD else self._release
        return part(spec, user, now, waiting)

    def _hold(self, spec: ActionSpec, user: str, now: JobSituation, waiting: list[QueueRow]) -> Preview:
        job = spec.run.job
        ids = [_id(line) for line in waiting if not line.is_held]
        plan = {"how": "hold", "job": job, "user": user, "skew": now.skew, "parts": ids, **hold_parameters(spec)}
        mark = shown_mark_of_plan(plan)
        calls = [f'scontrol update JobId={part} Comment="… {mark}"; scontrol hold {part}' for part in ids[:5]]
        return Preview(
            verb="hold",
            summary=f"hold the waiting submissions of {job}, marked in their comments with the holder and the end",
            scope=f"{len(ids)} waiting submissions of {job}",
            affected=tuple(ids[:100]),
            native_calls=tuple(f"on {self._selection.target}: {command}" for command in calls),
            notes=WAITING_ONLY,
            refused=mark_refusal(plan) or _hold_refusal(job, waiting) or now.refusal(user),
            plan=plan,
        )

    def _release(self, spec: ActionSpec, user: str, now: JobSituation, waiting: list[QueueRow]) -> Preview:
        job, (hold, enables) = spec.run.job, release_parameters(spec)
        marked_lines = [line for line in waiting if f"headway-hold id={hold} " in line.comment] if hold else []
        mark = next((mark for line in marked_lines or waiting if (mark := HoldMark.read(line.comment))), None)
        ids = [_id(line) for line in marked_lines]
        plan = {"how": "release", "job": job, "user": user, "skew": now.skew, "parts": ids}
        calls = [f"{f'scontrol release {part}; ' * enables}scontrol update JobId={part} Comment=…" for part in ids[:5]]
        by_hand = f"scontrol release {','.join(map(_id, waiting)) or 'JOB'}"
        refused = release_refusal(job, hold, mark, not all(line.is_held for line in waiting), by_hand)
        return Preview(
            verb="release" if enables else "clear",
            summary=f"release the waiting submissions of {job} and remove the hold mark from their comments"
            if enables
            else f"remove the hold mark from the comments of {job}; its submissions are not changed otherwise",
            scope=f"hold {hold} of {job}",
            affected=tuple(ids[:100]),
            native_calls=tuple(f"on {self._selection.target}: {command}" for command in calls),
            notes=(STARTED_LATER,) if enables else (),
            refused=refused or now.refusal(user),
            plan={**plan, "hold": hold, "enables": enables},
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """As the contract says, for the submissions that wait now, not those of the preview."""
        job, user, latest = str(plan["job"]), str(plan["user"]), str(host_window(plan)[1])
        _, waiting = self._read(job)
        if plan["how"] == "release":
            hold = str(plan["hold"])
            check_action_key(hold)
            ids = [_id(line) for line in waiting if f"headway-hold id={hold} " in line.comment]
            enable = "no" if plan.get("enables") is False else "yes"
            message = sent(self._client, ("release", hold, enable, latest, *ids), job, user)
            return Receipt(f"job {message.rest}", "released, its comment as it was" if enable == "yes" else "unmarked")
        mark = required_mark(plan, key)
        for line in waiting:
            if (existing := HoldMark.read(line.comment)) and existing.id != key:
                raise NotSupported(f"{job} is held by another: {existing.text}")
        message = sent(self._client, ("hold", key, mark.text, latest, *map(_id, waiting)), job, user)
        return Receipt(f"job {message.rest}", f"held: {mark.text}")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        """By the mark: a hold has added it, a release has removed it."""
        _, waiting = self._read(str(plan["job"]))
        hold = key if plan["how"] == "hold" else str(plan["hold"])
        marked_lines = [line for line in waiting if f"headway-hold id={hold} " in line.comment]
        # of "7_[4-9]" the job: it is "7_[5-9]" once its first task began
        requested = {part.partition("[")[0] for part in plan.get("parts", ())}
        chosen = [line for line in waiting if line.part.partition("[")[0] in requested]
        if plan["how"] == "hold":
            held = [line.part for line in marked_lines if line.is_held]
            free = [line.part for line in chosen if not line.is_held]
            if held and free:
                return ActionUnknown(f"held under its key: {', '.join(held[:20])}; not held: {', '.join(free[:20])}")
            return ActionFound(f"job {held[0]}", "held under its key") if held else ActionAbsent()
        released = [line.part for line in chosen if line not in marked_lines]
        if marked_lines and released:
            marked = ", ".join(line.part for line in marked_lines[:20])
            return ActionUnknown(f"the mark of {hold} is gone from {', '.join(released[:20])}; it is still on {marked}")
        if marked_lines or (plan.get("enables") is not False and waiting and all(line.is_held for line in waiting)):
            return ActionAbsent()
        return ActionFound(str(plan["job"]), f"no waiting submission has the mark of {hold}")


def _id(line: QueueRow) -> str:
    """As scontrol takes it: "7_[4-9]" less "%2"."""
    return line.part.partition("%")[0] + ("]" if "%" in line.part else "")


def _hold_refusal(job: str, waiting: list[QueueRow]) -> str | None:
    mark = next((mark for line in waiting if (mark := HoldMark.read(line.comment))), None)
    if not waiting:
        return f"no submission of {job} waits: Slurm can hold only submissions that have not begun"
    if mark is not None:
        return f"{job} is held already: {mark.text}"
    if all(line.is_held for line in waiting):
        return f"{job} is held in Slurm, and not by Headway: its owner must release it"
    return None
