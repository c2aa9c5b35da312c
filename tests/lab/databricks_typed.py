"""The types of databricks-sdk as a validator of our fake and of our connector's requests. The SDK has an environment of
its own; a process there validates line by line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.fakes.databricks import HOST, FakeDatabricks
from tests.fakes.web_server import web_server
from tests.lab.process import clean_environment
from tests.lab.venvs import databricks_environment

SCRIPT = Path(__file__).with_name("databricks_sdk.py")
SDK_LIMIT_SECONDS = 120


class TypeValidator:
    """Holds each exchange against the SDK's types; `faults` is what it found since they were last taken."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.faults: list[str] = []

    def transport(self, fake: FakeDatabricks) -> httpx.BaseTransport:
        """Answers as the fake, and has every exchange judged."""

        def handle(request: httpx.Request) -> httpx.Response:
            answer = fake.handle(request)
            if request.url.path.startswith("/api/"):
                parameters = dict(request.url.params) if request.method == "GET" else json.loads(request.content)
                self.validate(request.method, request.url.path, parameters, answer.status_code, answer.json())
            return answer

        return httpx.MockTransport(handle)

    def validate(self, method: str, path: str, request: Any, status: int, answer: Any) -> None:
        line = {"method": method, "path": path, "asked": request, "status": status, "answer": answer}
        assert self._process.stdin is not None, "the judge was started with pipes"
        assert self._process.stdout is not None, "the judge was started with pipes"
        self._process.stdin.write(f"{json.dumps(line)}\n")
        self._process.stdin.flush()
        self.faults += json.loads(self._process.stdout.readline())


@contextmanager
def running_validator() -> Iterator[TypeValidator]:
    """A judge who sits; ended with the block."""
    argv = [str(databricks_environment() / "bin/python"), str(SCRIPT), "judge"]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment()
    ) as process:
        yield TypeValidator(process)
        assert process.stdin is not None, "the judge was started with pipes"
        process.stdin.close()


def run_sdk(fake: FakeDatabricks) -> dict[str, Any]:
    """What the SDK itself makes of the fake, over HTTP."""
    with _served(fake) as url:
        argv = [str(databricks_environment() / "bin/python"), str(SCRIPT), "talk", url]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=SDK_LIMIT_SECONDS, env=clean_environment())
    assert done.returncode == 0, done.stderr[-3000:]
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@contextmanager
def _served(fake: FakeDatabricks) -> Iterator[str]:
    def answer(request: httpx.Request) -> httpx.Response:
        url = HOST + request.url.raw_path.decode()
        return fake.handle(httpx.Request(request.method, url, headers=request.headers, content=request.content))

    with web_server(answer) as address:
        yield address
