"""Talks: each method is one round trip, a fixed program on the host's Python; values reach it as JSON."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from connectors.contract import AccessRefused, RecordUnreadable
from connectors.dbt.options import DbtOptions
from connectors.transport.answer import sections
from connectors.transport.hosts import Session

_OURS = ("from connectors.", "from __future__")


@cache
def program() -> str:
    """What runs on the host."""
    texts = [(Path(__file__).parent / name).read_text("utf-8") for name in ("collect.py", "acts_there.py")]
    lines = [line for text in texts for line in text.splitlines() if not line.startswith(_OURS)]
    return "from __future__ import annotations\n" + "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the host answered, and its clock."""

    now: datetime
    ours: datetime
    value: Any


class DbtClient:
    """One host."""

    def __init__(self, options: DbtOptions, session: Session) -> None:
        self.options = options
        self.session = session

    @property
    def where(self) -> str:
        return self.session.address.words

    def look(self, known: Mapping[str, Any], wants: Sequence[str], timeout_seconds: float) -> Answer:
        """What is new in every project, of "log", "results", "sources", "manifest"; `known`: by project, what was read
        before."""
        projects = [self._project(name) | {"known": known.get(name) or {}} for name in self.options.projects]
        return self._ask({"verb": "look", "projects": projects, "wants": list(wants)}, timeout_seconds)

    def can(self, project: str, state: str, timeout_seconds: float) -> Answer:
        """Whether dbt can be run there now, and whether the state of that invocation is kept."""
        return self._ask({"verb": "can", "project": self._project(project), "state": state}, timeout_seconds)

    def act(
        self, project: str, key: str, argv: Sequence[str], latest: float, about: Mapping[str, str],
        timeout_seconds: float,
    ) -> Answer:  # fmt: skip
        """Starts dbt once, unless the host's clock is past `latest`; `about` is kept with its mark."""
        asked = {"verb": "act", "project": self._project(project), "key": key, "argv": list(argv), "latest": latest}
        asked["about"] = dict(about)
        return self._ask(asked, timeout_seconds, once=True)

    def marked(self, key: str, timeout_seconds: float) -> Answer:
        return self._ask({"verb": "marked", "key": key}, timeout_seconds)

    def log(self, project: str, invocation: str, start: int | None, limit: int, timeout_seconds: float) -> Answer:
        asked = {"verb": "log", "project": self._project(project), "id": invocation, "start": start, "limit": limit}
        return self._ask(asked, timeout_seconds)

    def close(self) -> None:
        self.session.close()

    def _project(self, name: str) -> dict[str, Any]:
        one = self.options.projects[name]
        return {"name": name} | one.model_dump(include={"folder", "target", "logs", "dbt", "keep"})

    def _ask(self, request: Mapping[str, Any], timeout_seconds: float, once: bool = False) -> Answer:
        nonce = secrets.token_hex(8)
        text = json.dumps({**request, "home": self.options.home})
        script = f"{program()}\nrun({text!a}, {nonce!a})\n"
        argv = ("sh", "-c", f"exec {self.options.python} -I -S -")
        before = datetime.now(UTC)
        done = self.session.run(script.encode("ascii", "backslashreplace"), argv, timeout_seconds, once=once)
        if done.exit_status in (126, 127):
            raise AccessRefused(
                f'{self.where}: no "{self.options.python}" there: set python to the path of a Python 3.8'
            )
        if done.exit_status and not done.stdout.rstrip().endswith(b" END"):
            fault = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["nothing"]
            raise AccessRefused(f"{self.where}: its Python could not read the projects: {fault[0][:200]}")
        found = next(part for part in sections(done.stdout, nonce, self.where) if part.kind == "JSON")
        try:
            value = json.loads(found.body)
            return Answer(datetime.fromtimestamp(float(value["now"]), UTC), before, value["answer"])
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise RecordUnreadable(f"{self.where}: its answer is no JSON of ours: {error}") from None
