"""Questions to a person at a terminal: they break between words, and what is typed goes behind their end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext

import pytest

from console.cli import prompts
from tests.pty.terminal import Terminal

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


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
@pytest.mark.parametrize("ask", [prompts.prompt, prompts.prompt_hidden])
def test_a_question_without_an_answer_ends_its_line(
    ask: Callable[[str], str], end: type[BaseException], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def interrupted(*_: object) -> str:
        raise end

    monkeypatch.setattr("builtins.input", interrupted)
    monkeypatch.setattr(prompts, "getpass", interrupted)
    with nullcontext() if end is EOFError else pytest.raises(end):
        assert "" == ask("Which? ")
    assert capsys.readouterr().err.endswith("\n")


ASK = """
from console.cli.prompts import prompt, prompt_masked
from console.onboarding.answers import hidden_while_typed, without_password
print("answer", ascii(prompt_masked("Add: ", hidden_while_typed, without_password)), prompt("next: "))
"""


def prompt_on_terminal(*keys: str, then: tuple[str, ...] = ("x", "enter"), columns: int = 40) -> tuple[str, bytes]:
    """The last screen and all bytes that reached it, as these keys answer the question, and `then` the next one."""
    with Terminal([sys.executable, "-c", ASK], size=(columns, 12)) as terminal:
        terminal.wait_for("Add:")
        terminal.press(*keys)
        terminal.wait_for("next:")
        terminal.press(*then)
        terminal.wait_for_end()
        return terminal.text, bytes(terminal.received)


def test_a_typed_password_never_reaches_the_screen() -> None:
    dsn = "postgresql://headway:s3cret/pw@dwh:5432/operations"
    text, received = prompt_on_terminal(*dsn, "enter")
    assert ("Add: postgresql://headway:•••@dwh:5432/o\nperations\nnext: x" in text, text.count("Add:")) == (True, 1)
    assert f"answer '{dsn}' x" in text.replace("\n", "")
    assert b"s3cret" not in received.partition(b"answer")[0]


def test_a_typed_answer_can_be_corrected() -> None:
    text, _ = prompt_on_terminal("w", "r", "o", "\x15", "d", "b", "0", "9", "\x1b[D", "backspace", "7", "ü", "enter")
    assert "Add: db07ü\nnext: x" in text
    assert "answer 'db07\\xfc' x" in text


def test_what_is_typed_ahead_answers_the_next_question() -> None:
    """Both lines arrive in one piece, as they do on a busy machine; the second was lost."""
    assert "answer 'db07' db08" in prompt_on_terminal("db07\rdb08\r", then=())[0]


def test_the_end_of_input_is_an_empty_answer() -> None:
    assert "answer '' x" in prompt_on_terminal("\x04")[0]
