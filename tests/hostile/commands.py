"""A command as a shell would start it, in this process."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

from console.cli.main import main


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Its JSON; duplicate keys, NaN and what else is no JSON are refused."""
        return json.loads(self.out, parse_constant=_refuse)


def _refuse(term: str) -> Any:
    raise ValueError(f"{term} is no JSON")


def headway(store: str, *arguments: str) -> Done:
    """Runs `headway --store STORE ARGUMENTS`."""
    return in_process("--store", store, *arguments)


def in_process(*arguments: str) -> Done:
    """Runs `headway ARGUMENTS`. Any other exception than argparse's exit is a fault."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(list(arguments))
        except SystemExit as end:
            code = int(end.code or 0)
    for text in (out.getvalue(), err.getvalue()):
        text.encode("utf-8")
    return Done(code, out.getvalue(), err.getvalue())
