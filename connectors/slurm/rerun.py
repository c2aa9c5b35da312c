"""Running a job again: requeued where slurmctld still knows it, else its kept script is submitted anew."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from connectors.contract import Absent, Ask, CannotTell, Found, LookUp, NotSupported, Preview, Receipt, Verb
from connectors.slurm import parse
from connectors.slurm.answer import Answer
from connectors.slurm.choice import Choice
from connectors.slurm.client import SlurmClient, call
from connectors.slurm.inventory import Jobs
from connectors.slurm.poll import reference
from connectors.slurm.situation import OPERATORS, Situation, latest, needed, sent, since, situation

MOST_TASKS = 5000
REQUEUED = (
    "Slurm waits about two minutes before a requeued job may start (reason BeginTime)",
    "the same job id, script, arguments and environment; its output file is written anew, unless it appends",
    "jobs that were told to wait for its first try do not wait for this one",
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
WAY_OF_TASKS = re.compile(r"[0-9,:%-]{1,10000}")


class Reruns:
    """RERUN and START of one cluster."""

    def __init__(self, client: SlurmClient, choice: Choice, jobs: Jobs) -> None:
        self._client, self._choice, self._jobs = client, choice, jobs

    def preview(self, ask: Ask) -> Preview:
        ref = reference(ask.run)
        if not self._choice.parts_of(ask.run.job)[1]:
            raise NotSupported(f"{ask.run.job}: not a job of {self._choice.target}")
        if ask.verb is Verb.START or not parse.base_of(str(ref.get("part", ""))):
            ref = self._of_newest(ask.run.job)
            if not ref:
                return _refused(f"accounting has no submission of {ask.run.job} in the time that is looked at")
            return self._submitting(ask, ref, self._look(ref), is_start=True)
        now = self._look(ref)
        if now.parts and now.may_requeue:
            return self._requeuing(ask, ref, now)
        return self._submitting(ask, ref, now, is_start=False)

    def _of_newest(self, job: str) -> dict[str, Any]:
        one = self._jobs.newest(job)
        if one is None:
            return {}
        ref = {"id": parse.base_of(one.part), "part": one.part, "user": one.user, "name": one.last_name}
        array = one.part != ref["id"]
        ref |= {"dir": one.folder, "line": one.line, "account": one.account, "partition": one.partition}
        return {**ref, "array": array}

    def _look(self, ref: Mapping[str, Any]) -> Situation:
        base, part, user = str(ref["id"]), str(ref["part"]), str(ref["user"])
        calls = [call("job", base), call("script", part), call("failed", base), call("may", user)]
        return situation(self._client.ask(["host", "level", *calls, call("queue", "-u", user)]), self._client.where)

    # -- requeue ------------------------------------------------------------------------------------------------------
    def _requeuing(self, ask: Ask, ref: Mapping[str, Any], now: Situation) -> Preview:
        base, user = str(ref["id"]), str(ref["user"])
        chosen = self._chosen(ask, ref, now)
        parts = chosen or [base]
        busy = next((one for one in now.parts if one.is_open and (not chosen or one.part in chosen)), None)
        refused = f"job {busy.part} is {busy.word} now: cancel it, or wait for its end" if busy else now.refusal(user)
        ids = ",".join(parts)
        scope = f"{len(parts)} failed tasks of job {base}" if chosen else f"job {base} of {ask.run.job}"
        return Preview(
            verb="requeue",
            words=f"requeue job {ids[:80]} on {self._choice.target} as {user}",
            scope=scope,
            affected=tuple(parts[:100]),
            overlap=self._overlap(ref, now),
            native_calls=(f"ssh {self._choice.target}: scontrol requeue {ids[:200]}",),
            notes=REQUEUED,
            refused=refused,
            plan={"way": "requeue", "id": base, "parts": ids, "user": user, "skew": now.skew,
                  "newest": max(one.submit for one in now.parts)},
        )  # fmt: skip

    def _chosen(self, ask: Ask, ref: Mapping[str, Any], now: Situation) -> list[str]:
        """The failed tasks of an array, where only those are asked for; empty: all of the job."""
        if not ref.get("array") or ask.parameters.get("scope", "failed") != "failed":
            return []
        live = [one.part for one in now.parts if one.is_red and "[" not in one.part]
        told = [line for line in parse.lines(parse.section(now.answer, "FAILED")) if parse.base_of(line) == ref["id"]]
        return list(dict.fromkeys([*told, *live]))[:MOST_TASKS]

    # -- submit -------------------------------------------------------------------------------------------------------
    def _submitting(self, ask: Ask, ref: Mapping[str, Any], now: Situation, is_start: bool) -> Preview:
        base, part, user = str(ref["id"]), str(ref["part"]), str(ref["user"])
        options = self._options(ask, ref, now, is_start)
        may = needed(now.answer, "MAY", self._client.where).rest.startswith("yes")
        refused = None if may else self._no_sudo(now.me, user)
        if parse.section(now.answer, "SCRIPT") is None:
            refused = NO_SCRIPT.format(base)
        words = " ".join(options)
        tasks = f", tasks {options[-1].partition('=')[2][:80]}" if "--array" in words else ""
        return Preview(
            verb="submit anew",
            words=f"submit the script of job {part} again on {self._choice.target} as {user}",
            scope=f"one run of {ask.run.job}{tasks}",
            overlap=self._overlap(ref, now),
            native_calls=(f"ssh {self._choice.target}: sudo -u {user} sbatch --comment=<key> {words}"[:400],),
            notes=SUBMITTED,
            refused=refused,
            plan={"way": "submit", "id": base, "part": part, "user": user, "options": options, "skew": now.skew},
        )

    def _no_sudo(self, me: str, user: str) -> str:
        return (
            f'the login "{me}" may not submit as {user}. Add to its sudoers: '
            f"{me} ALL=({user}) NOPASSWD: /usr/bin/sbatch"
        )

    def _options(self, ask: Ask, ref: Mapping[str, Any], now: Situation, is_start: bool) -> list[str]:
        known = (("job-name", "name"), ("account", "account"), ("partition", "partition"), ("chdir", "dir"))
        options = [f"--{option}={ref[field]}" for option, field in known if ref.get(field)]
        if ref.get("array"):
            failed = [] if is_start else [one.partition("_")[2] for one in self._chosen(ask, ref, now)]
            asked = ARRAY.search(str(ref.get("line", "")))
            tasks = ",".join(failed) or (asked[1] if asked else "")
            options += [f"--array={tasks}"] if WAY_OF_TASKS.fullmatch(tasks) else []
        return options

    def _overlap(self, ref: Mapping[str, Any], now: Situation) -> str | None:
        waits, _, _ = parse.queue(now.answer)
        name = self._choice.name_of(str(ref["name"]))
        others = [
            f"{line.part} ({line.word})"
            for base, queued in waits.items()
            for line in queued
            if base != ref["id"] and line.user == ref["user"] and self._choice.name_of(line.name) == name
            and line.word in ("PENDING", "RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING")
        ]  # fmt: skip
        return f"other submissions of it are there: {', '.join(others[:5])}" if others else None

    # -- sending ------------------------------------------------------------------------------------------------------
    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        what, user = f"job {plan['id']}", str(plan["user"])
        if plan["way"] == "requeue":
            words = call("requeue", str(plan["id"]), str(plan["parts"]), key, latest(plan))
            said = sent(self._client, words, what, user)
            lost = f"; its comment could not be set: {said.rest[:100]}" if said.kind == "UNMARKED" else ""
            return Receipt(str(plan["parts"]), f"{what} is queued again{lost}")
        options = [str(one) for one in plan["options"]]
        words = call("submit", key, latest(plan), since(plan), user, str(plan["part"]), *options)
        said = sent(self._client, words, what, user)
        return Receipt(said.rest.partition(";")[0] or key, f"submitted as job {said.rest[:40]}")

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """By our key in the comment of a job, in the queue or in accounting (or in the line that submitted it)."""
        base = str(plan["id"]) if plan["way"] == "requeue" else ""
        answer = self._client.ask(["host", "config", "level", call("look_for", key, since(plan), base)])
        queue, accounts, found = needed(answer, "LOOKED", self._client.where).fields(3)
        if found:
            return Found(found, f"job {found} bears its key{self._left(answer, plan, key)}")
        if queue != "0" or accounts != "0":
            silent = "slurmctld" if queue != "0" else "accounting"
            return CannotTell(f"{silent} does not answer")
        if self._is_hidden(answer, str(plan["user"])):
            return CannotTell(f"PrivateData=jobs hides the jobs of {plan['user']} from the login: it may be there")
        if not base:
            return Absent()
        return self._requeued(answer, int(plan.get("newest", 0)))

    def _left(self, answer: Answer, plan: Mapping[str, Any], key: str) -> str:
        """Which of the tasks that were to be requeued together were not."""
        rows = [line.split(answer.delimiter) for line in parse.lines(parse.section(answer, "JOB"))]
        mark = f"headway-run id={key} "
        ours = {row[3] for row in rows if len(row) >= 5 and mark in row[4]}
        tasks = [one for one in str(plan.get("parts", "")).split(",") if "_" in one]
        left = [one for one in tasks if ours and one not in ours]
        return f"; not queued again: {', '.join(left[:20])}" if left else ""

    def _is_hidden(self, answer: Answer, user: str) -> bool:
        """Whether jobs of that user are kept from the login: no error tells it."""
        where = self._client.where
        me, level = needed(answer, "ME", where).fields(2)[0], needed(answer, "LEVEL", where).rest.strip()
        return parse.is_private(parse.settings(answer, where)) and me not in (user, "root") and level not in OPERATORS

    def _requeued(self, answer: Answer, newest: int) -> LookUp:
        if parse.section(answer, "JOB") is None:
            return CannotTell("slurmctld does not know the job any more, and accounting keeps no comments")
        rows = [line.split(answer.delimiter) for line in parse.lines(parse.section(answer, "JOB"))]
        if any(parse.stamp(row[0]) > newest for row in rows if len(row) >= 5):
            return CannotTell("it was queued again meanwhile, without our key in its comment")
        return Absent()


def _refused(why: str) -> Preview:
    return Preview("submit anew", "cannot submit it now", "nothing", refused=why)
