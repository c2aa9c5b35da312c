"""A notice in words, before anybody is named for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """Title and body, and both without a word from outside but names."""

    title: str
    body: str
    plain_title: str
    plain_body: str
