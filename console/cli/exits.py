"""Exit codes of every command; docs/exit-codes.md is made from this table: `python -m console.cli.exits`."""

from __future__ import annotations

import sys
from enum import IntEnum


class Exit(IntEnum):
    """What a shell sees. 0 and 1 are answers, the rest are reasons why there is none. Each has its MEANING."""

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
    Exit.OK: "Done. A list that was asked for is an answer, whatever stands in it.",
    Exit.PROBLEM: "Done, and it found a problem: `check` something refused, out of reach or without a right, a "
    "name that nothing has, or a calendar without a day, as `calendar NAME` does; `drift` one that is not accepted; "
    "`doctor` something to mend; `connector try` something that was not understood; "
    "`review` a gap that is high; `rota NAME` nobody on call; "
    "`checks NAME` one that did not pass; "
    "a verb that failed, a plan that stopped or was aborted, "
    "`recover` an incident without a step, `backfill` dates without a known period; "
    "`alert test` a URL that accepted nothing; `audit verify` a chain that "
    "is not whole, or that the database keeps no more; `backup` a store whose audit does not hold (the copy stays); "
    "`init` nothing that lets Headway in, or a first poll that could not read all; "
    "`demo` and `engine stop` what did not come about in time.",
    Exit.USAGE: "The command line, the config or the store cannot be used; stderr names every fault.",
    Exit.NO_ENGINE: "No engine works on this store: the command needs one, or `status` or `engine stop` found none; "
    "`gate`: nobody can tell how an upstream stands, for want of an engine, of fresh data or of "
    "a schedule that tells of the date.",
    Exit.REFUSED: "Headway (the right, the owner, a freeze), the scheduler or the person at the question refused, or "
    "no answer came; nothing was sent.",
    Exit.UNKNOWN: "Asked for and not over yet: sent, its outcome still to come or looked up (never repeated), or not "
    "sent and waiting for its turn or for another person's approval; stderr says which.",
    Exit.NOT_FOUND: "No such job, run, incident, service, system, action, log, silence, alert, route or approval; near "
    "misses are named. A short name that several jobs have: all of them are named, and nothing was done.",
    Exit.TIMEOUT: "`gate`: its time was over, and an upstream was still to come. The command was not started.",
    Exit.RED: "`gate`: an upstream is red, and was not repaired in the time there was. The command was not started.",
    Exit.INTERRUPTED: "Ctrl-C.",
    Exit.PIPE: "The reader of stdout went away.",
}


def markdown() -> str:
    """docs/exit-codes.md."""
    lines = [
        "# Exit codes",
        "",
        "Made from `console/cli/exits.py` by `python -m console.cli.exits`; a test compares it. Data goes to stdout,",
        "everything that is said about it to stderr. The console and the demo say 0 when you leave.",
        "",
        "With `--json` stdout is one JSON document and nothing else. Where a command ends without its answer, the",
        'document is an object with what there is and `error`: `{"exit": 6, "name": "NOT_FOUND", "message": "..."}`.',
        "",
        "| code | name | means |",
        "|---|---|---|",
        *(f"| {code.value} | {code.name} | {MEANING[code]} |" for code in Exit),
        "",
        "An engine that works ends well on SIGTERM and Ctrl-C, and on SIGHUP where it was started at a terminal: 0.",
        "As a service it reads its config again on SIGHUP. A demo says 143 on SIGTERM, 129 on SIGHUP.",
        "A surprise of ours leaves its traceback on stderr and says 1.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(markdown())
