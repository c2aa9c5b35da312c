"""Raw names survive both databases."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from console.store.names import decode_name, encode_name, is_too_long_name
from tests.corpus import HOSTILE

ANY = st.text(alphabet=st.characters(categories=None) | st.sampled_from("\0\ud800\udc80\U0010f000\U0010f800\U0010f801"))


@given(ANY)
def test_a_packed_name_can_be_written_and_comes_back_as_it_was(raw: str) -> None:
    assert "\0" not in encode_name(raw)
    encode_name(raw).encode()
    assert raw == decode_name(encode_name(raw))


def test_the_whole_corpus_comes_back_as_it_was() -> None:
    assert HOSTILE == [decode_name(encode_name(raw)) for raw in HOSTILE]


def test_an_ordinary_name_is_unchanged() -> None:
    assert "db07:überweisungen" == encode_name("db07:überweisungen")


def test_a_name_is_too_long_by_its_bytes() -> None:
    assert [False, True, False, True] == [
        is_too_long_name(name) for name in ("x" * 1_000, "x" * 1_001, "é" * 500, "é" * 501)
    ]
