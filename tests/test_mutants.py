"""The table of mutants fits the code, and a run that ends without an answer kills none of them."""

from __future__ import annotations

import pytest

from tests import mutants
from tests.rows import each_row
from tests.second_try import LOST_WORKER, Failure, Part

TEST = "tests/test_a.py::test_b"


def test_the_text_of_each_mutant_is_in_its_file_once() -> None:
    assert [] == mutants.unfit(mutants.MUTANTS)


@each_row(
    "status, phase, verdict",
    [
        (pytest.ExitCode.OK, "", mutants.SURVIVED),
        (pytest.ExitCode.TESTS_FAILED, "call", mutants.KILLED),
        (pytest.ExitCode.INTERRUPTED, "setup", mutants.KILLED),  # by -x of pytest-xdist
        (pytest.ExitCode.INTERRUPTED, "collect", mutants.FAULT),
        (pytest.ExitCode.TESTS_FAILED, LOST_WORKER, mutants.FAULT),
        (pytest.ExitCode.NO_TESTS_COLLECTED, "", mutants.FAULT),
    ],
)
def test_only_a_failed_test_kills(status: int, phase: str, verdict: str) -> None:
    assert verdict == mutants.judged(Part(status, [Failure(TEST, phase, "broken")] if phase else []))[0]
