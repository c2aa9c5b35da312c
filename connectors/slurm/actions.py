"""Rerun, start and cancel.

A job is requeued where slurmctld still knows it; else its stored script is submitted again. One query is enough:
slurmctld answers from its memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, LookUpResult, Preview, Receipt
from connectors.sdk.errors import NotSupported
from connectors.sdk.fields import masked_head, reference_row
from connectors.sdk.settle import host_window
from connectors.sdk.states import Capability, RunState, Verb
from connectors.slurm import parse
from connectors.slurm.client import OPERATORS, JobSituation, SlurmClient, sent, situation
from connectors.slurm.inventory import SlurmInventory
from connectors.slurm.options import JobSelection

MAX_TASKS = 5000
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
    plans = ("requeue", "submit")

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
        if now.parts and now.may_requeue and not ref.get("scrontab"):  # under its id the next start waits
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
        calls = [("job", base), ("script", part, user), ("failed", base), ("may", user), ("queue", "-u", user)]
        return situation(self._client.ask(["host", "level", *calls]), ref)

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
        lines = [line for line in now.answer.lines("FAILED") if parse.base_of(line) == ref["id"]]
        return list(dict.fromkeys([*lines, *live]))[:MAX_TASKS]

    # -- submit -------------------------------------------------------------------------------------------------------
    def _submitting(self, spec: ActionSpec, ref: Mapping[str, Any], now: JobSituation, is_start: bool) -> Preview:
        base, part, user = str(ref["id"]), str(ref["part"]), str(ref["user"])
        options = self._options(spec, ref, now, is_start)
        may = now.answer.needed("MAY").rest.startswith("yes")
        sudoers = f"{now.me} ALL=({user}) NOPASSWD: /usr/bin/sbatch"
        refused = None if may else f'the login "{now.me}" may not submit as {user}. Add to its sudoers: {sudoers}'
        if now.is_id_taken:
            refused = f"another job has the id {base} now: the script of this one cannot be read"
        elif now.answer.section("SCRIPT") is None:
            refused = NO_SCRIPT.format(base)
        arguments = " ".join(options)
        tasks = f", tasks {options[-1].partition('=')[2][:80]}" if "--array" in arguments else ""
        return Preview(
            verb="submit again",
            summary=f"submit the script of job {part} again on {self._selection.target} as {user}",
            scope=f"one run of {spec.run.job}{tasks}",
            overlap=self._overlap(ref, now),
            native_calls=(
                masked_head(f"on {self._selection.target}: sudo -u {user} sbatch --comment=<key> {arguments}", 400),
            ),
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
        name = str(ref["name"])
        running = [
            f"{line.part} ({line.native})"
            for base, queued in waits.items()
            for line in queued
            if base != ref["id"] and line.user == ref["user"] and line.name == name
            and line.native in ("PENDING", "RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING")
        ]  # fmt: skip
        return f"other submissions of it are active: {', '.join(running[:5])}" if running else None

    # -- sending ------------------------------------------------------------------------------------------------------
    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        what, user = f"job {plan['id']}", str(plan["user"])
        since, latest = map(str, host_window(plan))
        if plan["how"] == "requeue":
            requeue = ("requeue", str(plan["id"]), str(plan["parts"]), key, latest)
            message = sent(self._client, requeue, what, user)
            lost = (
                f"; its comment could not be set: {masked_head(message.rest, 100)}"
                if message.kind == "UNMARKED"
                else ""
            )
            return Receipt(str(plan["parts"]), f"{what} is queued again{lost}")
        options = [str(option) for option in plan["options"]]
        command = ("submit", key, latest, since, user, str(plan["part"]), *options)
        message = sent(self._client, command, what, user)
        return Receipt(message.rest.partition(";")[0] or key, f"submitted as job {masked_head(message.rest, 40)}")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        """By our key in the comment of a job, in the queue or in accounting (or in the line that submitted it)."""
        base = str(plan["id"]) if plan["how"] == "requeue" else ""
        search = ("look_for", key, str(host_window(plan)[0]), base)
        answer = self._client.ask(["host", "config", "level", search])
        queue, accounts, result = answer.needed("LOOKED").fields(3)
        rows = answer.rows("JOB")
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
        me, level = answer.needed("ME").fields(2)[0], answer.needed("LEVEL").rest.strip()
        may_see = me in (plan["user"], "root") or level in OPERATORS
        if not may_see and parse.is_private(parse.settings(answer)):  # which Slurm reports by no error
            return ActionUnknown(f"PrivateData=jobs hides the jobs of {plan['user']} from the login: it may be there")
        if not base:
            return ActionAbsent()
        if answer.section("JOB") is None:
            return ActionUnknown("slurmctld does not know the job any more, and accounting keeps no comments")
        if any(parse.stamp(row[0]) > int(plan.get("newest", 0)) for row in rows if len(row) >= 5):
            return ActionUnknown("it was queued again meanwhile, without our key in its comment")
        return ActionAbsent()


class SlurmCanceller:
    plans = ("cancel",)

    def __init__(self, client: SlurmClient, selection: JobSelection) -> None:
        self._client, self._selection = client, selection

    def preview(self, spec: ActionSpec) -> Preview:
        ref = reference_row(spec.run.native_ref)
        base, user = parse.base_of(str(ref.get("part", ""))), str(ref.get("user", ""))
        if not base:
            raise NotSupported(f"{spec.run.job}: no job id is known for this run")
        now = situation(self._client.ask(["host", "level", ("job", base)]), ref)
        running = [part for part in now.parts if part.state.is_open]
        live = [part for part in running if part.native_state != "COMPLETING"]
        newest = max((part.submit for part in now.parts), default=0)
        refused = now.refusal(user)
        if not live:
            how = "is ending (COMPLETING)" if running else "has ended"
            refused = f"job {base} {how}: there is nothing to cancel"
        elif not ref.get("array") and newest != ref.get("submit"):
            refused = f"job {base} was queued again meanwhile: refresh it"
        return Preview(
            verb="cancel",
            summary=f"cancel job {base} of {user} on {self._selection.target}",
            scope=f"1 run of {spec.run.job}" if len(live) < 2 else f"{len(live)} parts of job {base}",
            native_calls=(f"on {self._selection.target}: scancel {base}",),
            notes=("Slurm sends SIGCONT and SIGTERM, and SIGKILL after KillWait",),
            refused=refused,
            plan={
                "how": "cancel",
                "id": base,
                "user": user,
                "skew": now.skew,
                "run": {field: ref.get(field) for field in ("user", "name", "submit")},
            },
        )

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        base = str(plan["id"])
        latest = str(host_window(plan)[1])
        sent(self._client, ("cancel", base, latest), f"job {base}", str(plan["user"]))
        return Receipt(base, f"scancel {base} was accepted")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        """By the end of the job: Slurm does not record who cancelled it."""
        base = str(plan["id"])
        now = situation(self._client.ask(["host", "level", ("job", base)]), plan["run"])
        if not now.parts:
            return ActionUnknown(
                f"slurmctld does not know job {base} any more: it has ended, and the cause is not recorded"
            )
        if (ending := next((part for part in now.parts if part.native_state == "COMPLETING"), None)) is not None:
            return ActionUnknown(f"job {ending.part} is COMPLETING: it ends on its own, or by the cancel")
        if any(part.state.is_open for part in now.parts):
            return ActionAbsent()
        if (cancelled := next((part for part in now.parts if part.state is RunState.CANCELLED), None)) is not None:
            return ActionFound(base, f"job {base} is {cancelled.native_state}")
        ended = f"job {base} is {now.parts[0].native_state} now"
        return ActionUnknown(f"{ended}: it ended on its own, or before the cancel arrived")


MISSING = {
    Capability.MARK: "Slurm cannot set a job's result; Headway records it as asserted",
    Capability.TASKS: "array tasks are shown as parts of their run; job steps are not shown",
    Capability.PERIODS: "Slurm gives a job no date: whenever it runs, it runs for now",
}
