"""Questions to a person at the terminal. Questions go to stderr: stdout is data."""

from __future__ import annotations

import argparse
import codecs
import os
import re
import sys
import termios
from collections.abc import Callable
from functools import partial
from getpass import getpass

from console.cli.exits import CommandError, Exit
from console.cli.output import terminal_width, wrap
from console.text.cleaning import clean


def prompt(question: str) -> str:
    """The answer of a person at the terminal; empty at the end of input. The question goes to stderr."""
    return prompt_or(question, "")


def prompt_masked(question: str, while_typing: Callable[[str], str], masked: Callable[[str], str]) -> str:
    """The answer; empty at the end of input. A terminal shows `while_typing(text)` after each key, then
    `masked(answer)`, and no other character of the answer."""
    width = terminal_width(sys.stderr)
    if not sys.stdin.isatty():
        return prompt(question)
    if not width:
        return prompt_hidden(question)
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    silent = termios.tcgetattr(descriptor)
    silent[3] &= ~(termios.ECHO | termios.ICANON)
    try:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, silent)
        line = _ShownLine(question, width)
        answer = _typed_line(descriptor, lambda text: line.show(while_typing(text)))
        line.show(masked(answer))
        return answer.strip()
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        print(file=sys.stderr, flush=True)


class _ShownLine:
    """A question with the text behind it, drawn again over its rows."""

    def __init__(self, question: str, width: int) -> None:
        self._question, self._width, self._shown = question, width, ""
        self.show("")

    def show(self, text: str) -> None:
        rows = max(0, len(self._shown) - 1) // self._width
        to_its_start = f"\x1b[{rows}A\r\x1b[J" if rows else "\r\x1b[J"
        self._shown = clean(self._question + text)
        print(to_its_start + self._shown, end="", file=sys.stderr, flush=True)


_ERASE, _CTRL_W, _CTRL_U, _END_OF_INPUT = "\x7f\b", "\x17", "\x15", "\x04"
_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:[\[O][0-9;]*[~A-Za-z]|[^\[O])")


def _typed_line(descriptor: int, show: Callable[[str], None]) -> str:
    """The line that is typed at a terminal without echo; `show` is called with the text so far. Cursor keys do
    nothing. It reads one byte at a time: input after Enter answers the next question."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text, unread = "", ""
    while data := os.read(descriptor, 1):
        unread = _ESCAPE_SEQUENCE.sub("", unread + decoder.decode(data))
        keys, escape, rest = unread.partition("\x1b")
        unread = escape + rest
        for key in keys:
            if key in "\r\n" or (key == _END_OF_INPUT and not text):
                return text
            text = _edited(text, key)
        show(text)
    return text


def _edited(text: str, key: str) -> str:
    if key in _ERASE:
        return text[:-1]
    if key == _CTRL_W:
        return text.rstrip().rpartition(" ")[0]
    if key == _CTRL_U:
        return ""
    return text + key if key.isprintable() else text


def prompt_or(question: str, leaving: str) -> str:
    """The answer; `leaving` at the end of input, where Enter alone means yes."""
    width = terminal_width(sys.stderr)
    lines = [part for line in clean(question).split("\n") for part in (wrap(line, width - 1) if width else [line])]
    print("\n".join(lines), end="", file=sys.stderr, flush=True)
    return _answer(input, leaving)


def prompt_hidden(question: str) -> str:
    """The answer, typed without echo; empty at the end of input."""
    return _answer(partial(getpass, clean(question), sys.stderr), "")


def _answer(read: Callable[[], str], leaving: str) -> str:
    """The answer, or `leaving` at the end of input. Without an answer, the line of the question ends."""
    try:
        return read().strip()
    except EOFError:
        print(file=sys.stderr)
        return leaving
    except KeyboardInterrupt:
        print(file=sys.stderr)
        raise


def confirm(question: str) -> bool:
    """True if a person answers yes; Enter alone means no."""
    return prompt(f"{question} [y/N] ").lower() in ("y", "yes")


def require_confirmation(arguments: argparse.Namespace, question: str, nothing: str, verb: str) -> None:
    """Raises CommandError unless a person confirms at the terminal, or by --yes. `nothing`: the message then."""
    if not arguments.yes and not sys.stdin.isatty():
        raise CommandError(Exit.USAGE, f"{nothing}. Fix: --yes to {verb} without a terminal")
    if not arguments.yes and not confirm(question):
        raise CommandError(Exit.REFUSED, nothing)
