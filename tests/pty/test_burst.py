"""What comes in one piece in a real terminal, Enter with it, acts as if it were typed slowly."""

from __future__ import annotations

import pytest

from tests.pty.terminal import Terminal
from tests.pty.test_mouse import store, terminal

__all__ = ["store", "terminal"]


@pytest.mark.parametrize("name", ["Service 7", "Service 3"])
def test_a_place_and_enter_in_one_piece_lead_there(terminal: Terminal, name: str) -> None:
    terminal.press(f":{name}\r")
    terminal.wait_for("/ service:")
    assert "jump" not in terminal.text.splitlines()[2]


def test_bytes_of_another_encoding_are_no_keys(terminal: Terminal) -> None:
    terminal.press("\udce4", "\udcff\udc80")
    terminal.settle()
    terminal.press("3")
    terminal.wait_for("JOBS")
