"""Holds: the waiting submissions of a job are held by scontrol, under the hold mark at the end of their comment."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.sdk.contract import (
    ActionAbsent,
    ActionFound,
    ActionUnknown,
    HoldMark,
    LookUpResult,
    NativeHold,
    check_action_key,
)
from connectors.sdk.errors import NotSupported
from connectors.sdk.marked_pause import MarkedPause, MarkedPauseHolder, PauseState
from connectors.sdk.settle import host_window
from connectors.slurm import parse
from connectors.slurm.client import JobSituation, SlurmClient, sent, situation
from connectors.slurm.options import JobSelection
from connectors.slurm.parse import QueueRow, SlurmAnswer

MAX_SHOWN = 5
"""Submissions whose calls a preview shows."""
WAITING_ONLY = (
    "Slurm holds submissions, not names: later submissions are not held. Hold the job where it is submitted, too",
    "running jobs go on to their end",
)


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """The submissions of a job that wait."""

    now: JobSituation
    lines: list[QueueRow]

    @property
    def free(self) -> list[QueueRow]:
        return [line for line in self.lines if not line.is_held]

    def marked(self, hold: str) -> list[QueueRow]:
        return [line for line in self.lines if f"headway-hold id={hold} " in line.comment] if hold else []


class SlurmHolder(MarkedPauseHolder[WaitingJob]):
    """Of a job some submissions may be held and others not: it counts as held where all are."""

    marking = MarkedPause("Slurm", "held", "comment", replaces_marks=False)
    pause, resume, unit, hold_notes = "hold", "release", "the waiting submissions", WAITING_ONLY

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

    def read(self, job: str) -> WaitingJob:
        if not self._selection.parts_of(job)[1]:
            raise NotSupported(f"{job}: not a job of {self._selection.target}")
        answer = self._client.pending()
        rows = [row for row in self._waiting(answer) if self._selection.job_of(row.user, row.name) == job]
        return WaitingJob(situation(answer), rows)

    def state(self, row: WaitingJob) -> PauseState:
        marks = {mark.id: mark for line in row.lines if (mark := HoldMark.read(line.comment))}
        return PauseState(bool(row.lines) and all(line.is_held for line in row.lines), tuple(marks.values()))

    def by_hand(self, job: str, row: WaitingJob) -> str:
        return f"scontrol release {','.join(map(_id, row.lines))}"

    def hold_refusal(self, job: str, row: WaitingJob, now: PauseState) -> str | None:
        if not row.lines:
            return f"no submission of {job} waits: Slurm can hold only submissions that have not begun"
        return super().hold_refusal(job, row, now)

    def missing_right(self, job: str, row: WaitingJob, how: str) -> str | None:
        return row.now.refusal(self._selection.parts_of(job)[0])

    def subject(self, job: str, row: WaitingJob) -> str:
        return f"{self.unit} of {job}"

    def details(self, row: WaitingJob, plan: Mapping[str, Any]) -> dict[str, Any]:
        lines = row.free if plan["how"] == "hold" else row.marked(plan["hold"])
        return {"skew": row.now.skew, "parts": [_id(line) for line in lines]}

    def affected(self, plan: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(plan["parts"][:100])

    def resumes(self, row: WaitingJob, now: PauseState, plan: Mapping[str, Any]) -> bool:
        return bool(plan["how"] == "release")

    def hold_calls(self, row: WaitingJob, plan: Mapping[str, Any], mark: HoldMark) -> tuple[str, ...]:
        command = f'scontrol update JobId={{part}} Comment="… {mark.text}"; scontrol hold {{part}}'
        return self._calls(command, plan)

    def release_calls(self, row: WaitingJob, plan: Mapping[str, Any]) -> tuple[str, ...]:
        release = "scontrol release {part}; " if plan["how"] == "release" else ""
        return self._calls(f"{release}scontrol update JobId={{part}} Comment=…", plan)

    def _calls(self, command: str, plan: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(f"on {self._selection.target}: {command.format(part=part)}" for part in plan["parts"][:MAX_SHOWN])

    def write_hold(self, row: WaitingJob, now: PauseState, plan: Mapping[str, Any], mark: HoldMark) -> None:
        """Of the submissions that wait now, not those of the preview."""
        self._send(("hold", mark.id, mark.text), row.lines, plan)

    def write_release(self, row: WaitingJob, now: PauseState, plan: Mapping[str, Any]) -> None:
        hold = str(plan["hold"])
        check_action_key(hold)
        self._send(("release", hold, "yes" if plan["how"] == "release" else "no"), row.marked(hold), plan)

    def _send(self, call: tuple[str, ...], lines: Iterable[QueueRow], plan: Mapping[str, Any]) -> None:
        job, latest = str(plan["job"]), str(host_window(plan)[1])
        sent(self._client, (*call, latest, *map(_id, lines)), job, self._selection.parts_of(job)[0])

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        """By the mark: a hold has added it, a release has removed it."""
        job, row, hold = str(plan["job"]), self.read(str(plan["job"])), key if plan["how"] == "hold" else plan["hold"]
        marked = row.marked(str(hold))
        # of "7_[4-9]" the job: it is "7_[5-9]" once its first task began
        requested = {part.partition("[")[0] for part in plan.get("parts", ())}
        chosen = [line for line in row.lines if line.part.partition("[")[0] in requested]
        if plan["how"] == "hold":
            held = [line.part for line in marked if line.is_held]
            free = [line.part for line in chosen if not line.is_held]
            if held and free:
                return ActionUnknown(f"held under its key: {', '.join(held[:20])}; not held: {', '.join(free[:20])}")
            return ActionFound(job, f"held under its key: {', '.join(held[:20])}") if held else ActionAbsent()
        released = [line.part for line in chosen if line not in marked]
        if marked and released:
            still = ", ".join(line.part for line in marked[:20])
            return ActionUnknown(f"the mark of {hold} is gone from {', '.join(released[:20])}; it is still on {still}")
        if marked or (plan["how"] == "release" and self.state(row).is_paused):
            return ActionAbsent()
        return ActionFound(job, f"no waiting submission has the mark of {hold}")


def _id(line: QueueRow) -> str:
    """As scontrol takes it: "7_[4-9]" less "%2"."""
    return line.part.partition("%")[0] + ("]" if "%" in line.part else "")
