"""Pieces of a log that a source keeps as one text, or as several."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.log_chunks import chunk_of, chunk_of_parts, read_through, with_newline, without_last_newlines


def all_pieces(parts: list[str], limit: int) -> str:
    reported, start = "", "0"
    for _ in range(1000):
        chunk = chunk_of_parts(iter(parts), start, limit, is_open=False)
        reported += chunk.text
        assert len(chunk.text.encode("utf-8", "surrogateescape")) <= limit
        if chunk.next is None:
            return reported
        start = chunk.next
    raise AssertionError("it does not end")


@given(st.lists(st.text(max_size=12), max_size=6), st.integers(4, 9))
def test_pieces_of_parts_are_the_whole_text(parts: list[str], limit: int) -> None:
    assert "".join(parts) == all_pieces(parts, limit)


@given(st.lists(st.text(max_size=12), max_size=6), st.none() | st.integers(0, 90), st.integers(4, 30), st.booleans())
def test_a_piece_of_parts_is_that_of_the_whole(parts: list[str], start: int | None, limit: int, is_open: bool) -> None:
    place = None if start is None else str(start)
    assert chunk_of("".join(parts), place, limit, is_open) == chunk_of_parts(iter(parts), place, limit, is_open)


@given(st.text(max_size=40), st.integers(1, 7), st.booleans())
def test_a_long_text_of_a_table_comes_whole_part_by_part(text: str, characters: int, is_binary: bool) -> None:
    column = text.encode() if is_binary else text
    parts = list(read_through(lambda first, count: column[first : first + count], characters))
    assert (text, True) == ("".join(parts), all(len(part) <= characters for part in parts))


@given(st.lists(st.text("a\n", max_size=4), max_size=6))
def test_newlines_at_the_end_are_left_out_and_none_before(parts: list[str]) -> None:
    assert "".join(parts).rstrip("\n") == "".join(without_last_newlines(parts))
    assert ("".join(parts) + "\n" if any(parts) else "") == "".join(with_newline(parts))


def test_the_tail_is_cut_at_a_character_and_says_so() -> None:
    chunk = chunk_of("aä" * 3, None, 4, is_open=True)
    assert ("aä", "9", False, True) == (chunk.text, chunk.next, chunk.more, chunk.cut)


def test_twenty_outputs_of_five_megabytes_are_never_held_together() -> None:
    numbers: list[int] = []

    def parts() -> Iterator[str]:
        for number in range(20):
            numbers.append(number)
            yield str(number % 10) * 5_000_000

    tracemalloc.start()
    try:
        tail = chunk_of_parts(parts(), None, 65_536, is_open=False)
        numbers.clear()
        middle = chunk_of_parts(parts(), "12000000", 65_536, is_open=False)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ("9" * 65_536, "2" * 65_536) == (tail.text, middle.text)
    assert [0, 1, 2] == numbers, "what lies behind the piece is not asked for"
    assert most < 25_000_000, f"{most} bytes for pieces of 64 KiB"
