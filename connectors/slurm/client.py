"""Talks: each method is one fixed script; values reach it quoted, on standard input, never in its command."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shlex import quote

from connectors.slurm.answer import Answer
from connectors.slurm.options import SlurmOptions
from connectors.transport.answer import sections
from connectors.transport.deadline import Deadline
from connectors.transport.hosts import Session

ARGV = ("sh", "-s")
PAGE_ROWS = 5000
"""Of accounting at a time."""


@cache
def script(name: str) -> str:
    """The text of a script that lies beside this module."""
    return (Path(__file__).parent / name).read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows of accounting are asked for: of jobs that were active in it. Seconds since 1970; `until` 0 is now."""

    since: int
    until: int = 0
    skip: int = 0


class SlurmClient:
    """One login host. Each call is one round trip."""

    def __init__(self, options: SlurmOptions, session: Session) -> None:
        self.options = options
        self.session = session
        self.deadline = Deadline(0)

    @property
    def where(self) -> str:
        return self.session.address.words

    def look(self, window: Window, also: Iterable[str]) -> Answer:
        """Clock, settings, a page of accounting, the jobs `also` by id, and the queue, which is read last."""
        until = f"uts{window.until}" if window.until else ""
        values = (str(window.since), until, str(window.skip), str(PAGE_ROWS), *self._accounting())
        more = ",".join(also)
        calls = ["host", "config", f"history {_quoted(values)}", *([f"some {quote(more)}"] if more else [])]
        return self.ask([*calls, self._queue()])

    def names(self, since: int) -> Answer:
        calls = ["host", "config", f"names {_quoted((str(since), *self._accounting()))}"]
        return self.ask([*calls, self._queue(), "crontabs", "limits"])

    def pending(self) -> Answer:
        return self.ask(["host", "level", self._queue()])

    def ask(self, calls: Iterable[str], once: bool = False) -> Answer:
        """What these functions of the scripts told."""
        nonce = secrets.token_hex(8)
        values = f"SUDO={'sudo' if self.options.sudo else ''} BIN={quote(self.options.bin or '')}"
        head = f"N={nonce} {values}\n{script('collect.sh')}{script('act.sh')}"
        text = f"{head}{{\n" + "\n".join(calls) + "\nmark END\n} </dev/null 2>/dev/null\n"
        done = self.session.run(text.encode("utf-8", "surrogateescape"), ARGV, self.deadline.left, once=once)
        return Answer(sections(done.stdout, nonce, self.where), f"\x1f{nonce[:6]}")

    def close(self) -> None:
        self.session.close()

    def _queue(self) -> str:
        chosen = (("-u", self.options.users), ("-A", self.options.accounts), ("-p", self.options.partitions))
        return f"queue {_quoted(word for flag, names in chosen if names for word in (flag, ','.join(names)))}"

    def _accounting(self) -> list[str]:
        chosen = (("-u", self.options.users), ("-A", self.options.accounts), ("-r", self.options.partitions))
        return [word for flag, names in chosen if names for word in (flag, ",".join(names))]


def call(name: str, *values: str) -> str:
    """One call of a function of the scripts, its values quoted."""
    return f"{name} {_quoted(values)}"


def _quoted(values: Iterable[str]) -> str:
    return " ".join(quote(value) for value in values)
