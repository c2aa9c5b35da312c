"""Outside text after cleaning."""

from __future__ import annotations

import re
import time
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.text.cleaning import clean, clean_line, one_line
from tests.corpus import HOSTILE
from tests.properties import examples
from tests.rows import each_row

DANGEROUS = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def test_the_corpus_is_large_enough_and_says_nothing_twice() -> None:
    assert len(HOSTILE) >= 200
    assert sorted(set(HOSTILE)) == sorted(HOSTILE)


@each_row("text", HOSTILE)
def test_no_terminal_control_remains_after_cleaning(text: str) -> None:
    assert [] == DANGEROUS.findall(clean(text))
    assert "\n" not in clean_line(text)
    clean(text).encode()


@given(st.text(alphabet=st.characters(max_codepoint=0x10FFFF, categories=None)))
def test_any_cleaned_text_is_harmless_and_unchanged_the_second_time(text: str) -> None:
    once = clean(text)
    assert [] == DANGEROUS.findall(once)
    assert once == clean(once)


@given(st.binary())
def test_any_cleaned_bytes_are_text_that_can_be_written(raw: bytes) -> None:
    clean(raw).encode()


@each_row(
    "text, expected",
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;https://x.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("\x1bPq#0~~\x1b\\after", "after"),
        ("a\tb", "a   b"),
        ("one\r\ntwo", "one\ntwo"),
        ("ok\rFAILED", "ok\nFAILED"),
        ("\u202eexe.txt", "\ufffdexe.txt"),
        ("zero\u200bwidth", "zero\ufffdwidth"),
        ("گزارش می\u200cخواهم", "گزارش می\u200cخواهم"),
        ("क्\u200dष क्\u200cष", "क्\u200dष क्\u200cष"),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467 family", "\U0001f468\U0001f469\U0001f467 family"),
        ("\U0001f468\U0001f3fd\u200d\u2695\ufe0f", "\U0001f468\U0001f3fd\u2695"),
        ("می\u200c\u200cخواهم", "می\ufffd\ufffdخواهم"),
        ("load\u200c_orders pass\u200dword", "load\ufffd_orders pass\ufffdword"),
        ("خواهم\u200c", "خواهم\ufffd"),
        ("\u202e\u200d\U0001f469", "\ufffd\ufffd\U0001f469"),
        ("[/x] [b] $(rm) '; --", "[/x] [b] $(rm) '; --"),
        ("漢字 é 👍", "漢字 é 👍"),
        ("pass\ufe0fword=\U000e0101hunter2 \u26a0\ufe0f", "password=hunter2 \u26a0"),
        ("\x1b\x1b[2J[31m", "\ufffd[31m"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_is_outside_text_is_shown_and_what_acts_is_not(text: str, expected: str) -> None:
    assert expected == clean(text)


def test_f49_bytes_that_are_not_utf8_are_spelled_out() -> None:
    assert "caf\\xe9" == clean(b"caf\xe9")
    assert "caf\\xe9" == clean(b"caf\xe9".decode("utf-8", "surrogateescape"))


def test_a_control_string_that_never_ends_hides_nothing_after_it() -> None:
    assert "the error is here" in clean("\x1b]0;the error is here\nand more")


def test_the_lines_of_a_message_stand_beside_each_other() -> None:
    message = "ERROR:  orders is empty\r\nCONTEXT:  PL/pgSQL\n\n  at line 3\x1b[2J\n"
    assert "ERROR:  orders is empty · CONTEXT:  PL/pgSQL · at line 3" == one_line(message)
    assert "ERROR…" == one_line(message, 6)


def test_a_long_text_is_cut_with_a_mark() -> None:
    assert "abcd…" == clean("abcdefgh", 5)
    assert "abcde" == clean("abcde", 5)
    assert "" == clean("abc", 0)


@pytest.mark.quiet
@each_row(
    "piece",
    [
        "\r",
        "ab\r",
        "\x1b[2Kx",
        "x\r\x1b[K",
        "\x1b[1G",
        "\x1b[",
        "\x90",
        "\x1b]0;",
        "\x1b[0;",
        "\x1b",
        "[" * 3 + "\x9b 0",
    ],
)
def test_f57_hostile_repetition_is_read_in_linear_time(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    before = time.process_time()
    clean(text)
    assert time.process_time() - before < 3.0


@each_row(
    "text, expected",
    [
        ("Copying\r\nfile 1\r 10%\r100%\r\n", "Copying\nfile 1\n100%\n"),
        ("0% [   ]\r100% [###]\rFATAL: disk full", "100% [###]\nFATAL: disk full"),
        ("\r\x1b[K 10%\r\x1b[K 100%\r\x1b[KERROR: boom\n", " 100%\nERROR: boom\n"),
        ("load:  10%|\u2588   | 1/10\rload:  20%|\u2588\u2588  | 2/10", "load:  20%|\u2588\u2588  | 2/10"),
        ("get 980kB/s eta 5s\rget 1.2MB/s eta 1m3s", "get 1.2MB/s eta 1m3s"),
        ("Downloading 100 of 100 files\rFATAL: disk", "Downloading 100 of 100 files\nFATAL: disk"),
        (
            "start\rERROR ORA-00942: table does not exist\rcleanup",
            "start\nERROR ORA-00942: table does not exist\ncleanup",
        ),
        ("ERROR: load failed rc=8\r[etl@db07 ~]$ \n", "ERROR: load failed rc=8\n[etl@db07 ~]$\n"),
        (
            "ERROR code 12 for order 7\rERROR code 99 for order 8",
            "ERROR code 12 for order 7\nERROR code 99 for order 8",
        ),
        ("Error: 5xx\rError: 4xx", "Error: 5xx\nError: 4xx"),
        ("ERROR in /data/2026/a\rERROR in /data/2027/a", "ERROR in /data/2026/a\nERROR in /data/2027/a"),
        ("\u280b Loading 3\r\u2819 Loading 3", "\u2819 Loading 3"),
        ("load 1 / 10\rload 2 / 10", "load 2 / 10"),
        (
            "\r".join(f"processed {n}000 rows" for n in range(1, 60)) + "\rERROR: boom",
            "processed 59000 rows\nERROR: boom",
        ),
        ("\r".join(f"Elapsed 00:{n:02}" for n in range(9)) + "\nfailed", "Elapsed 00:08\nfailed"),
        ("\r".join(f"[Stage 0:=>  ({n} + 2) / 200]" for n in range(9)), "[Stage 0:=>  (8 + 2) / 200]"),
        ("FATAL: disk full\r      ", "FATAL: disk full"),
        ("one\r\r\ntwo\r", "one\ntwo"),
        ("\r \r\n", "\n"),
        ("working...\r\x1b[Kdone", "working...\ndone"),
        ("working...\x1b[2K\x1b[1Gdone", "working...\ndone"),
        ("working...\x1b[1000Ddone", "working...\ndone"),
        ("\x1b[32m10%\x1b[0m\r\x1b[32mok\x1b[0m", "10%\nok"),
        ("a \x1b[K b", "a  b"),
    ],
)
def test_a_carriage_return_begins_a_line_and_a_progress_bar_is_one(text: str, expected: str) -> None:
    assert expected == clean(text)


STEPS = st.sampled_from(
    ["a", "bc", "XYZ", "1", "[#]", " ", "\r", "\n", "\r\n", "\r\x1b[K", "\r\x1b[0K", "\x1b[1G", "\x1b[31m", "\x1b[0m"]
)


@examples(200)
@given(st.lists(STEPS, max_size=20).map("".join))
def test_no_words_are_lost_to_a_carriage_return(text: str) -> None:
    def words(text: str) -> list[str]:
        lines = (re.sub("([0-9][0-9a-zA-Z]*|[^a-zA-Z])+", " ", line).strip() for line in text.split("\n"))
        return [line for line, _ in groupby(filter(None, lines))]

    assert words(re.sub(r"\x1b\[[0-9]*[mK]", "", text.replace("\x1b[1G", "\r")).replace("\r", "\n")) == words(
        clean(text)
    )


def test_a_carriage_return_in_a_name_is_displayed() -> None:
    """Two jobs of different names must not look the same."""
    assert "x\ufffdload" == clean_line("x\rload")
    assert "x\ufffdload" == clean_line(b"x\r\nload")
