"""The suite at another hour than that of whoever runs it: a deadline of tomorrow is told with its day."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = ("cli/test_extend.py", "cli/test_why.py")
"""Small files whose services are due two hours from now, and which read what a person is told of it."""
LATE = datetime(2026, 12, 31, 22, 10, tzinfo=UTC)
COMPILER = shutil.which("cc")


@pytest.fixture(scope="module")
def shifted_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if COMPILER is None:
        pytest.skip("no cc to build tests/fakes/shifted_clock.c with")
    built = tmp_path_factory.mktemp("clock") / "shifted_clock.so"
    source = HERE / "fakes" / "shifted_clock.c"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", built, source, "-ldl"], check=True, timeout=60)
    return built


@pytest.mark.deep
def test_what_is_told_of_a_deadline_holds_where_it_is_of_the_next_day_month_and_year(shifted_clock: Path) -> None:
    ahead = int((LATE - datetime.now(UTC)).total_seconds())
    known = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    shifted = {**known, "LD_PRELOAD": str(shifted_clock), "SHIFT_SECONDS": str(ahead)}
    looked = [sys.executable, "-c", "import datetime; print(datetime.datetime.now(datetime.UTC).isoformat())"]
    shown = subprocess.run(looked, env=shifted, capture_output=True, text=True, check=True, timeout=60).stdout
    assert LATE - timedelta(seconds=1) <= datetime.fromisoformat(shown.strip()) < LATE + timedelta(minutes=2)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(str(HERE / name) for name in FILES)]
    done = subprocess.run(argv, env=shifted, cwd=HERE.parent, capture_output=True, text=True, timeout=280)
    assert 0 == done.returncode, done.stdout[-8000:]
