"""The suite on other days than today: `make dates` runs one case of each fast test on each of these instants, by a
shifted clock."""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests import rows

TESTS = Path(__file__).parent
INSTANTS = {
    "Sunday, before Berlin's clocks go back": datetime(2026, 10, 25, 0, 20, tzinfo=UTC),
    "Sunday, before New York's clocks go back": datetime(2026, 11, 1, 5, 20, tzinfo=UTC),
    "Monday, the end of a month": datetime(2026, 11, 30, 23, 30, tzinfo=UTC),
    "Thursday, 31 December 23:40": datetime(2026, 12, 31, 23, 40, tzinfo=UTC),
    "Friday, 1 January 00:05": datetime(2027, 1, 1, 0, 5, tzinfo=UTC),
    "Sunday, before New York's clocks go forward": datetime(2027, 3, 14, 6, 40, tzinfo=UTC),
    "Sunday, before Berlin's clocks go forward": datetime(2027, 3, 28, 0, 40, tzinfo=UTC),
    "Thursday, a full hour of summer": datetime(2027, 7, 1, 9, 0, tzinfo=UTC),
    "Sunday, the second 02:20 of Berlin": datetime(2027, 10, 31, 1, 20, tzinfo=UTC),
    "Tuesday, 29 February": datetime(2028, 2, 29, 21, 50, tzinfo=UTC),
    "Saturday, noon": datetime(2028, 6, 10, 12, 0, tzinfo=UTC),
    "Wednesday, midnight in Kolkata": datetime(2028, 9, 20, 18, 29, tzinfo=UTC),
    "Friday, midnight": datetime(2029, 6, 1, 0, 0, tzinfo=UTC),
    "Tuesday, the last minutes before 2031": datetime(2030, 12, 31, 23, 50, tzinfo=UTC),
}
IN_EACH_RUN = (
    "Sunday, before Berlin's clocks go back", "Tuesday, 29 February", "Tuesday, the last minutes before 2031",
)  # fmt: skip
"""What `make test-all` runs of them."""
CLOCKS = {"now", "utcnow", "today", "time", "present"}


def shifted_clock(folder: Path) -> Path:
    """The library in this folder that shifts the clock of whoever loads it, compiled."""
    built = folder / "shifted_clock.so"
    source = TESTS / "fakes" / "shifted_clock.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", built, source, "-ldl"], check=True, timeout=60)
    return built


def environment(library: Path, instant: datetime) -> dict[str, str]:
    """The environment of a process whose clock is at this instant when it starts. Properties have the examples of the
    fast part, which is what runs."""
    began = int(time.time()) - int(os.environ.get("SHIFT_SECONDS", "0"))
    known = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "HYPOTHESIS_"))}
    shift = {"SHIFT_SECONDS": str(int(instant.timestamp()) - began), "SHIFT_BEGAN": str(began)}
    return {**known, "LD_PRELOAD": str(library), **shift}


def reads_a_clock(call: ast.AST) -> bool:
    """Whether the call asks what time it is: `datetime.now(UTC)`, `time.time()`, `present()`."""
    of = call.func if isinstance(call, ast.Call) else None
    if isinstance(of, ast.Name):
        return of.id == "present"
    values = {"datetime", "date", "time"}  # time(3, 10) is a value, time.time() a look
    return isinstance(of, ast.Attribute) and of.attr in CLOCKS and getattr(of.value, "id", "") in values


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the first case and row of each test, where this module is a plugin of the session (`-p tests.dates`)."""
    rows.limit = 1
    first = {item.nodeid.partition("[")[0]: item for item in reversed(items)}
    items[:] = [item for item in items if first[item.nodeid.partition("[")[0]] is item]


def main() -> int:
    """The exit code of `make dates`: 0 where the fast part is green on each instant."""
    parser = argparse.ArgumentParser(prog="python -m tests.dates", description=__doc__)
    parser.add_argument("words", nargs="*", help="only the instants with one of these words in their names")
    parser.add_argument("--workers", default="auto", help="workers of each run")
    parser.add_argument("--in-each-run", action="store_true", help="only the instants of `make test-all`")
    arguments = parser.parse_args()
    chosen = {
        name: instant
        for name, instant in INSTANTS.items()
        if not arguments.words or any(word in name for word in arguments.words)
        if not arguments.in_each_run or name in IN_EACH_RUN
    }
    if not chosen:
        parser.error(f"no instant has {' or '.join(arguments.words)} in its name: {', '.join(INSTANTS)}")
    failed = []
    with TemporaryDirectory() as folder:
        library = shifted_clock(Path(folder))
        for name, instant in chosen.items():
            print(f"{name} ({instant:%Y-%m-%d %H:%M} UTC)", flush=True)
            argv = [sys.executable, "-m", "pytest", "-q", "-n", arguments.workers, "-p", "no:cacheprovider"]
            argv += ["-p", "tests.dates", "-m", "not lab and not deep"]
            if subprocess.run(argv, env=environment(library, instant), cwd=TESTS.parent, check=False).returncode:
                failed.append(name)
    for name in failed:
        print(f"FAILED ON {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
