"""`headway why NAME`: over the store as it is, without an engine."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from connectors.contract import State
from console.cli.exits import Exit
from console.cli.main import main
from tests.engine.bench import Bench
from tests.engine.conftest import bench

__all__ = ["bench"]


def test_a_failed_job_says_why_with_its_evidence_and_what_to_do(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.scheduler.attempt("extract", "a1", State.FAILED, datetime.now(UTC) - timedelta(minutes=1))
    bench.turn()
    assert Exit.OK == main(["--store", bench.url, "why", "fake/extract"])
    told = capsys.readouterr().out
    assert "fake/extract\n  failed      is failed for " in told
    assert "evidence native" in told
    assert "to act on: fake/extract, failed: headway rerun fake/extract" in told


def test_the_document_has_the_whole_chain(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.scheduler.attempt("extract", "a1", State.RUNNING, datetime.now(UTC) - timedelta(minutes=1))
    bench.turn()
    assert Exit.OK == main(["--store", bench.url, "why", "fake/extract", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert ("fake/extract", "running", 0) == (told["job"], told["reasons"][0]["kind"], told["reasons"][0]["depth"])


def test_a_name_that_nothing_has_is_not_found(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.turn()
    assert Exit.NOT_FOUND == main(["--store", bench.url, "why", "fake/extrakt"])
    assert "fake/extract" in capsys.readouterr().err
