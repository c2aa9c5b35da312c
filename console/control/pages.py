"""Sections of a page, as text for a terminal or as Markdown in which no outside word is markup or a link."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from console.clean import clean, clean_line

_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~&!@$]|:(?=//|[a-z+_-][\w+-]*:|100:|1234:)|(?<=www)\.", re.IGNORECASE)
"""A colon counts in an address and in the name of an emoji; in a time and after a job's host it does not."""
_BEGINS = re.compile(r"^([+\-=]|\d{1,9}[.)])")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with its lines, plain; `block`: outside text of several lines, shown as it is."""

    heading: str
    lines: Sequence[str] = field(default_factory=tuple)
    block: str = ""
    empty: str = "none"


def escaped(words: str) -> str:
    """One line that Markdown shows as it is."""
    found = _MARKUP.sub(lambda one: f"\\{one[0]}", clean_line(words))
    return _BEGINS.sub(lambda one: f"{one[1][:-1]}\\{one[1][-1]}", found)


def as_markdown(title: str, sections: Iterable[Section]) -> list[str]:
    """A page: a title, then each section with its lines as a list."""
    lines = [f"# {escaped(title)}"]
    for one in sections:
        lines += ["", f"## {escaped(one.heading)}", ""]
        lines += [f"- {escaped(line)}" for line in one.lines]
        if one.block:
            lines += [*([""] if one.lines else []), *(f"    {line}".rstrip() for line in clean(one.block).splitlines())]
        elif not one.lines:
            lines.append(f"*{escaped(one.empty)}*")
    return lines


def as_text(title: str, sections: Iterable[Section]) -> list[str]:
    """The same for a terminal; a block behind `| `."""
    lines = [title]
    for one in sections:
        lines += ["", one.heading, *(f"  {line}" for line in one.lines)]
        lines += [f"  | {line}" for line in clean(one.block).splitlines()]
        if not one.lines and not one.block:
            lines.append(f"  ({one.empty})")
    return lines
