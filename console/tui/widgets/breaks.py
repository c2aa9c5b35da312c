"""Where a line of text is broken for so many cells."""

from __future__ import annotations

from rich.cells import cell_len, get_character_cell_size


def breaks(text: str, width: int, more_at_first: int = 0) -> list[tuple[int, int]]:
    """Where a line is broken into pieces of at most `width` cells: (start, end) in characters, at spaces if it can.

    The first piece may have `more_at_first` cells more: the others hang below it."""
    if len(text) <= width + more_at_first and text.isascii():
        return [(0, len(text))]
    found, start, used, space = [], 0, -more_at_first, 0
    for place, letter in enumerate(text):
        size = 1 if letter.isascii() else get_character_cell_size(letter)
        if used + size > width and place > start:
            end = space if space > start else place
            found.append((start, end))
            start, used = end, cell_len(text[end:place])
        used += size
        if letter == " ":
            space = place + 1
    return [*found, (start, len(text))]
