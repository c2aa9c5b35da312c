"""One answer of our scripts, as its readers take it."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.transport.answer import Section


@dataclass(frozen=True, slots=True)
class Answer:
    """The sections of one answer, and what separates the fields of its rows."""

    parts: list[Section]
    delimiter: str
