"""What `headway` says where there is no estate yet: three ways on, one of them a key away."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from console.cli.common import answer, say, say_lines
from console.cli.exits import Exit

WORDS = (
    "Headway watches the schedulers you have, and tells before a promise breaks.",
    "There is no estate yet: {config} is not there.",
    "",
    "  1  headway init   finds what runs here: crontabs, Airflow, pg_cron, AWS, hosts",
    "                    It asks before it writes, and what it writes only watches",
    "  2  headway demo   a recorded night with an incident, and a tour of 3 minutes",
    "  3  by hand        config.example.toml has every setting; save yours as above",
    "",
)
WAYS = {"1": "init", "2": "demo"}


def welcome(config: Path, command: Sequence[str]) -> int:
    """Shows the ways and goes the one that is chosen; Enter alone leaves, and nothing was written."""
    say_lines([line.format(config=config) for line in WORDS])
    while True:
        word = answer("1, 2, or Enter to leave: ", "").lower()
        if word in ("", "q", "3"):
            return Exit.OK
        if word in WAYS or word in WAYS.values():
            os.execv(command[0], [*command, WAYS.get(word, word)])  # noqa: S606 - our own interpreter and module
        say(f'"{word[:40]}" is none of them')
