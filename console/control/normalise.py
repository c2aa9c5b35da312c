"""What differs from run to run though it says the same: times, ids, numbers. Without them messages can be compared."""

from __future__ import annotations

import re

PUT = "#"
"""Stands for what was taken out."""

_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_DAYS = "mon|tue|wed|thu|fri|sat|sun"
_VARIES = re.compile(
    r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?)?(?: ?(?:Z\b|UTC\b|[+-]\d{2}:?\d{2}\b))?"
    rf"|\b(?:(?:{_DAYS})[a-z]{{0,6}},? )?(?:{_MONTHS})[a-z]{{0,6}} {{1,2}}\d{{1,2}}"
    r"(?: \d{2}:\d{2}:\d{2})?(?: \d{4})?\b"
    r"|\b\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?\b"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|\b0x[0-9a-f]{1,32}\b"
    r"|\b(?=[a-f]{0,15}\d)[0-9a-f]{7,64}\b"
    r"|(?<![\w.])[+-]?\d{1,20}(?:[.,]\d{1,20}){0,4}(?=\b|[a-z%])",
    re.IGNORECASE,
)
_SPACE = re.compile(r"[ \t]{1,200}")


def normalised(line: str) -> str:
    """The line without times, dates, ids, pids, durations and numbers; spaces as one. Numbers within a word stay:
    `db07` is a name."""
    return _SPACE.sub(" ", _VARIES.sub(PUT, line)).strip()
