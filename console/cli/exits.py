"""Exit codes of every command, and the error that ends one early.

docs/exit-codes.md is made from this table: `python -m console.cli.exits`.
"""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import Any

from console.store.errors import NotAllowed, ReasonNeeded
from console.text.cleaning import clean


class Exit(IntEnum):
    """Exit code of a command. 0 and 1 are answers; the others are reasons for a missing one. MEANING explains each."""

    OK = 0
    PROBLEM = 1
    USAGE = 2
    NO_ENGINE = 3
    REFUSED = 4
    UNKNOWN = 5
    NOT_FOUND = 6
    TIMEOUT = 7
    RED = 8
    INTERRUPTED = 130
    PIPE = 141


MEANING = {
    Exit.OK: "Success. A list is a success, whatever it contains.",
    Exit.PROBLEM: "The command ran and found a problem. `check`: a system is unreachable, refuses or lacks a right, a "
    "name matches nothing, or a calendar has no days (as `calendar NAME`), with --installation also a problem of "
    "the store, the engine, a clock or this machine; `system drift`: a change is not accepted; "
    "`connector try`: a right to read is missing, or a record was not understood; "
    "`service review`: a gap of level high; `oncall NAME`: the rota has a gap; "
    "`datacheck NAME`: the check did not pass; "
    "an action failed, a plan stopped or was aborted; "
    "`policy test`: more repairs would have been wrong than the budget has; "
    "`recover`: the incident has no step to send; `plan backfill`: a date has no known period; "
    "`alert test`: a URL accepted nothing, or its read key was refused; `audit verify`: the chain is broken, or "
    "the database no longer protects it; `store backup`: the audit log of the store is broken (the copy stays); "
    "`init`: no access, a route that accepts nothing, or an incomplete first poll; "
    "`demo` and `engine stop`: timeout.",
    Exit.USAGE: "The command line, the config or the store is invalid; stderr names every problem.",
    Exit.NO_ENGINE: "No engine is running on this store, and the command needs one (`status`, `engine stop`); "
    "`gate`: the status of an upstream is unknown, because no engine runs, its data is stale or "
    "its schedule does not cover the date.",
    Exit.REFUSED: "Refused by Headway (permission, owner, freeze), by the scheduler or at the confirmation, or not "
    "answered; nothing was sent.",
    Exit.UNKNOWN: "Requested and not finished: sent with its outcome pending or unknown (never sent twice), or not "
    "sent yet and waiting in the queue or for approval; stderr says which.",
    Exit.NOT_FOUND: "No such job, run, incident, service, system, action, log, silence, alert, route or approval; "
    "similar names are listed. If a short name matches several jobs, all are listed and nothing was done.",
    Exit.TIMEOUT: "`gate`: timed out while an upstream was pending. COMMAND was not started.",
    Exit.RED: "`gate`: an upstream failed and was not recovered in time. COMMAND was not started.",
    Exit.INTERRUPTED: "Ctrl-C.",
    Exit.PIPE: "The reader of stdout closed the pipe.",
}


def markdown() -> str:
    """docs/exit-codes.md."""
    lines = [
        "# Exit codes",
        "",
        "Generated from `console/cli/exits.py` by `python -m console.cli.exits`. Data goes to stdout,",
        "messages go to stderr. The console and the demo return 0 when you leave.",
        "",
        "With `--json` stdout is exactly one JSON document. If the command fails, the document is an object with",
        'the data available and `error`: `{"exit": 6, "name": "NOT_FOUND", "message": "..."}`.',
        "",
        "| code | name | means |",
        "|---|---|---|",
        *(f"| {code.value} | {code.name} | {MEANING[code]} |" for code in Exit),
        "",
        "A running engine exits with 0 on SIGTERM and Ctrl-C, and on SIGHUP if it was started at a terminal.",
        "As a service it reloads its config on SIGHUP. A demo exits with 143 on SIGTERM, 129 on SIGHUP.",
        "An internal error leaves a traceback on stderr and exits with 1.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(markdown())


class CommandError(Exception):
    """Ends a command with an exit code and one message on stderr; with --json also in `error` of its document."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code = code


def refusal_text(error: NotAllowed) -> str:
    """The refusal, with the option that gives a missing reason."""
    return f"{error} (--why)" if isinstance(error, ReasonNeeded) else str(error)


def error_document(value: Any, code: Exit, message: str) -> dict[str, Any]:
    """The JSON document of a failed command: its data so far, if that is an object, and the error."""
    error = {"exit": int(code), "name": code.name, "message": clean(message)}
    return {**(value if isinstance(value, dict) else {}), "error": error}
