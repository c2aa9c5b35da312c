"""A host with dbt projects whose dbt is a fake: our program runs there for real, dbt and SSH do not."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from connectors.dbt.connector import DbtConnector
from connectors.dbt.options import DbtOptions
from connectors.sdk.transport.call_limits import count_request
from connectors.sdk.transport.hosts import LocalSession, ThisMachine
from connectors.sdk.transport.ssh import CompletedCommand
from tests.fakes import dbt_tool
from tests.fakes.dbt_tool import NODES, Tool, outcomes
from tests.fakes.login import no_secret


class Spoiled(LocalSession):
    """This machine, whose every answer goes through `spoil`."""

    def __init__(self, name: str) -> None:
        super().__init__(ThisMachine.named(name))
        self.spoil: Any = None

    def run(self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False) -> CompletedCommand:
        count_request()
        done = super().run(stdin, argv, timeout_seconds, once)
        return done if self.spoil is None else CompletedCommand(self.spoil(done.stdout), done.stderr, done.exit_status)


class DbtHost:
    """Projects below one folder, each with three models in a row."""

    def __init__(self, folder: Path, *projects: str) -> None:
        self.folder = folder
        self.tools = {name: Tool(folder / name) for name in projects or ("shop",)}
        for name, tool in self.tools.items():
            tool.folder.mkdir(parents=True)
            (tool.folder / "dbt_project.yml").write_text(f"name: {name}\n")
            tool.manifest()
            (tool.folder / "bin").mkdir()
            program = tool.folder / "bin" / "fakedbt"
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {dbt_tool.__file__} {tool.folder} "$@"\n')
            program.chmod(0o755)

    @property
    def shop(self) -> Tool:
        return self.tools["shop"]

    def options(self, **changes: Any) -> DbtOptions:
        projects = {
            name: {"folder": str(tool.folder), "dbt": str(tool.folder / "bin/fakedbt")}
            for name, tool in self.tools.items()
        }
        value = {
            "hosts": [{"name": "etl01", "local": True}], "projects": projects, "python": sys.executable,
            "home": str(self.folder / "home"), **changes,
        }  # fmt: skip
        return DbtOptions.model_validate(value)

    def connected(self, **changes: Any) -> DbtConnector:
        return DbtConnector(self.options(**changes), "etl01", no_secret, Spoiled("etl01"))

    def ran(
        self, project: str = "shop", fails: Sequence[str] = (), ago: float = 60.0, command: str = "dbt build"
    ) -> str:
        """One whole invocation; its id."""
        tool, at = self.tools[project], time.time() - ago
        invocation = tool.begin(command, at)
        tool.end(invocation, command, at, outcomes(list(NODES), list(fails), at))
        return invocation
