"""Structured logs, one JSON object a line, every secret masked at this one boundary."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

from connectors.secrets import SecretStore
from console.clean import clean


class _Unbreakable:
    """A stream whose full disk or closed pipe ends nobody's work: what cannot be logged is not."""

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
    """From now on structlog writes to `file`, else to stderr."""
    stream: TextIO = sys.stderr if file is None else file.open("a", encoding="utf-8", buffering=1)

    def masked(_logger: Any, _name: str, event: Any) -> Any:
        return {key: clean(secrets.mask(value)) if isinstance(value, str) else value for key, value in event.items()}

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            masked,
            structlog.processors.JSONRenderer(default=repr),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Unbreakable(stream))),
        cache_logger_on_first_use=False,
    )
    for noisy in ("paramiko", "apprise", "httpx", "botocore", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
