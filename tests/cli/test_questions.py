"""Questions to a person at a terminal: they break between words, and what is typed goes behind their end."""

from __future__ import annotations

import pytest

from console.cli import common

QUESTION = "Promise it? Enter takes 07:00, a time like 07:00 takes that, n leaves it as a comment: "


def test_a_question_breaks_between_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(common, "terminal_width", lambda stream: 80)
    monkeypatch.setattr("builtins.input", lambda: " n ")
    assert "n" == common.answer(QUESTION, "")
    lines = capsys.readouterr().err.split("\n")
    assert QUESTION.split() == " ".join(lines).split()
    assert 2 == len(lines)
    assert 80 > max(map(len, lines))
    assert lines[-1].endswith("comment: ")
