"""Ways to spoil the answer of a host, for the conformance of kinds that ask over SSH."""

from __future__ import annotations

import re
from collections.abc import Callable

Spoil = Callable[[bytes], bytes]


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def an_hour_off(data: bytes) -> bytes:
    """The host's clock, as the scripts print it."""
    return re.sub(rb"HOST\|(\d+)", lambda result: b"HOST|%d" % (int(result[1]) + 3600), data)


def each_twice(pattern: bytes) -> Spoil:
    """Every line that matches comes twice."""
    return lambda data: re.sub(rb"(?m)^((?:" + pattern + rb")[^\n]*)$", rb"\1\n\1", data)


def on_line(pattern: bytes, change: Spoil) -> Spoil:
    """One line is changed, the first that matches."""
    return lambda data: re.sub(
        rb"(?m)^[^\n]*(?:" + pattern + rb")[^\n]*$", lambda result: change(result[0]), data, count=1
    )
