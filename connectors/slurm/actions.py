"""Slurm actions: rerun, start, cancel, hold and release.

A job is requeued where slurmctld still knows it; else its stored script is submitted again. A hold: the waiting
submissions of the job are held by scontrol, under our mark at the end of their comment.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from connectors.sdk.action_router import RoutedAction, VerbRouter
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
from connectors.sdk.errors import InvalidAnswer, NotSupported
from connectors.sdk.fields import reference_row
from connectors.sdk.marked_pause import (
    hold_parameters,
    mark_refusal,
    release_parameters,
    release_refusal,
    required_mark,
    shown_mark_of_plan,
)
from connectors.sdk.settle import host_window
from connectors.sdk.states import Capability, Verb
from connectors.slurm import parse
from connectors.slurm.client import OPERATORS, JobSituation, SlurmClient, call, needed, sent, situation
from connectors.slurm.options import JobSelection
from connectors.slurm.parse import QueueRow, SlurmAnswer
from connectors.slurm.polling import SlurmInventory

MOST_TASKS = 5000
REQUEUED = (
    "Slurm waits about two minutes before a requeued job may start (reason BeginTime)",
    "the same job id, script, arguments and environment; its output file is overwritten, unless it appends",
    "jobs that depend on its first try do not wait for this one",
)
SUBMITTED = (
    "a new job id, with the script, name, account, partition and folder of the first submission",
    "other options of its command line, its arguments and its environment are lost",
)
NO_SCRIPT = (
    "slurmctld does not know job {} any more, and accounting keeps no script of it, so there is nothing to submit: with"
    " AccountingStoreFlags=job_script in slurm.conf it is kept from then on. Submit it by hand"
)
ARRAY = re.compile(r"(?:--array[= ]|\s-a\s*)(\S+)")
ARRAY_TASKS = re.compile(r"[0-9,:%-]{1,10000}")


class SlurmReruns:
    """RERUN and START of one cluster."""

    def __init__(self, client: SlurmClient, selection: JobSelection, jobs: SlurmInventory) -> None:
        self._client, self._selection, self._jobs = client, selection, jobs

    def preview(self, spec: ActionSpec) -> Preview:
        ref: Mapping[str, Any] = reference_row(spec.run.native_ref)
        if not self._selection.parts_of(spec.run.job)[1]:
            raise NotSupported(f"{spec.run.job}: not a job of {self._selection.target}")
        if spec.verb is Verb.START or not parse.base_of(str(ref.get("part", ""))):
            ref = self._of_newest(spec.run.job)
            if not ref:
                why = f"accounting has no submission of {spec.run.job} within history_hours"
                return Preview("submit again", "cannot submit it now", "nothing", refused=why)
            return self._submitting(spec, ref, self._situation(ref), is_start=True)
        now = self._situation(ref)
        if now.parts and now.may_requeue:
            return self._requeuing(spec, ref, now)
        return self._submitting(spec, ref, now, is_start=False)

    def _of_newest(self, job: str) -> dict[str, Any]:
        newest = self._jobs.newest(job)
        if newest is None:
            return {}
        ref = {"id": parse.base_of(newest.part), "part": newest.part, "user": newest.user, "name": newest.last_name}
        ref |= {"dir": newest.folder, "line": newest.line, "account": newest.account, "partition": newest.partition}
        return {**ref, "array": newest.part != ref["id"]}

    def _situation(self, ref: Mapping[str, Any]) -> JobSituation:
        base, part, user = str(ref["id"]), str(ref["part"]), str(ref["user"])
        calls = [call("job", base), call("script", part), call("failed", base), call("may", user)]
        return situation(self._client.ask(["host", "level", *calls, call("queue", "-u", user)]), self._client.where)

    # -- requeue ------------------------------------------------------------------------------------------------------
    def _requeuing(self, spec: ActionSpec, ref: Mapping[str, Any], now: JobSituation) -> Preview:
        base, user = str(ref["id"]), str(ref["user"])
        chosen = self._chosen(spec, ref, now)
        parts = chosen or [base]
        busy = next((part for part in now.parts if part.state.is_open and (not chosen or part.part in chosen)), None)
        refused = now.refusal(user)
        if busy:
            refused = f"job {busy.part} is {busy.native_state} now: cancel it, or wait for its end"
        ids = ",".join(parts)
        scope = f"{len(parts)} failed tasks of job {base}" if chosen else f"job {base} of {spec.run.job}"
        return Preview(
            verb="requeue",
            summary=f"requeue job {ids[:80]} on {self._selection.target} as {user}",
            scope=scope,
            affected=tuple(parts[:100]),
            overlap=self._overlap(ref, now),
            native_calls=(f"on {self._selection.target}: scontrol requeue {ids[:200]}",),
            notes=REQUEUED,
            refused=refused,
            plan={"how": "requeue", "id": base, "parts": ids, "user": user, "skew": now.skew,
                  "newest": max(part.submit for part in now.parts)},
        )  # fmt: skip

    def _chosen(self, spec: ActionSpec, ref: Mapping[str, Any], now: JobSituation) -> list[str]:
        """The failed tasks of an array, where only those are requested; empty: all of the job."""
        if not ref.get("array") or spec.parameters.get("scope", "failed") != "failed":
            return []
        live = [part.part for part in now.parts if part.state.is_red and "[" not in part.part]
        lines = [line for line in parse.lines(parse.section(now.answer, "FAILED")) if parse.base_of(line) == ref["id"]]
        return list(dict.fromkeys([*lines, *live]))[:MOST_TASKS]

    # -- submit -------------------------------------------------------------------------------------------------------
    def _submitting(self, spec: ActionSpec, ref: Mapping[str, Any], now: JobSituation, is_start: bool) -> Preview:
        base, part, user = str(ref["id"]), str(ref["part"]), str(ref["user"])
        options = self._options(spec, ref, now, is_start)
        may = needed(now.answer, "MAY", self._client.where).rest.startswith("yes")
        sudoers = f"{now.me} ALL=({user}) NOPASSWD: /usr/bin/sbatch"
        refused = None if may else f'the login "{now.me}" may not submit as {user}. Add to its sudoers: {sudoers}'
        if parse.section(now.answer, "SCRIPT") is None:
            refused = NO_SCRIPT.format(base)
        arguments = " ".join(options)
        tasks = f", tasks {options[-1].partition('=')[2][:80]}" if "--array" in arguments else ""
        return Preview(
            verb="submit again",
            summary=f"submit the script of job {part} again on {self._selection.target} as {user}",
            scope=f"one run of {spec.run.job}{tasks}",
            overlap=self._overlap(ref, now),
            native_calls=(f"on {self._selection.target}: sudo -u {user} sbatch --comment=<key> {arguments}"[:400],),
            notes=SUBMITTED,
            refused=refused,
            plan={"how": "submit", "id": base, "part": part, "user": user, "options": options, "skew": now.skew},
        )

    def _options(self, spec: ActionSpec, ref: Mapping[str, Any], now: JobSituation, is_start: bool) -> list[str]:
        known = (("job-name", "name"), ("account", "account"), ("partition", "partition"), ("chdir", "dir"))
        options = [f"--{option}={ref[field]}" for option, field in known if ref.get(field)]
        if ref.get("array"):
            failed = [] if is_start else [item.partition("_")[2] for item in self._chosen(spec, ref, now)]
            match = ARRAY.search(str(ref.get("line", "")))
            tasks = ",".join(failed) or (match[1] if match else "")
            options += [f"--array={tasks}"] if ARRAY_TASKS.fullmatch(tasks) else []
        return options

    def _overlap(self, ref: Mapping[str, Any], now: JobSituation) -> str | None:
        waits, _, _ = parse.queue(now.answer)
        name = self._selection.name_of(str(ref["name"]))
        running = [
            f"{line.part} ({line.native})"
            for base, queued in waits.items()
            for line in queued
            if base != ref["id"] and line.user == ref["user"] and self._selection.name_of(line.name) == name
            and line.native in ("PENDING", "RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING")
        ]  # fmt: skip
        return f"other submissions of it are active: {', '.join(running[:5])}" if running else None

    # -- sending ------------------------------------------------------------------------------------------------------
    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        what, user = f"job {plan['id']}", str(plan["user"])
        since, latest = map(str, host_window(plan))
        if plan["how"] == "requeue":
            command = call("requeue", str(plan["id"]), str(plan["parts"]), key, latest)
            message = sent(self._client, command, what, user)
            lost = f"; its comment could not be set: {message.rest[:100]}" if message.kind == "UNMARKED" else ""
            return Receipt(str(plan["parts"]), f"{what} is queued again{lost}")
        options = [str(option) for option in plan["options"]]
        command = call("submit", key, latest, since, user, str(plan["part"]), *options)
        message = sent(self._client, command, what, user)
        return Receipt(message.rest.partition(";")[0] or key, f"submitted as job {message.rest[:40]}")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        """By our key in the comment of a job, in the queue or in accounting (or in the line that submitted it)."""
        base = str(plan["id"]) if plan["how"] == "requeue" else ""
        search = call("look_for", key, str(host_window(plan)[0]), base)
        answer = self._client.ask(["host", "config", "level", search])
        queue, accounts, result = needed(answer, "LOOKED", self._client.where).fields(3)
        rows = [line.split(answer.delimiter) for line in parse.lines(parse.section(answer, "JOB"))]
        if result:
            mark = f"headway-run id={key} "
            requeued = {row[3] for row in rows if len(row) >= 5 and mark in row[4]}
            tasks = [part for part in str(plan.get("parts", "")).split(",") if "_" in part]
            missing = [task for task in tasks if requeued and task not in requeued]
            note = f"; not queued again: {', '.join(missing[:20])}" if missing else ""
            return ActionFound(result, f"job {result} has its key{note}")
        if queue != "0" or accounts != "0":
            silent = "slurmctld" if queue != "0" else "accounting"
            return ActionUnknown(f"{silent} does not answer")
        where = self._client.where
        me, level = needed(answer, "ME", where).fields(2)[0], needed(answer, "LEVEL", where).rest.strip()
        may_see = me in (plan["user"], "root") or level in OPERATORS
        if not may_see and parse.is_private(parse.settings(answer, where)):  # which Slurm reports by no error
            return ActionUnknown(f"PrivateData=jobs hides the jobs of {plan['user']} from the login: it may be there")
        if not base:
            return ActionAbsent()
        if parse.section(answer, "JOB") is None:
            return ActionUnknown("slurmctld does not know the job any more, and accounting keeps no comments")
        if any(parse.stamp(row[0]) > int(plan.get("newest", 0)) for row in rows if len(row) >= 5):
            return ActionUnknown("it was queued again meanwhile, without our key in its comment")
        return ActionAbsent()


WAITING_ONLY = (
    "Slurm holds submissions, not names: later submissions are not held. Hold the job where it is submitted, too",
    "running jobs go on to their end",
)


class SlurmHolds:
    """HOLD and RELEASE of one cluster."""

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
            raise InvalidAnswer(f"{self._client.where}: {parse.warnings_of([error], self._client.where)}")
        return [line for queued in waits.values() for line in queued if line.is_pending]

    def _read(self, job: str) -> tuple[JobSituation, list[QueueRow]]:
        answer = self._client.pending()
        rows = [row for row in self._waiting(answer) if self._selection.job_of(row.user, row.name) == job]
        return situation(answer, self._client.where), rows

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
            summary=f"release the waiting submissions of {job} and remove our mark from their comments"
            if enables
            else f"remove our mark from the comments of {job}; its submissions are not changed otherwise",
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
            message = sent(self._client, call("release", hold, enable, latest, *ids), job, user)
            return Receipt(f"job {message.rest}", "released, its comment as it was" if enable == "yes" else "unmarked")
        mark = required_mark(plan, key)
        for line in waiting:
            if (existing := HoldMark.read(line.comment)) and existing.id != key:
                raise NotSupported(f"{job} is held by another: {existing.text}")
        message = sent(self._client, call("hold", key, mark.text, latest, *map(_id, waiting)), job, user)
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


class SlurmCanceller:
    """CANCEL of one cluster."""

    def __init__(self, client: SlurmClient, selection: JobSelection) -> None:
        self._client, self._selection = client, selection

    def preview(self, spec: ActionSpec) -> Preview:
        ref = reference_row(spec.run.native_ref)
        base, user = parse.base_of(str(ref.get("part", ""))), str(ref.get("user", ""))
        if not base:
            raise NotSupported(f"{spec.run.job}: no job id is known for this run")
        now = situation(self._client.ask(["host", "level", call("job", base)]), self._client.where)
        live = [part for part in now.parts if part.state.is_open]
        newest = max((part.submit for part in now.parts), default=0)
        refused = now.refusal(user)
        if not live:
            refused = f"job {base} has ended: there is nothing to cancel"
        elif not ref.get("array") and newest != ref.get("submit"):
            refused = f"job {base} was queued again meanwhile: refresh it"
        return Preview(
            verb="cancel",
            summary=f"cancel job {base} of {user} on {self._selection.target}",
            scope=f"1 run of {spec.run.job}" if len(live) < 2 else f"{len(live)} parts of job {base}",
            native_calls=(f"on {self._selection.target}: scancel {base}",),
            notes=("Slurm sends SIGCONT and SIGTERM, and SIGKILL after KillWait",),
            refused=refused,
            plan={"how": "cancel", "id": base, "user": user, "skew": now.skew},
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        base = str(plan["id"])
        latest = str(host_window(plan)[1])
        sent(self._client, call("cancel", base, latest), f"job {base}", str(plan["user"]))
        return Receipt(base, f"scancel {base} was accepted")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        """By the end of the job: Slurm does not record who cancelled it."""
        base = str(plan["id"])
        now = situation(self._client.ask(["host", "level", call("job", base)]), self._client.where)
        if not now.parts:
            return ActionUnknown(
                f"slurmctld does not know job {base} any more: it has ended, and the cause is not recorded"
            )
        if any(part.state.is_open for part in now.parts):
            return ActionAbsent()
        return ActionFound(base, f"job {base} is {now.parts[0].native_state}")


MISSING = {
    Capability.MARK: "Slurm cannot set a job's result; Headway records it as asserted",
    Capability.TASKS: "array tasks are shown as parts of their run; job steps are not shown",
    Capability.PERIODS: "Slurm gives a job no date: whenever it runs, it runs for now",
}


class SlurmActions(VerbRouter):
    """All actions of one cluster. One query is enough to verify: slurmctld answers from its memory."""

    plan_key = "how"

    def __init__(self, client: SlurmClient, selection: JobSelection, reruns: SlurmReruns, holds: SlurmHolds) -> None:
        cancel = SlurmCanceller(client, selection)
        previews = {
            **dict.fromkeys((Verb.RERUN, Verb.START), reruns.preview),
            **dict.fromkeys((Verb.HOLD, Verb.RELEASE), holds.preview),
            Verb.CANCEL: cancel.preview,
        }
        by_plan: dict[str, RoutedAction] = {"cancel": cancel, **dict.fromkeys(("requeue", "submit"), reruns)}
        by_plan |= dict.fromkeys(("hold", "release"), holds)
        super().__init__("Slurm", client, previews, by_plan, MISSING)
