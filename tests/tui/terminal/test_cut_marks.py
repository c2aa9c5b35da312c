"""A text that a window cuts is marked where it is cut; nothing else is, and no cell moves."""

from __future__ import annotations

from rich.cells import cell_len

from console.tui.widgets.canvas import marked_cuts
from tests.rows import each_row


@each_row(
    "texts, remaining, width, seen",
    [
        (["✖", " ", "extract_orders", " ", "───▸"], 0, 10, "✖ extract…"),
        (["✖", " ", "extract_orders", " ", "───▸"], 5, 12, "…act_orders "),
        (["✖", " ", "extract_orders", " ", "───▸"], 2, 14, "extract_orders"),
        (["✖", " ", "extract_orders", " ", "───▸"], 16, 3, " ──"),
        (["─────", "load", "─────"], 2, 10, "───load───"),
        (["aaaaaaaa"], 2, 3, "…a…"),
        (["load   "], 0, 5, "load "),
        (["売上集計"], 0, 3, "売…"),
    ],
)
def test_what_is_cut_is_marked(texts: list[str], remaining: int, width: int, seen: str) -> None:
    runs = [(text, "plain") for text in texts]
    marked = marked_cuts(runs, remaining, width)
    assert [cell_len(text) for text, _ in runs] == [cell_len(text) for text, _ in marked]
    assert seen == "".join(text for text, _ in marked)[remaining : remaining + len(seen)]
