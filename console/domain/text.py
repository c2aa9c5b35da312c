"""Texts whose times are instants until they are written for a reader, and titles of incidents, which have a tense."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, datetime
from itertools import chain
from string import Formatter

from console.domain.stored import stored_text, stored_value


@dataclass(frozen=True, slots=True)
class At:
    """An instant within a text."""

    at: datetime


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
    return "".join(part if isinstance(part, str) else clock(part.at) for part in text)


def key_text(key: str) -> Text:
    """The key of a period, with its instant if it names one: "2026-11-20T03:10:00Z", "start:2026-11-20T03:10:07Z"."""
    stamp = key.removeprefix("start:")
    try:
        at = datetime.fromisoformat(stamp) if stamp.endswith("Z") else None
    except ValueError:
        at = None
    if at is None or at.year in (MINYEAR, MAXYEAR):  # out of range in another zone
        return (key,) if key else ()
    return (At(at),) if stamp == key else ("start ", At(at))


def mapped(text: Text, write: Callable[[str], str]) -> Text:
    """The text with each part but its instants as `write` returns it."""
    return tuple(write(part) if isinstance(part, str) else part for part in text)


def joined(texts: Iterable[Text], separator: str) -> Text:
    """One text of these, with the separator between them."""

    def parts() -> Iterator[str | At]:
        for number, text in enumerate(texts):
            yield from ((separator,) if number else ())
            yield from text

    return tuple(parts())


@dataclass(frozen=True, slots=True)
class Tense:
    """Words for what holds, and for what held."""

    present: str | Text
    past: str


Part = str | At | Tense


@dataclass(frozen=True, slots=True)
class Title:
    """The title of an incident: the name of what is broken, then what is wrong with it."""

    parts: tuple[Part, ...] = ()
    is_past: bool = False
    """True once the incident is closed."""

    @property
    def subject(self) -> str:
        """The name of what is broken."""
        return next((part for part in self.parts[:1] if isinstance(part, str)), "")

    @property
    def content(self) -> Text:
        """The text in its tense."""
        return tuple(chain.from_iterable(map(self._written, self.parts)))

    def text(self, clock: Clock) -> str:
        return render(self.content, clock)

    def rest(self, clock: Clock) -> str:
        """The text behind the name."""
        return render(self.content[bool(self.subject) :], clock)

    def contains(self, text: Text) -> bool:
        """True if it has these parts, in order; also for none."""
        return any(self.parts[start : start + len(text)] == text for start in range(len(self.parts) + 1))

    def _written(self, part: Part) -> Text:
        if not isinstance(part, Tense):
            return (part,)
        written = part.past if self.is_past else part.present
        return (written,) if isinstance(written, str) else written

    def to_json(self) -> str:
        """As an incident stores it, without its tense."""
        return stored_text(self.parts)

    @classmethod
    def from_json(cls, text: str, *, is_past: bool = False) -> Title:
        """The stored title; a text of another form is its own title."""
        return Title(stored_value(tuple[Part, ...], text, (text,)), is_past)


NO_TITLE = Title()


def text_of(stored: str) -> Text:
    """The text of a column; one of another form is its own only part."""
    return stored_value(Text, stored, (stored,) if stored else ())
