"""START and RERUN of dbt: previewed, sent once, and found again by a variable that dbt records in its artifacts."""

from __future__ import annotations

import re
from typing import Any

from connectors.dbt.client import DbtClient
from connectors.dbt.options import DbtProject
from connectors.sdk.contract import (
    ActionAbsent,
    ActionFound,
    ActionSpec,
    ActionUnknown,
    LookUpResult,
    Preview,
    Receipt,
    check_action_key,
)
from connectors.sdk.errors import AccessRefused, NotSupported, OutcomeUnknown
from connectors.sdk.fields import masked_head, reference_row
from connectors.sdk.records import RunRef
from connectors.sdk.settle import host_window, unless_in_flight
from connectors.sdk.states import Verb
from connectors.sdk.transport.hosts import sent_once

RUNNABLE_NODE = re.compile(r"(model|seed|snapshot)\.[A-Za-z0-9_]{1,100}\.([A-Za-z0-9_]{1,250})(\.v[A-Za-z0-9_]{1,20})?")
DIFFERENT_ENVIRONMENT = (
    "dbt is started now, with the login's own environment: variables that its scheduler sets are not there"
)


def invocation_id(run: RunRef) -> str:
    invocation = str(reference_row(run.native_ref).get("id"))
    return invocation if re.fullmatch(r"[0-9a-f-]{36}", invocation) else ""


class DbtActions:
    def __init__(self, client: DbtClient, target: str) -> None:
        self._client, self._target = client, target

    def project_of(self, job: str) -> tuple[str, str]:
        """Project and node ("" for the project). NotSupported for a job of another host."""
        host, _, rest = job.partition(":")
        project, _, node = rest.partition("/")
        if host != self._target or project not in self._client.options.projects:
            raise NotSupported(f"{job}: no dbt project of {self._target}")
        return project, node

    def preview(self, spec: ActionSpec) -> Preview:
        """The command that `act` would start. NotSupported for other verbs."""
        if spec.verb not in (Verb.RERUN, Verb.START):
            raise NotSupported(f'dbt has no "{spec.verb}"; its verbs are rerun and start')
        name, node = self.project_of(spec.run.job)
        project = self._client.options.projects[name]
        invocation = invocation_id(spec.run)
        answer = self._client.can(name, invocation)
        host = answer.value
        scope = str(spec.parameters.get("scope") or "failed")
        is_retry = spec.verb is Verb.RERUN and not node and scope == "failed"
        arguments = self._arguments(project, node, scope, str(host.get("path") or ""), is_retry)
        given = [*arguments, *(["--profiles-dir", project.profiles] if project.profiles else [])]
        argv = [str(host.get("program") or project.dbt), "--log-format", "json", *given]
        command = f"on {self._target}: cd {project.folder} && {' '.join([project.dbt, *given])}"
        skew = answer.clock.skew_seconds
        alive = [str(process) for process in host.get("alive") or ()]
        covers = " ".join(arguments[1:]) or "all of the project"
        return Preview(
            verb="dbt retry" if is_retry else f"dbt {arguments[0]}",
            summary=f"run dbt {arguments[0]} in {project.folder} on {self._target}",
            scope=f"failed and skipped nodes of {invocation or 'no run'}" if is_retry else covers,
            overlap=f"dbt runs there now: {alive[0]}" if alive else None,
            native_calls=(command,),
            notes=(DIFFERENT_ENVIRONMENT,),
            refused=self._refused(project, host, alive, node, is_retry),
            plan={
                "project": name, "argv": argv, "skew": skew, "node": node if spec.verb is Verb.RERUN else "",
                "period": spec.run.period_key if spec.verb is Verb.RERUN and not node else "",
            },
        )  # fmt: skip

    def _arguments(self, project: DbtProject, node: str, scope: str, state: str, is_retry: bool) -> list[str]:
        if is_retry:
            return ["retry", "--state", state]
        if not node:
            return list(project.start)
        match = RUNNABLE_NODE.fullmatch(node)
        name = f"{match[2]}{match[3] or ''}" if match else ""
        return ["build", "--select", f"{name}+" if scope == "downstream" else name]

    def _refused(self, project: DbtProject, host: Any, alive: list[str], node: str, is_retry: bool) -> str | None:
        if node and not RUNNABLE_NODE.fullmatch(node):
            return f"{node} is not a model, seed or snapshot: rerun the tested node, or its run"
        if not host.get("there"):
            return f"{project.folder} is not there on {self._target}"
        if not host.get("program"):
            return f'no program "{project.dbt}" on the PATH of the login there: set dbt to its path'
        if not host.get("writable"):
            return f"the login may not write in {project.folder}, as dbt must. Add it to the folder's group"
        if alive:
            return (
                f"dbt runs there now ({masked_head(alive[0], 80)}); two at once would overwrite each other's artefacts"
            )
        if is_retry and not host.get("state"):
            return (
                "the state of that run is not kept on the host: dbt keeps its last run only, and this one was not"
                " read before it was overwritten. Rerun all of it, or its nodes"
            )
        return None

    def act(self, preview: Preview, key: str) -> Receipt:
        """Sends it once under `key`. OutcomeUnknown when the host was reached and did not answer."""
        check_action_key(key)
        plan = preview.plan
        project, argv, latest = str(plan["project"]), list(plan["argv"]), host_window(plan)[1]
        about = {name: str(plan.get(name) or "") for name in ("node", "period")}
        unknown = f"Outcome unknown: checking for its mark on {self._target}."
        outcome = sent_once(lambda: self._client.act(project, key, argv, latest, about), unknown).value
        if outcome.get("said") in ("done", "exists"):
            return Receipt(key, f"dbt was started on {self._target}")
        kind = str(outcome.get("said"))
        if kind == "refused":
            reason = str(outcome.get("why") or "it was refused under this key before")
            raise AccessRefused(f"dbt could not be started: {masked_head(reason, 200)}")
        why = {
            "late": "the request came too late and nothing was done. Send it again",
            "runs": "dbt runs there meanwhile. Send it again when it has ended",
        }.get(kind)
        if why is None:
            raise OutcomeUnknown(f"dbt on {self._target}: unknown answer {masked_head(kind, 40)}. {unknown}")
        raise NotSupported(f"dbt was not started: {why}.")

    def look_up(self, preview: Preview, key: str) -> LookUpResult:
        """By Headway's mark on the host; absence is proved by time alone."""
        check_action_key(key)
        outcome = self._client.marked(key).value
        if outcome.get("half"):
            return ActionUnknown(f"its mark is on {self._target}, and no output of dbt: it may not have been started")
        if outcome.get("found") is True:
            return ActionFound(key, f"its mark is on {self._target}")
        return unless_in_flight(ActionAbsent(), preview)
