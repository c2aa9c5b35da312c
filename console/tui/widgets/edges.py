"""A line that is wider than its window: what the window cuts through is marked there. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from console.tui.widgets.paint import Run

CUT = "…"


def marked_cuts(runs: Sequence[Run], left: int, width: int) -> list[Run]:
    """The same runs, as wide as before: a text that begins left of the cells `left` to `left + width`, or goes on
    behind them, bears a mark in the cell where it is cut. Strokes and blanks need none."""
    found: list[Run] = []
    x = 0
    for text, style in runs:
        cells = _cells(text) if any(map(str.isalnum, text)) else []
        for at in (left - x, left + width - 1 - x):
            beyond = cells[:at] if at == left - x else cells[at + 1 :]
            if 0 <= at < len(cells) and "".join(beyond).strip() and cells[at].strip():
                _put(cells, at)
        found.append(("".join(cells) or text, style))
        x += len(cells) or cell_len(text)
    return found


def _cells(text: str) -> list[str]:
    """What stands in each cell: nothing in the second of a wide character, which the mark may have to blank."""
    found: list[str] = []
    for character in text:
        size = cell_len(character)
        if size == 0 and found:
            found[-1] += character
        found += [character, ""][:size]
    return found


def _put(cells: list[str], at: int) -> None:
    """The mark into a cell; of a wide character the other half goes blank."""
    if at + 1 < len(cells) and cells[at + 1] == "":
        cells[at + 1] = " "
    cells[at] = CUT
