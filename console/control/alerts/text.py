"""What a message says: of one notice, or of several that leave together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """Title and body, and both without a word from outside but names."""

    title: str
    body: str
    plain_title: str
    plain_body: str
