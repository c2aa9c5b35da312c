"""Client of one host: each method is one round trip to `host_program` on the host's Python. Values travel as JSON."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from connectors.dbt.options import DbtOptions
from connectors.sdk.errors import AccessRefused, RecordUnreadable
from connectors.sdk.transport.budget import Deadline
from connectors.sdk.transport.hosts import HostSession
from connectors.sdk.transport.script_output import sections


@cache
def program_text() -> str:
    return (Path(__file__).parent / "host_program.py").read_text("utf-8")


@dataclass(frozen=True, slots=True)
class DbtAnswer:
    now: datetime
    local_now: datetime
    value: Any


class DbtClient:
    def __init__(self, options: DbtOptions, session: HostSession) -> None:
        self.options, self.session, self.deadline = options, session, Deadline(0.0)

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

    def close(self) -> None:
        self.session.close()

    def _project(self, name: str) -> dict[str, Any]:
        project = self.options.projects[name]
        return {"name": name} | project.model_dump(include={"folder", "target", "logs", "dbt", "keep"})

    def _request(self, request: Mapping[str, Any], once: bool = False) -> DbtAnswer:
        where, nonce = self.session.address.text, secrets.token_hex(8)
        text = json.dumps({**request, "home": self.options.home})
        script = f"{program_text()}\nrun({text!a}, {nonce!a})\n"
        argv = ("sh", "-c", f"exec {self.options.python} -I -S -")
        before = datetime.now(UTC)
        done = self.session.run(script.encode("ascii", "backslashreplace"), argv, self.deadline.left, once=once)
        if done.exit_status in (126, 127):
            raise AccessRefused(f'{where}: no "{self.options.python}" there: set python to the path of a Python 3.8')
        if done.exit_status and not done.stdout.rstrip().endswith(b" END"):
            fault = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["nothing"]
            raise AccessRefused(f"{where}: its Python could not read the projects: {fault[0][:200]}")
        section = next(part for part in sections(done.stdout, nonce, where) if part.kind == "JSON")
        try:
            value = json.loads(section.body)
            return DbtAnswer(datetime.fromtimestamp(float(value["now"]), UTC), before, value["answer"])
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise RecordUnreadable(f"{where}: its answer is not JSON of ours: {error}") from None
