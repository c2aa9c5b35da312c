"""A drawing larger than the screen, with a cursor that walks over its nodes along the edges."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console.config import key_table
from console.control.explain.lineage_layout import LayoutNode
from console.tui.widgets.layered_drawing import LayeredDrawing
from console.tui.widgets.paint import Segment, palette
from console.tui.widgets.table import moved_index

CUT_MARKS = "…"


def marked_cuts(runs: Sequence[Segment], start: int, width: int) -> list[Segment]:
    """The same runs with a mark in each cell at which a text is cut by the view from `left`, `width` cells wide.
    Strokes and blanks need none."""
    segments: list[Segment] = []
    x = 0
    for text, style in runs:
        cells = _cells(text) if any(map(str.isalnum, text)) else []
        for at in (start - x, start + width - 1 - x):
            beyond = cells[:at] if at == start - x else cells[at + 1 :]
            if 0 <= at < len(cells) and "".join(beyond).strip() and cells[at].strip():
                _put(cells, at)
        segments.append(("".join(cells) or text, style))
        x += len(cells) or cell_len(text)
    return segments


def _cells(text: str) -> list[str]:
    texts: list[str] = []
    for character in text:
        size = cell_len(character)
        if size == 0 and texts:
            texts[-1] += character
        texts += [character, ""][:size]
    return texts


def _put(cells: list[str], at: int) -> None:
    if at + 1 < len(cells) and cells[at + 1] == "":
        cells[at + 1] = " "
    cells[at] = CUT_MARKS


VISIBLE_MARGIN = 4


class Canvas(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows a `LayeredDrawing`; only visible lines are made."""

    DEFAULT_CSS = """
    Canvas { height: 1fr; overflow-x: scroll; overflow-y: scroll; scrollbar-size: 0 1; }
    Canvas { scrollbar-size-horizontal: 0; scrollbar-background: $background; }
    """
    BINDINGS = key_table.bindings("graph")

    class Moved(Message): ...

    class Resized(Message): ...

    class Picked(Message): ...

    def __init__(self, empty: str = "", id: str | None = None) -> None:
        super().__init__(id=id)
        self.empty = empty
        self.drawing: LayeredDrawing | None = None
        self.cursor = 0
        self.styles_of: dict[int, str] = {}
        """Place -> style that replaces the label's own."""
        self._marked: set[tuple[int, int, int]] = set()

    @property
    def here(self) -> LayoutNode | None:
        return self.drawing.layout.spots[self.cursor] if self.drawing is not None else None

    @property
    def page(self) -> int:
        return int(self.size.height)

    @property
    def row_count(self) -> int:
        return self.drawing.height if self.drawing is not None else 0

    def show(self, drawing: LayeredDrawing, cursor: int) -> None:
        self.drawing, self.cursor = drawing, cursor
        self.virtual_size = Size(drawing.width, drawing.height)
        self._highlight_cursor()

    def move_to(self, node: int) -> None:
        if node != self.cursor:
            self.cursor = node
            self._highlight_cursor()
            self.post_message(self.Moved())

    def _highlight_cursor(self) -> None:
        """Highlights the edges of the node under the cursor and scrolls it into view."""
        drawing = self.drawing
        if drawing is None:
            return
        ways = [*drawing.ways(self.cursor, 1), *drawing.ways(self.cursor, -1)]
        self._marked = drawing.marked({link for way in ways for link in way})
        x, y, width = drawing.box(self.cursor)
        self.scroll_to_region(
            Region(max(0, x - VISIBLE_MARGIN), y, width + 2 * VISIBLE_MARGIN, drawing.spacing), animate=False
        )
        self.refresh()

    def on_resize(self) -> None:
        self._highlight_cursor()
        self.post_message(self.Resized())

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        start, top = self.scroll_offset
        drawing = self.drawing
        if drawing is None or top + y >= drawing.height:
            blank = drawing is None and y == 1
            return palette(self).strip([("  " + self.empty, "dim")] if blank else (), width)
        runs = drawing.line(top + y, self.cursor, self._marked, lambda node: self.styles_of.get(node, ""))
        runs = marked_cuts(runs, start, width)
        return palette(self).strip(runs, max(width + start, drawing.width)).crop(start, start + width)

    # the cursor

    def action_move(self, way: str) -> None:
        """left and right along an edge, up and down within a layer; page_up, page_down, top, bottom."""
        if self.drawing is None:
            return
        self.move_to(self._beside(self.drawing, 1 if way == "right" else -1) if way in ("left", "right")
                     else self._within(self.drawing, way))  # fmt: skip

    def _beside(self, drawing: LayeredDrawing, step: int) -> int:
        """The next node: on the critical path if possible, else the nearest."""
        row = drawing.layout.spots[self.cursor].row
        ways = drawing.ways(self.cursor, step)
        best = min(ways, default=None, key=lambda way: (
            not drawing.lit.issuperset(way), abs(drawing.layout.spots[way[-1][step > 0]].row - row)))  # fmt: skip
        return self.cursor if best is None else best[-1][step > 0]

    def _within(self, drawing: LayeredDrawing, way: str) -> int:
        here, spots = drawing.layout.spots[self.cursor], drawing.layout.spots
        column = sorted(node for node, spot in enumerate(spots) if spot.layer == here.layer and spot.jobs)
        column.sort(key=lambda node: spots[node].row)
        at, page = column.index(self.cursor), max(1, self.size.height // drawing.spacing - 1)
        last = len(column) - 1
        return column[min(last, max(0, moved_index(way, at, page, last)))]

    def on_click(self, event: events.Click) -> None:
        drawing = self.drawing
        if drawing is None:
            return
        x, y = event.x + self.scroll_offset.x, event.y + self.scroll_offset.y
        for node, spot in enumerate(drawing.layout.spots):
            start, top, width = drawing.box(node)
            if spot.jobs and top <= y < top + drawing.spacing and start <= x < start + width:
                self.move_to(node)
                if event.chain == 2:
                    self.post_message(self.Picked())
                return
