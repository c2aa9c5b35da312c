"""Structured logs: one JSON object per line, with every secret masked at this one boundary."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, cast

import structlog

from connectors.sdk.secrets import SecretStore
from console.text.redact import sanitize

_files: list[TextIO] = []
"""The present log file."""


class _UnbreakableStream:
    """A stream that drops what cannot be written because of a full disk or a closed pipe."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def set_up_logs(secrets: SecretStore, file: Path | None = None, level: str = "info") -> None:
    """Sends structlog output to `file`, else to stderr."""
    stream: TextIO = sys.stderr if file is None else file.open("a", encoding="utf-8", buffering=1)
    if _files:
        _files.pop().close()
    if file is not None:
        _files.append(stream)

    def masked(_logger: Any, _name: str, event: Any) -> Any:
        return _masked(event, partial(sanitize, known=secrets.mask))

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            masked,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _UnbreakableStream(stream))),
        cache_logger_on_first_use=False,
    )
    for noisy in ("apprise", "httpx", "botocore", "urllib3", "slack_sdk"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    _log_uncaught_exceptions()


def _masked(value: Any, text: Callable[[str], str]) -> Any:
    """The value as JSON, every text in it passed through `text`."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {str(key): _masked(item, text) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(item, text) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else text(repr(value))


def _log_uncaught_exceptions() -> None:
    """Logs exceptions that end a thread or the process, masked, instead of printing them to stderr."""
    log = structlog.get_logger("headway.engine")

    def of_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        log.critical("the engine broke", exc_info=(kind, error, trace))

    def of_thread(given: threading.ExceptHookArgs) -> None:
        name = given.thread.name if given.thread is not None else ""
        log.critical("a thread broke", thread=name, exc_info=(given.exc_type, given.exc_value, given.exc_traceback))

    sys.excepthook = of_process
    threading.excepthook = of_thread
