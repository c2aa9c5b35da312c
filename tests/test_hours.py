"""The suite at another hour than now: a deadline of tomorrow is shown with its day."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LATE = datetime(2026, 12, 31, 22, 10, tzinfo=UTC)
MIDNIGHT = datetime(2028, 3, 1, 0, 0, 5, tzinfo=UTC)
HOURS: dict[str, tuple[datetime, tuple[str, ...]]] = {
    "a deadline of the next day, month and year": (LATE, ("cli/test_extend.py", "cli/test_why.py")),
    "runs of some minutes ago, which are of the day before": (
        MIDNIGHT, ("cli/test_handover.py", "engine/evaluation/test_regrouping.py", "engine/api/test_log_difference.py"),
    ),
}  # fmt: skip
"""What differs at that hour, and small files that would tell otherwise then."""
COMPILER = shutil.which("cc")


@pytest.fixture(scope="module")
def shifted_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if COMPILER is None:
        pytest.skip("tests/fakes/shifted_clock.c needs a C compiler: apt-get install gcc libc6-dev")
    built = tmp_path_factory.mktemp("clock") / "shifted_clock.so"
    source = HERE / "fakes" / "shifted_clock.c"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", built, source, "-ldl"], check=True, timeout=60)
    return built


@pytest.mark.deep
@pytest.mark.parametrize("what", HOURS)
def test_the_suite_holds_at_another_hour(shifted_clock: Path, what: str) -> None:
    hour, files = HOURS[what]
    ahead = int((hour - datetime.now(UTC)).total_seconds())
    known = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    shifted = {**known, "LD_PRELOAD": str(shifted_clock), "SHIFT_SECONDS": str(ahead)}
    command = [sys.executable, "-c", "import datetime; print(datetime.datetime.now(datetime.UTC).isoformat())"]
    shown = subprocess.run(command, env=shifted, capture_output=True, text=True, check=True, timeout=60).stdout
    assert hour - timedelta(seconds=1) <= datetime.fromisoformat(shown.strip()) < hour + timedelta(minutes=2)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(str(HERE / name) for name in files)]
    done = subprocess.run(argv, env=shifted, cwd=HERE.parent, capture_output=True, text=True, timeout=280)
    assert 0 == done.returncode, done.stdout[-8000:]
