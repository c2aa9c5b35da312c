"""Every sign that a screen or a command's table shows is explained in `?` and `headway help symbols`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from console.config.key_table import KEY_SYMBOLS
from console.domain.plan import FINISHES
from console.domain.service import INCOMPLETE_DATA
from console.tui.frame.glyphs import ROLES, legend
from console.tui.widgets.layered_drawing import BOX
from tests.rows import each_row

ROOT = Path(__file__).parents[3]
SHOWN = ("console/tui", "console/cli")
TEXT = frozenset("…×—\ufeff\ufffd")
"""Signs of text: cut, times, dash, and outside text that cannot be shown."""
BARS = frozenset("▁▂▃▄▅▆▇█")
"""The legend has the least and the most."""
NOT_SHOWN = {"console/tui/terminal/output.py"}
"""Compares characters and prints none."""


def drawn_signs() -> Iterator[tuple[str, str]]:
    """(sign, file and line) of each character beyond ASCII in the texts of the code."""
    for folder in SHOWN:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name in NOT_SHOWN:
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                    yield from ((sign, f"{name}:{node.lineno}") for sign in node.value if not sign.isascii())


def test_every_sign_in_the_code_is_in_the_legend() -> None:
    named = {sign for _, mark in legend() for sign in mark.glyph}
    keys = {sign for label in KEY_SYMBOLS.values() for sign in label}
    assert named >= {"▁", "█", "─", "━"}, "the bars and strokes that stand for the others"
    known = named | keys | TEXT | BARS | set(BOX)
    assert [] == [f"{sign} in {place}" for sign, place in drawn_signs() if sign not in known]


def test_the_search_finds_the_signs_of_the_code() -> None:
    found = dict(drawn_signs())
    assert {"✖", "┊", "◆"} <= found.keys()


def test_every_short_cell_is_in_the_legend() -> None:
    cells = {*FINISHES, *INCOMPLETE_DATA, "any", "ours", "not needed", "passed", "done"}
    assert set() == cells - {text for _, mark in legend() for text in (mark.glyph, mark.label)}


@each_row("role", ROLES)
def test_the_legend_explains_each_role_of_a_run_in_an_incident(role: str) -> None:
    assert [ROLES[role].says] == [mark.says for title, mark in legend() if (title, mark) == ("incident", ROLES[role])]
    assert ROLES[role].says
