"""Several notifications as one: of one route in a digest, of one evaluation in a group, of one incident when sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import takewhile

from console.domain.alert import KIND_LABELS, AlertKind
from console.domain.message import Block, Columns, Details, Facts, Headline, Label, Message, Reference, Section

MAX_TITLE_INCIDENTS = 3


def digest_title(titles: Sequence[Headline]) -> Headline:
    """ "Daily revenue 07:30 at risk, and 3 more alerts": begins with the first that is not resolved. Equal titles are
    shown once, with their incidents: "Daily revenue 07:30 at risk: restart load and extract [INC-0001, INC-0002]"."""
    if incidents := _shared_by(titles):
        further = f" and {len(titles) - MAX_TITLE_INCIDENTS} more" if len(titles) > MAX_TITLE_INCIDENTS else ""
        return *titles[0][:-1], Reference(f"{', '.join(incidents[:MAX_TITLE_INCIDENTS])}{further}")
    resolved = Label(KIND_LABELS[AlertKind.RECOVERED])
    first = next((title for title in titles if resolved not in title), None)
    if first is None:
        return resolved, f"{len(titles)} incident{'s' if len(titles) > 1 else ''}"
    problem = next((part for part in first if isinstance(part, str) and part), "")
    suffix = f", and {len(titles) - 1} more alert{'s' if len(titles) > 2 else ''}" if len(titles) > 1 else ""
    return (f"{problem}{suffix}",)


def group_titles(titles: Sequence[Headline]) -> list[Headline]:
    """Title of each message of a group; of equal ones the incident alone, as that of the group has the verdict."""
    return [(incident,) for incident in _shared_by(titles)] or list(titles)


def _shared_by(titles: Sequence[Headline]) -> list[str]:
    """The incidents of titles that differ in these alone; empty if they differ otherwise."""
    incidents = [title[-1].incident for title in titles if title and isinstance(title[-1], Reference)]
    is_shared = len(titles) > 1 and len(incidents) == len(titles) and len({title[:-1] for title in titles}) == 1
    return incidents if is_shared else []


ALL_INCIDENTS = "All incidents"
"""Title of the details that all messages of a group share."""


def group_message(messages: Sequence[Message]) -> Message:
    """Several messages as one, each below its title. Tables and facts that all of them have are written once: first
    those above the details, last those of the details."""
    titles = [message.title for message in messages]
    parts = [_parts(message.blocks) for message in messages]
    shared: list[Block] = [
        part for part in parts[0] if isinstance(part, Facts | Columns) and all(part in own for own in parts)
    ]
    above = list(takewhile(lambda part: part != Details(), parts[0]))
    blocks = [part for part in shared if part in above]
    for title, own in zip(group_titles(titles), parts, strict=True):
        blocks += [Section(title), *(part for part in own if part not in shared)]
        if blocks[-1] == Details():
            blocks.pop()
    if last := [part for part in shared if part not in above]:
        blocks += [Section((ALL_INCIDENTS,)), *last]
    return Message(digest_title(titles), _with_whole_facts(blocks))


def joined_message(first: Message, *further: Message) -> Message:
    """Messages about one incident as one, with the title of the first; each of the others below its own."""
    sections = (block for message in further for block in (Section(message.title), *message.blocks))
    return replace(first, blocks=(*first.blocks, *sections), zone_label=further[-1].zone_label)


def _parts(blocks: Iterable[Block]) -> list[Block]:
    """The blocks, and for facts their rows."""
    return [
        part
        for block in blocks
        for part in ((Facts((row,)) for row in block.rows) if isinstance(block, Facts) else (block,))
    ]


def _with_whole_facts(parts: Iterable[Block]) -> tuple[Block, ...]:
    """The blocks that have these parts: neighboring facts are one table."""
    blocks: list[Block] = []
    for part in parts:
        if blocks and isinstance(part, Facts) and isinstance(before := blocks[-1], Facts):
            blocks[-1] = Facts(before.rows + part.rows)
        else:
            blocks.append(part)
    return tuple(blocks)
