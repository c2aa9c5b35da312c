"""The audit and the shadow report, as rows and lines. Pure; views in, cells out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from console.clean import clean_line
from console.model.modes import Modes
from console.model.views import EventView
from console.tui.cells import Look, counted
from console.tui.steps import Lines
from console.tui.widgets.paint import Run
from console.tui.widgets.table import Column, Row

if TYPE_CHECKING:
    from console.store.chain import Verdict
    from console.store.reads.audit import AuditRow

AUDIT = (
    Column("row", 5, 4, right=True),
    Column("at", 9, 1),
    Column("who", 9, 1, flex=1, most=18),
    Column("did", 14, 1, flex=1, most=24),
    Column("to", 22, 1, flex=3, most=46, middle=True),
    Column("says", 16, 1, flex=4),
    Column("from", 12, 5),
)
_BAD = ("refuse", "failed", "lost sight")
"""How what did not go well begins."""
EACH = 1_000
"""Of what would have been done, so many of the latest are listed: all lines are made anew each second."""
TOLD_APART = 12
"""Cells of a label in an opened record."""


def came_back(row: AuditRow) -> str:
    """What is said of it: why it was refused, what came back, else why it was done."""
    return str(row.detail.get("refused") or row.detail.get("words") or row.why or "")


def did_not_go_well(row: AuditRow) -> bool:
    return row.verb.startswith(_BAD) or "refused" in row.detail


def audit_row(row: AuditRow, look: Look) -> Row:
    style = "warn" if did_not_go_well(row) else "plain"
    return Row(
        row.seq,
        (
            (str(row.seq), "dim"),
            (look.clock.day(row.at, look.now), "dim"),
            (row.actor, "dim" if row.actor == "headway" else "strong"),
            (row.verb, style),
            (row.object, "plain"),
            (came_back(row), style if style == "warn" else "dim"),
            (row.origin, "dim"),
        ),
    )


def audit_text(row: AuditRow) -> str:
    """What a filter looks at."""
    more = json.dumps(row.detail, ensure_ascii=False, default=str)
    return f"{row.actor} {row.verb} {row.object} {row.why} {more} by:{row.actor} from:{row.origin} to:{row.object}"


def verdict_runs(found: Verdict | None, many: int, key: str = "v") -> list[Run]:
    """Whether the chain is whole."""
    if found is None:
        return [(f"  chain not looked at ({many:,} rows): {key}", "dim")] if many else []
    if found.bad is not None:
        return [(f"  NOT WHOLE at row {found.bad}: {found.words}", "bad")]
    if found.unguarded:
        return [("  chain unbroken, but NOT kept append-only any more: headway audit verify", "bad")]
    return [("  chain unbroken", "ok")]


def verdict_words(found: Verdict, many: int) -> Run:
    """The same as what a person is told who asked for it."""
    [(words, style)] = verdict_runs(found, many)
    return f"{counted(many, 'row')} hashed anew:{words.removeprefix(' ')}", "warn" if style == "bad" else "plain"


def audit_record(row: AuditRow, look: Look) -> str:
    """One row whole, as text to read."""
    told = [("who", row.actor), ("at", look.clock.full(row.at)), ("from", row.origin), ("did", row.verb),
            ("to", row.object), ("why", row.why), ("row", str(row.seq)), ("hash", row.hash)]  # fmt: skip
    lines = [f"{label:<{TOLD_APART}}{text}" for label, text in told if text]
    return "\n".join([*lines, "", *_detail(row.detail)])


def _detail(detail: dict[str, Any]) -> Iterable[str]:
    for name, value in detail.items():
        if value in ("", [], {}, None):
            continue
        many = value if isinstance(value, list) else [value]
        for number, one in enumerate(many):
            text = one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)
            label = "" if number else clean_line(name).replace("_", " ")
            yield f"{label:<{TOLD_APART}}{text}" if len(label) < TOLD_APART else f"{label}  {text}"


# what two weeks would have brought


def shadow_lines(found: Sequence[EventView], refused: int, modes: Modes, words: str, look: Look) -> Lines:
    """How things stand, what would have been done how often, and each of it, newest first."""
    lines: Lines = [*_stands(modes), [], [(f"WOULD HAVE, in the last {words}", "key")]]
    kinds = Counter(" ".join(one.words.split()[2:3]) for one in found)
    told = [(kind, number) for kind, number in kinds.most_common()]
    lines += [[(f"{number:>6,}  ", "strong"), (kind, "plain")] for kind, number in told]
    if refused:
        lines.append([(f"{refused:>6,}  ", "strong"), ("sent what people asked for, and were told why not", "plain")])
    if not found and not refused:
        lines.append([("nothing: " + _nothing(modes), "dim")])
    more = f"  the latest {EACH:,} of" if len(found) > EACH else " "
    each = f"{more} {counted(len(found), 'time')}, newest first"
    lines += [[], [("EACH OF IT", "key"), (each, "dim")]] if found else []
    for one in found[:EACH]:
        lines.append([(f"{look.clock.day(one.at, look.now):>9}  ", "dim"), (one.words, "plain")])
    return lines


def _stands(modes: Modes) -> Lines:
    live: Lines = [[("all is live: what Headway decides is sent", "ok")]]
    shadow: Lines = [[("IN SHADOW ", "warn"), (one, "plain")] for one in modes.in_shadow]
    turned = "watched and decided; nothing is sent but to the shadow route. headway shadow off [--system NAME]: live"
    return [*shadow, [(turned, "dim")]] if shadow else live


def _nothing(modes: Modes) -> str:
    return "no alert, hold or start was kept back" if modes.in_shadow else "what is live is done, not noted here"
