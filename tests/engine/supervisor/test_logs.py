"""The engine's log: one JSON object a line, and no secret in it, wherever it hides."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog

from connectors.sdk.secrets import SecretStore
from console.engine.supervisor.log_setup import set_up_logs
from tests.lab.process import HANGS_SECONDS

SECRET = "s3cret/w0rd"


Lines = Callable[[], list[dict[str, Any]]]


@contextmanager
def logging_here(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """Sets up logs to stderr; yields the log records, each a JSON object."""
    hooks = sys.excepthook, threading.excepthook
    secrets = SecretStore()
    secrets.add(SECRET)
    set_up_logs(secrets)

    def lines() -> list[dict[str, Any]]:
        error_output = capsys.readouterr().err
        assert SECRET not in error_output
        return [json.loads(line) for line in error_output.splitlines()]

    try:
        yield lines
    finally:
        sys.excepthook, threading.excepthook = hooks
        structlog.reset_defaults()


def test_a_secret_is_masked_however_deep_it_lies(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_here(capsys) as logged:
        facts = {"url": (SECRET,)}
        structlog.get_logger().info(f"to {SECRET}", names=[f"a {SECRET}"], facts=facts, error=ValueError(SECRET))
        [line] = logged()
    assert ("to •••", ["a •••"], {"url": ["•••"]}, "ValueError('•••')") == (
        line["event"], line["names"], line["facts"], line["error"],
    )  # fmt: skip


def test_what_ends_a_thread_is_in_the_log_and_nowhere_else(capsys: pytest.CaptureFixture[str]) -> None:
    def break_down() -> None:
        raise ValueError(f"cannot reach {SECRET}")

    with logging_here(capsys) as logged:
        thread = threading.Thread(target=break_down, name="poll db07")
        thread.start()
        thread.join(HANGS_SECONDS)
        [line] = logged()
    assert ("a thread broke", "poll db07") == (line["event"], line["thread"])
    assert line["exception"].endswith("ValueError: cannot reach •••")


def test_what_ends_the_process_is_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_here(capsys) as logged:
        try:
            raise ValueError(SECRET)
        except ValueError as error:
            sys.excepthook(ValueError, error, error.__traceback__)
        [line] = logged()
    assert ("the engine broke", True) == (line["event"], line["exception"].endswith("ValueError: •••"))
