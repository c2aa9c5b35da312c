"""Retrying what failed, and starting dbt: looked at first, sent once, known again by a variable that dbt keeps."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.arrival import SEND_SECONDS, sent_at, time_to_send, unless_on_its_way
from connectors.contract import (
    ACTION_KEY,
    Absent,
    AccessRefused,
    Ask,
    CannotTell,
    Found,
    LookUp,
    NotSupported,
    OutcomeUnknown,
    Preview,
    Receipt,
    RunRef,
    SystemUnreachable,
    Verb,
)
from connectors.dbt.client import DbtClient
from connectors.dbt.options import Project
from connectors.transport.ssh import SshFailed

NODE = re.compile(r"(model|seed|snapshot)\.[A-Za-z0-9_]{1,100}\.([A-Za-z0-9_]{1,250})(\.v[A-Za-z0-9_]{1,20})?")
CONTEXT_LOST = "dbt is started now, with the login's own environment: variables that its scheduler sets are not there"


def invocation_of(run: RunRef) -> str:
    """Of the run; "" where nothing ran yet."""
    try:
        found = str(json.loads(run.native_ref)["id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return found if re.fullmatch(r"[0-9a-f-]{36}", found) else ""


class DbtActs:
    """The verbs of one host."""

    def __init__(self, client: DbtClient, target: str) -> None:
        self._client = client
        self._target = target

    def project_of(self, job: str) -> tuple[str, str]:
        """Project and node ("" for the project). NotSupported for a job that is none of this host's."""
        host, _, rest = job.partition(":")
        project, _, node = rest.partition("/")
        if host != self._target or project not in self._client.options.projects:
            raise NotSupported(f"{job}: no dbt project of {self._target}")
        return project, node

    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        """What `act` would send. NotSupported for verbs that dbt has not."""
        if ask.verb not in (Verb.RERUN, Verb.START):
            raise NotSupported(f'dbt has no "{ask.verb}"; what it has is: rerun, start')
        name, node = self.project_of(ask.run.job)
        project = self._client.options.projects[name]
        invocation = invocation_of(ask.run)
        answer = self._client.can(name, invocation, timeout_seconds)
        there = answer.value
        scope = str(ask.parameters.get("scope") or "failed")
        is_retry = ask.verb is Verb.RERUN and not node and scope == "failed"
        words = self._words(project, node, scope, str(there.get("path") or ""), is_retry)
        argv = [str(there.get("program") or project.dbt), "--log-format", "json", *words, *_profiles(project)]
        shown = f"ssh {self._target}: cd {project.folder} && {' '.join([project.dbt, *words, *_profiles(project)])}"
        skew = (answer.now - answer.ours).total_seconds()
        alive = [str(one) for one in there.get("alive") or ()]
        covers = " ".join(words[1:]) or "all of the project"
        return Preview(
            verb="dbt retry" if is_retry else f"dbt {words[0]}",
            words=f"run dbt {words[0]} in {project.folder} on {self._target}",
            scope=f"what failed and was skipped in {invocation or 'no run'}" if is_retry else covers,
            overlap=f"dbt runs there now: {alive[0]}" if alive else None,
            native_calls=(shown,),
            notes=(CONTEXT_LOST,),
            refused=self._refused(project, there, alive, node, is_retry),
            plan={
                "project": name, "argv": argv, "skew": skew, "node": node if ask.verb is Verb.RERUN else "",
                "period": ask.run.period_key if ask.verb is Verb.RERUN and not node else "",
            },
        )  # fmt: skip

    def _words(self, project: Project, node: str, scope: str, state: str, is_retry: bool) -> list[str]:
        if is_retry:
            return ["retry", "--state", state]
        if not node:
            return list(project.start)
        found = NODE.fullmatch(node)
        name = f"{found[2]}{found[3] or ''}" if found else ""
        return ["build", "--select", f"{name}+" if scope == "downstream" else name]

    def _refused(self, project: Project, there: Any, alive: list[str], node: str, is_retry: bool) -> str | None:
        if node and not NODE.fullmatch(node):
            return f"{node} is no model, seed or snapshot: rerun what it tests, or its run"
        if not there.get("there"):
            return f"{project.folder} is not there on {self._target}"
        if not there.get("program"):
            return f'no program "{project.dbt}" on the PATH of the login there: set dbt to its path'
        if not there.get("writable"):
            return f"the login may not write in {project.folder}, as dbt must. Add it to the folder's group"
        if alive:
            return f"dbt runs there now ({alive[0][:80]}); two at once would overwrite each other's artefacts"
        if is_retry and not there.get("state"):
            return (
                "the state of that run is not kept on the host: dbt keeps its last run only, and this one was not"
                " read before it was overwritten (keep = 0?). Rerun all of it, or its nodes"
            )
        return None

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        """Sends it once under `key`. OutcomeUnknown when the host was reached and did not answer."""
        _check(key)
        plan = preview.plan
        sent = (sent_at(plan) or datetime.now(UTC)) + timedelta(seconds=float(plan["skew"]))
        latest = (sent + timedelta(seconds=SEND_SECONDS)).timestamp()
        about = {name: str(plan.get(name) or "") for name in ("node", "period")}
        looked_up = f"Whether it was started is looked up by its mark on {self._target}."
        try:
            limit = time_to_send(preview, timeout_seconds)
            said = self._client.act(str(plan["project"]), key, list(plan["argv"]), latest, about, limit).value
        except SshFailed as error:
            if error.touched:
                raise OutcomeUnknown(f"{error} {looked_up}") from error
            raise
        except SystemUnreachable as error:
            raise OutcomeUnknown(f"{error} {looked_up}") from error
        if said.get("said") in ("done", "exists"):
            return Receipt(key, f"dbt was started on {self._target}")
        raise _no(said)

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        """By our mark on the host; absence is proved by time alone."""
        _check(key)
        said = self._client.marked(key, timeout_seconds).value
        if said.get("half"):
            return CannotTell(f"its mark is on {self._target}, and no output of dbt: it may not have been started")
        answer: LookUp = Found(key, f"its mark is on {self._target}") if said.get("found") is True else Absent()
        return unless_on_its_way(answer, preview)


def _profiles(project: Project) -> list[str]:
    return ["--profiles-dir", project.profiles] if project.profiles else []


def _no(said: Any) -> AccessRefused | NotSupported:
    word = str(said.get("said"))
    if word == "refused":
        told = str(said.get("why") or "it was refused under this key before")
        return AccessRefused(f"dbt could not be started: {told[:200]}")
    why = {
        "late": "the request came too late and nothing was done. Ask again",
        "runs": "dbt runs there meanwhile. Ask again when it has ended",
    }.get(word, f"unknown answer {word[:40]}")
    return NotSupported(f"dbt was not started: {why}.")


def _check(key: str) -> None:
    if not ACTION_KEY.fullmatch(key):
        raise NotSupported(f"not an action key of ours: {key[:60]!r}")
