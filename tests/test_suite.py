"""`tools/test.sh`: whoever sees only the end of what it prints knows what failed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = """
from pathlib import Path

import pytest


def test_works() -> None:
    pass


def test_works_the_second_time() -> None:
    been = Path(__file__).with_name("been")
    if not been.exists():
        been.touch()
        raise AssertionError


@pytest.mark.parametrize("word", ["a - b", "c"])
def test_never_works(word: str) -> None:
    assert "c" == word
"""


def suite(path: Path) -> tuple[int, list[str]]:
    """Its exit status, and the lines that it printed on what lies at the path."""
    argv = [str(ROOT / "tools" / "test.sh"), str(path)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=100)
    return done.returncode, done.stdout.splitlines()


def test_the_last_lines_name_what_failed_and_what_failed_once(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    status, lines = suite(tmp_path)
    *_, once, broken, counted = lines
    assert (1, "3 passed, 1 failed, 0 skipped") == (status, counted)
    assert once.startswith("failed and then passed: ")
    assert once.endswith("test_some.py::test_works_the_second_time")
    assert broken.startswith("FAILED ")
    assert broken.endswith("test_some.py::test_never_works[a - b]")


def test_a_session_that_breaks_off_is_a_failure_with_a_name(tmp_path: Path) -> None:
    (tmp_path / "test_gone.py").write_text("import os\n\nos._exit(0)\n")
    status, lines = suite(tmp_path)
    assert (1, "FAILED chosen: the session broke off; it stands above") == (status, lines[-2])
    assert "0 passed, 1 failed, 0 skipped" == lines[-1]
