"""Lines that go past Textual's own painting look as Textual would have painted them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.widget import Widget

from console.tui.widgets.bar import Bar
from console.tui.widgets.grid import Grid
from console.tui.widgets.table import Column, LazyRows, TableRow

COUNT = 100_000
COLUMNS = (Column("", 1), Column("job", 20, flex=1), Column("state", 8))


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(**given: Any) -> None:
        asyncio.run(test(**given))

    return run


def row_at(index: int) -> TableRow:
    return TableRow(
        index, (("✖", "bad"), (f"übergabe {index} 日本", "plain"), ("failed" if index % 3 else "ok", "dim"))
    )


class Shown(App[None]):
    CSS = "#framed { border: solid red; height: 3; }"

    def compose(self) -> ComposeResult:
        yield Bar(id="top", background="panel")
        yield Grid(COLUMNS, id="grid")
        yield Bar(id="framed")

    def on_mount(self) -> None:
        self.query_one("#top", Bar).show([(" SERVICES – 12", "key")], [("12:00 ", "dim")])
        self.query_one("#framed", Bar).show([("within", "strong")])
        self.query_one(Grid).show(LazyRows(range(COUNT), row_at))


def cells(widget: Widget, ours: bool) -> Iterator[list[tuple[str, Any]]]:
    """Every cell of the widget, as far as no scrollbar lies over it: as it paints itself, or as Textual would."""
    render = widget.render_lines if ours else lambda crop: Widget.render_lines(widget, crop)
    if not ours:
        widget._styles_cache.clear()
    width = widget.scrollable_content_region.width
    for strip in render(widget.size.region):
        yield [(letter, style) for text, style, _ in strip.crop(0, width) for letter in text]


@pytest.mark.parametrize("name", ["top", "grid"])
@in_loop
async def test_a_line_has_the_same_cells_either_way(name: str) -> None:
    async with Shown().run_test(size=(60, 20)) as pilot:
        widget = pilot.app.query_one(f"#{name}")
        assert list(cells(widget, ours=False)) == list(cells(widget, ours=True))


@in_loop
async def test_a_border_is_preserved() -> None:
    async with Shown().run_test(size=(60, 20)) as pilot:
        framed = pilot.app.query_one("#framed")
        assert framed.render_lines(framed.outer_size.region)[0].text.startswith("┌")


@in_loop
async def test_the_scrollbar_is_at_the_table_though_it_is_not_painted_each_time() -> None:
    async with Shown().run_test(size=(60, 20)) as pilot:
        grid = pilot.app.query_one(Grid)
        bar, painted = grid.vertical_scrollbar, 0
        await pilot.pause()
        real = bar.refresh

        def counted(*regions: Any, **options: Any) -> Any:
            nonlocal painted
            painted += 1
            return real(*regions, **options)

        bar.refresh = counted  # type: ignore[method-assign]
        for _ in range(20):
            grid.action_move("page_down")
            await pilot.pause()
        assert painted <= 1, "20 pages of 100,000 rows move the thumb by nothing that is seen"
        assert grid.scroll_offset.y == bar.position > 0
        grid.action_move("bottom")
        await pilot.pause()
        assert painted > 0
        assert grid.scroll_offset.y == bar.position
        texts = [strip.text for strip in bar.render_lines(bar.size.region)]
        bar.refresh()
        assert texts == [strip.text for strip in bar.render_lines(bar.size.region)]
