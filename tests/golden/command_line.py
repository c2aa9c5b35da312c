"""Run a command line in this process, in a fixed environment."""

from __future__ import annotations

import io
import os
import pwd
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest import mock

from console import __main__ as console_main

WIDTH = "100"
USER = pwd.struct_passwd(("mara", "x", 1000, 1000, "", "/home/mara", "/bin/sh"))


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


def headway(*arguments: str) -> Result:
    """Run `headway ARGUMENTS`."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = int(console_main.main(list(arguments)))  # type: ignore[attr-defined]
        except SystemExit as end:
            code = int(end.code or 0)
        except Exception as error:  # noqa: BLE001 - a command that crashes is one difference, not the end of the dump
            return Result(1, out.getvalue(), f"{err.getvalue()}raised {type(error).__name__}: {error}")
    return Result(code, out.getvalue(), err.getvalue())


@contextmanager
def fixed_environment() -> Iterator[None]:
    """Terminal width, time zone, user and language do not depend on the machine."""
    names = {"COLUMNS": WIDTH, "TZ": "UTC", "USER": "mara", "LOGNAME": "mara", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    headway_names = [name for name in os.environ if name.startswith("HEADWAY_")]
    with mock.patch.dict(os.environ, names), mock.patch("pwd.getpwuid", return_value=USER):
        for name in headway_names:
            del os.environ[name]
        time.tzset()
        yield
    time.tzset()
