"""The `headway` command as a person or a service unit runs it: one config, its own home, an engine that is ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from console.cli.exits import Exit
from tests.hostile.commands import in_process
from tests.lab.process import Daemon, LabError, clean_environment, tail, time_left

COMMAND = Path(sys.executable).with_name("headway")
WORKING = '"event": "working"'
"""Stands in an engine's log once it holds the lease."""


@dataclass(frozen=True)
class Answer:
    """What one command said."""

    exit_status: int
    stdout: str
    stderr: str


class Headway:
    """Runs commands on one config. Several of these on one config are several people, or two engines."""

    def __init__(self, config: Path, **environment: str) -> None:
        self.config = config
        self.home = config.parent
        self.own = environment
        self.environment = clean_environment(HOME=str(self.home), TERM="xterm-256color", **environment)
        self._engines = 0
        self.engine: Daemon | None = None

    def run(self, *arguments: str) -> Answer:
        """The answer of `headway WORDS`, whatever its exit status is."""
        argv = [str(COMMAND), "--config", str(self.config), *arguments]
        done = subprocess.run(
            argv, env=self.environment, cwd=self.home, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=time_left(),
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments: str) -> Any:
        """What `headway WORDS --json` printed, read. LabError when it exited otherwise than 0 or printed no JSON."""
        return self._read(arguments, self.run_in_process(*arguments, "--json"))

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        """As `json`, of a command that lists; empty for an unknown name: a running engine may not have
        polled the job's source yet."""
        answer = self.run_in_process(*arguments, "--json")
        return [] if answer.exit_status == Exit.NOT_FOUND else list(self._read(arguments, answer))

    def deliveries(self) -> list[dict[str, Any]]:
        """Each delivery of a notification about an incident, as `headway incident` lists them."""
        incidents = self.json("incident", "list", "--all")
        views = [self.json("incident", f"INC-{incident['id']:04}") for incident in incidents]
        return [delivery for view in views for delivery in view["deliveries"]]

    def _read(self, texts: tuple[str, ...], answer: Answer) -> Any:
        try:
            if answer.exit_status == 0:
                return json.loads(answer.stdout)
        except ValueError:
            pass
        raise LabError(f"headway {' '.join(texts)} --json exited {answer.exit_status}:\n{answer.stdout}{answer.stderr}")

    def run_in_process(self, *arguments: str) -> Answer:
        """The answer of `headway WORDS` in this process: a wait for an event calls it hundreds of times, and a
        process of its
        own costs a quarter of a second of CPU, or half a second."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.own.items():
                patch.setenv(name, value)
            done = in_process("--config", str(self.config), *arguments)
        return Answer(done.code, done.out, done.err)

    # -- engine -----------------------------------------------------------------------------------------------------
    def start_engine(self, **environment: str) -> Daemon:
        """A new engine process; its log is a file beside the config. It ends with us, also if we are killed."""
        self._engines += 1
        log = self.home / f"engine-{os.getpid()}-{self._engines}.log"
        argv = [str(COMMAND), "--config", str(self.config), "engine", "--with-parent"]
        self.engine = Daemon(argv, log, {**self.environment, **environment})
        self.engine.start()
        return self.engine

    def stop_engine(self, crash: bool = False) -> None:
        """Ends the engine that was started last: by SIGTERM, as a service manager does, or by SIGKILL."""
        if self.engine is not None:
            self.engine.stop(10, signal.SIGKILL if crash else signal.SIGTERM)
            self.engine = None

    @contextmanager
    def running_engine(self, **environment: str) -> Iterator[Daemon]:
        """An engine at work for the time of a `with` block."""
        with self.engine_process(**environment) as engine:
            engine.wait_ready(lambda: WORKING in engine.log.read_text(), "the engine to work")
            yield engine

    @contextmanager
    def engine_process(self, **environment: str) -> Iterator[Daemon]:
        """An engine for the time of a `with` block, which may wait for another's lease. What it logged is added to an
        error that leaves the block."""
        engine = self.start_engine(**environment)
        try:
            yield engine
        except Exception as error:
            error.add_note(f"the engine's log:\n{tail(engine.log)}")
            raise
        finally:
            self.stop_engine()
