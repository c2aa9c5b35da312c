"""Talks: each method is one fixed script; values reach it quoted, on standard input, never in its command."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from shlex import quote

from connectors.systemd.options import SystemdOptions
from connectors.transport.answer import Section, sections
from connectors.transport.hosts import Session

ARGV = ("sh", "-s")
BITE_BYTES = 4 * 1024 * 1024
"""Of the journal at a time: about 8,000 entries."""


@cache
def script(name: str) -> str:
    """The text of a script that lies beside this module."""
    return (Path(__file__).parent / name).read_text("utf-8")


class SystemdClient:
    """One host. Each call is one round trip and answers with the raw sections."""

    def __init__(self, options: SystemdOptions, session: Session) -> None:
        self.options = options
        self.session = session

    @property
    def where(self) -> str:
        return self.session.address.words

    def look(self, cursor: str, since: int, units: Iterable[str], timeout_seconds: float) -> list[Section]:
        """Clock, timers, their services and `units`, and the journal since its cursor."""
        journal = f"journal {_quoted((cursor, str(since), str(BITE_BYTES)))}"
        return self._ask(
            ["host", "me", journal, f"timers {quote(' '.join(units))}"], timeout_seconds
        )  # the journal first: what it lacks has an
        # end that the manager tells a moment later

    def timers(self, timeout_seconds: float) -> list[Section]:
        return self._ask(["host", "me", "timers ''"], timeout_seconds)

    def service(self, unit: str, timeout_seconds: float) -> list[Section]:
        """Clock, what is known now of one service, and whether we may start and stop it."""
        return self._ask(["host", f"services {quote(unit)}", f"may {quote(unit)}"], timeout_seconds)

    def rights(self, units: Iterable[str], timeout_seconds: float) -> list[Section]:
        asked = [f"may {quote(unit)}" for unit in units]
        return self._ask(["host", "me", "journal '' \"$(date +%s)\" 4096", *asked], timeout_seconds)

    def output(self, invocation: str, start: int | None, limit: int, timeout_seconds: float) -> list[Section]:
        values = (invocation, str(limit), "tail" if start is None else str(start))
        return self._ask([f"output {_quoted(values)}"], timeout_seconds)

    def act(self, values: Iterable[str], timeout_seconds: float) -> list[Section]:
        """Sends once: verb, unit, key, latest second, since, invocation."""
        return self._ask([f"act {_quoted(values)}"], timeout_seconds, once=True)

    def mark(self, key: str, since: int, unit: str, timeout_seconds: float) -> list[Section]:
        return self._ask([f"look_for {_quoted((key, str(since), unit))}"], timeout_seconds)

    def close(self) -> None:
        self.session.close()

    def _ask(self, calls: Iterable[str], timeout_seconds: float, once: bool = False) -> list[Section]:
        nonce = secrets.token_hex(8)
        head = f"{script('collect.sh')}{script('act.sh')}N={nonce} SUDO={'sudo' if self.options.sudo else ''}\n"
        text = f"{head}{{\n" + "\n".join(calls) + "\nmark END\n} </dev/null 2>/dev/null\n"
        done = self.session.run(text.encode("utf-8", "surrogateescape"), ARGV, timeout_seconds, once=once)
        return sections(done.stdout, nonce, self.where)


def _quoted(values: Iterable[str]) -> str:
    return " ".join(quote(value) for value in values)
