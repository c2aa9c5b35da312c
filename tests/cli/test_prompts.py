"""Questions to a person at a terminal: they break between words, and what is typed goes behind their end."""

from __future__ import annotations

import pytest

from console.cli import prompts

QUESTION = "Add it? Enter for 07:00, or another time like 07:00; n adds it to the file as a comment: "


def test_a_question_breaks_between_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(prompts, "terminal_width", lambda stream: 80)
    monkeypatch.setattr("builtins.input", lambda: " n ")
    assert "n" == prompts.prompt_or(QUESTION, "")
    lines = capsys.readouterr().err.split("\n")
    assert QUESTION.split() == " ".join(lines).split()
    assert 2 == len(lines)
    assert 80 > max(map(len, lines))
    assert lines[-1].endswith("comment: ")
