"""Texts whose times are instants until they are written for a reader: in their zone, near their now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from string import Formatter


@dataclass(frozen=True, slots=True)
class At:
    """An instant within a text."""

    instant: datetime


Text = tuple[str | At, ...]
Clock = Callable[[datetime], str]
"""Writes an instant for a reader: "06:30 CET"."""


def filled(template: str, values: object) -> Text:
    """The template with each attribute of `values` that it names in braces; names of a tuple with commas."""

    def part(name: str) -> str | At:
        value = getattr(values, name)
        return (
            At(value) if isinstance(value, datetime) else ", ".join(value) if isinstance(value, tuple) else str(value)
        )

    pieces = (
        piece
        for before, name, _, _ in Formatter().parse(template)
        for piece in (before, part(name) if name is not None else "")
    )
    return tuple(piece for piece in pieces if piece)


def render(text: Text, clock: Clock) -> str:
    return "".join(part if isinstance(part, str) else clock(part.instant) for part in text)


def joined(texts: Iterable[Text], separator: str) -> Text:
    """One text of these, with the separator between them."""

    def parts() -> Iterator[str | At]:
        for number, text in enumerate(texts):
            yield from ((separator,) if number else ())
            yield from text

    return tuple(parts())
