"""A second try (`tests.second_try`): what passes then is named, what fails again or cannot be tried alone stays red."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import second_try
from tests.second_try import LOST_WORKER, MAX_UNITS, PART, ROOT, Failure, Part

SUITE = """
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


@pytest.fixture(scope="module")
def night() -> None:
    if not (FOLDER / "night").exists():
        (FOLDER / "night").touch()
        raise OSError("the port is taken\\nby another process")


def test_one_observation(night: None) -> None: ...


def test_another_observation(night: None) -> None: ...


@pytest.mark.parametrize("word", ["a - b", "c"])
def test_is_late_once(word: str) -> None:
    been = FOLDER / f"been-{word}"
    is_first = not been.exists()
    been.touch()
    assert not is_first, f"{word} was late"


def test_passes() -> None: ...
"""
BROKEN = "\n\ndef test_is_broken() -> None:\n    assert 1 == 2\n"
TESTS_FAILED = int(pytest.ExitCode.TESTS_FAILED)


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a suite of its own, in the place of ours."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_some.py").write_text(SUITE)
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(second_try, "ROOT", tmp_path)
    return tmp_path


def first_try(folder: Path, *options: str) -> Path:
    """The file in which a session wrote how it ended."""
    path = folder / "build" / "fast.json"
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "tests.second_try", f"--failures={path}", *options]
    subprocess.run(argv, cwd=folder, capture_output=True, check=False)
    return path


def tried(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> int:
    """The exit status of `python -m tests.second_try PATHS`."""
    monkeypatch.setattr(sys, "argv", ["second_try", *map(str, paths)])
    return second_try.main()


def test_each_failure_is_written_once_and_passes_at_the_second_try(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = first_try(suite, "-n", "2", "--dist=loadfile")
    part = PART.validate_json(path.read_bytes())
    assert TESTS_FAILED == part.status
    assert [
        ("setup", "OSError: the port is taken"),
        ("setup", "OSError: the port is taken"),
        ("call", "AssertionError: a - b was late"),
        ("call", "AssertionError: c was late"),
    ] == [(failure.phase, failure.error) for failure in part.failures]
    assert 3 == len({failure.unit for failure in part.failures})  # tests whose set-up failed are one
    assert 0 == tried(monkeypatch, path)
    lines = capsys.readouterr().out.splitlines()
    assert "passed at the second try (3):" == lines[0]
    assert "  test_some.py::test_is_late_once[a - b] (call): AssertionError: a - b was late" == lines[3]


def test_a_test_that_fails_again_is_a_failure(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (suite / "test_some.py").write_text(SUITE + BROKEN)
    assert 1 == tried(monkeypatch, first_try(suite, "-n", "0"))
    assert "failed at the second try (4):" == capsys.readouterr().out.splitlines()[0]


def failed(count: int) -> list[Failure]:
    return [Failure(f"test_some.py::test_{number}", "call", "AssertionError") for number in range(count)]


@pytest.mark.parametrize(
    "part, reason",
    [
        (Part(TESTS_FAILED, failed(MAX_UNITS + 1)), f"{MAX_UNITS + 1} tests failed"),
        (Part(TESTS_FAILED, []), "failed without a failed test"),
        (Part(int(pytest.ExitCode.INTERRUPTED), failed(1)), "ended with status 2"),
        (Part(TESTS_FAILED, [Failure("test_some.py::test_1", LOST_WORKER, "worker 'gw0' crashed")]), "crashed"),
        (Part(TESTS_FAILED, [Failure("test_some.py", "collect", "SyntaxError: invalid syntax")]), "SyntaxError"),
        (None, "fast: has no record"),
        (Part(), "ended with status 3"),
        (Part(int(pytest.ExitCode.OK), []), "no test has failed"),
    ],
    ids=["too many", "unknown", "interrupted", "a worker", "collection", "no record", "an internal error", "only lint"],
)
def test_what_is_no_accident_gets_no_second_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: Part | None, reason: str
) -> None:
    path = tmp_path / "fast.json"
    if part is not None:
        path.write_bytes(PART.dump_json(part))
    monkeypatch.setattr(second_try, "again", lambda part: pytest.fail("it was tried"))
    assert 1 == tried(monkeypatch, path)
    printed = capsys.readouterr().out
    assert printed.startswith("no second try:")
    assert reason in printed
