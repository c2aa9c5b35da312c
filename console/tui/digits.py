"""Digits three lines high, for a clock that is read across a room."""

from __future__ import annotations

_DIGITS = {
    "0": ("╭─╮", "│ │", "╰─╯"),
    "1": (" ╶╮", "  │", " ╶┴"),
    "2": ("╶─╮", "╭─╯", "╰─╴"),
    "3": ("╶─╮", "╶─┤", "╶─╯"),
    "4": ("╷ ╷", "╰─┤", "  ╵"),
    "5": ("╭─╴", "╰─╮", "╶─╯"),
    "6": ("╭─╴", "├─╮", "╰─╯"),
    "7": ("╶─┐", "  │", "  ╵"),
    "8": ("╭─╮", "├─┤", "╰─╯"),
    "9": ("╭─╮", "╰─┤", "╶─╯"),
    ":": (" ", "·", "·"),
}
HIGH = 3


def big(text: str) -> list[str]:
    """ "03:17" as three lines; a letter that is no digit is left out."""
    shapes = [_DIGITS[letter] for letter in text if letter in _DIGITS]
    return [" ".join(shape[line] for shape in shapes) for line in range(HIGH)]
