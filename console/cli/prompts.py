"""Questions to a person at the terminal. Questions go to stderr: stdout is data."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from getpass import getpass

from console.cli.exits import CommandError, Exit
from console.cli.output import terminal_width, wrap
from console.text.cleaning import clean


def prompt(question: str) -> str:
    """The answer of a person at the terminal; empty at the end of input. The question goes to stderr."""
    return prompt_or(question, "")


def prompt_masked(question: str, masked: Callable[[str], str]) -> str:
    """The answer; at the terminal, its echo is replaced by `masked(answer)`."""
    answer = prompt(question)
    text, width = masked(answer), terminal_width(sys.stderr)
    if text != answer and width and sys.stdin.isatty():
        rows = math.ceil(len(question + answer) / width)
        print(f"\x1b[{rows}A\r\x1b[J{clean(question + text)}", file=sys.stderr, flush=True)
    return answer


def prompt_or(question: str, leaving: str) -> str:
    """The answer; `leaving` at the end of input, where Enter alone means yes."""
    width = terminal_width(sys.stderr)
    lines = [part for line in clean(question).split("\n") for part in (wrap(line, width - 1) if width else [line])]
    print("\n".join(lines), end="", file=sys.stderr, flush=True)
    try:
        return input().strip()
    except EOFError:
        return leaving


def prompt_hidden(question: str) -> str:
    """The answer, typed without echo; empty at the end of input."""
    try:
        return getpass(clean(question), sys.stderr).strip()
    except EOFError:
        return ""


def confirm(question: str) -> bool:
    """True if a person answers yes; Enter alone means no."""
    return prompt(f"{question} [y/N] ").lower() in ("y", "yes")


def confirm_or_yes(arguments: argparse.Namespace, question: str, nothing: str, verb: str) -> bool:
    """True if a person confirms at the terminal, or by --yes. Raises CommandError without a terminal; `nothing`: what
    was not done."""
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise CommandError(Exit.USAGE, f"{nothing}. Fix: --yes to {verb} without a terminal")
    return confirm(question)
