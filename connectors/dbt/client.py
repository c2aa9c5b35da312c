"""Client of one host: each method is one round trip to `host_program` on the host's Python. Values travel as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectors.dbt.options import DbtOptions
from connectors.sdk.errors import AccessRefused, InvalidAnswer
from connectors.sdk.fields import masked_head
from connectors.sdk.records import TargetClock
from connectors.sdk.transport.hosts import ScriptClient, new_nonce, scripts_beside
from connectors.sdk.transport.script_output import sections


@dataclass(frozen=True, slots=True)
class DbtAnswer:
    clock: TargetClock
    value: Any


class DbtClient(ScriptClient[DbtOptions]):
    def collect(self, known: Mapping[str, Any], wants: Sequence[str]) -> DbtAnswer:
        """Changes of every project: "log", "results", "sources", "manifest"; `known`: those read before, by project."""
        projects = [self._project(name) | {"known": known.get(name) or {}} for name in self.options.projects]
        return self._request({"verb": "look", "projects": projects, "wants": list(wants)})

    def can(self, project: str, state: str) -> DbtAnswer:
        """Whether dbt can run there now, and whether the state of that invocation is saved."""
        return self._request({"verb": "can", "project": self._project(project), "state": state})

    def act(self, project: str, key: str, argv: Sequence[str], latest: float, about: Mapping[str, str]) -> DbtAnswer:
        """Starts dbt once, unless the host's clock is past `latest`; `about` is stored with its mark."""
        request = {"verb": "act", "project": self._project(project), "key": key, "argv": list(argv), "latest": latest}
        return self._request({**request, "about": dict(about)}, once=True)

    def marked(self, key: str) -> DbtAnswer:
        return self._request({"verb": "marked", "key": key})

    def log(self, project: str, invocation: str, start: int | None, limit: int) -> DbtAnswer:
        request = {"verb": "log", "project": self._project(project), "id": invocation, "start": start, "limit": limit}
        return self._request(request)

    def _project(self, name: str) -> dict[str, Any]:
        project = self.options.projects[name]
        return {"name": name} | project.model_dump(include={"folder", "target", "logs", "dbt"})

    def _request(self, request: Mapping[str, Any], once: bool = False) -> DbtAnswer:
        where, nonce = self.where, new_nonce()
        text = json.dumps({**request, "home": self.options.home})
        script = f"{scripts_beside(__file__, 'host_program.py')}\nrun({text!a}, {nonce!a})\n"
        argv = ("sh", "-c", f"exec {self.options.python} -I -S -")
        before = datetime.now(UTC)
        done = self.session.run(script.encode("ascii", "backslashreplace"), argv, self.deadline.left, once=once)
        if done.exit_status in (126, 127):
            raise AccessRefused(f'{where}: no "{self.options.python}" there: set python to the path of a Python 3.8')
        if done.exit_status and not done.stdout.rstrip().endswith(b" END"):
            fault = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["nothing"]
            error = InvalidAnswer if once else AccessRefused  # it may have acted before
            raise error(f"{where}: its Python could not read the projects: {masked_head(fault[0], 200)}")
        body = next((part.body for part in sections(done.stdout, nonce, where) if part.kind == "JSON"), b"")
        try:
            value = json.loads(body)
            return DbtAnswer(TargetClock(datetime.fromtimestamp(float(value["now"]), UTC), before), value["answer"])
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise InvalidAnswer(f"{where}: its answer is not JSON of ours: {error}") from None
