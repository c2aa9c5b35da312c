"""`headway log JOB --follow` prints what is written until the run ends, from each page of its log."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from console.cli import requests, runs
from console.cli.exits import Exit
from console.cli.main import main
from console.domain.run import RunView
from console.engine.api.queue import RequestAnswer
from console.engine.api.requests import ReadLog
from tests.tui.fake_reads import FakeReads

Page = dict[str, Any]


class Source:
    """An engine that answers one page after the other; the run has ended once the last one was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pages: Sequence[Page], state: str = "running") -> None:
        self.pages, self.asked, self.state = list(pages), list[str | None](), state
        reads = FakeReads()
        self.name = next(job.name for job in reads.jobs_ if job.run_id is not None and "extract_orders" in job.name)
        self.view = reads.runs.run(reads.jobs.job(self.name).row.run_id or 0)
        monkeypatch.setattr(runs, "store_reader", self._reader)
        monkeypatch.setattr(requests, "store_reader", self._reader)
        monkeypatch.setattr(runs, "EngineClient", lambda _: self)
        monkeypatch.setattr(runs, "store_url_of", lambda _: "")
        monkeypatch.setattr(runs, "FOLLOW_SECONDS", 0.0)
        monkeypatch.setattr(FakeReads, "run", lambda *_: self._run())

    @contextmanager
    def _reader(self, _: argparse.Namespace) -> Iterator[FakeReads]:
        yield FakeReads()

    def _run(self) -> RunView:
        state = self.state if self.pages else "succeeded"
        attempt = replace(self.view.attempts[0], state=state)
        return replace(self.view, row=replace(self.view.row, state=state), attempts=(attempt,))

    def ask(self, request: ReadLog) -> int:
        self.asked.append(request.start)
        return len(self.asked)

    def wait(self, request_id: int, seconds: float) -> None: ...

    def answer(self, request_id: int) -> RequestAnswer:
        if self.pages and isinstance(error := self.pages[0].get("raises"), type):
            raise error
        page = self.pages.pop(0) if self.pages else {"text": "", "next": None}
        return RequestAnswer(not page.get("error"), page, str(page.get("error", "")))


def test_a_running_log_is_printed_line_by_line_until_the_run_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Source(
        monkeypatch,
        [
            {"text": "one\ntw", "next": "6", "more": True},
            {"text": "o\n", "next": "8"},
            {"text": "", "next": "8"},
            {"text": "three", "next": "13"},
        ],
    )
    assert Exit.OK == main(["log", source.name, "--follow"])
    output = capsys.readouterr()
    assert "one\ntwo\nthree\n" == output.out
    assert [None, "6", "8", "8", "13"] == source.asked
    assert f"run {source.view.row.id} ended: succeeded" in output.err


def test_a_source_without_a_live_log_is_named_and_not_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Source(monkeypatch, [{"text": "so far\n", "next": None}, {}])
    monkeypatch.setattr("time.sleep", lambda _: source.pages.clear())
    assert Exit.OK == main(["log", source.name, "--follow"])
    output = capsys.readouterr()
    assert ("so far\n", [None]) == (output.out, source.asked)
    assert "sends no more of this log while it runs" in output.err


def test_a_log_that_cannot_be_read_has_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Source(monkeypatch, [{"error": "its system keeps no log that can be read"}])
    assert Exit.REFUSED == main(["log", source.name, "--follow"])
    assert "its system keeps no log that can be read" in capsys.readouterr().err


def test_ctrl_c_leaves_quietly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    source = Source(monkeypatch, [{"text": "one\n", "next": "4"}, {"raises": KeyboardInterrupt}])
    assert Exit.INTERRUPTED == main(["log", source.name, "--follow"])
    output = capsys.readouterr()
    assert ("one\n", "attempt 1\n") == (output.out, output.err)


def test_follow_prints_no_document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.USAGE == main(["log", Source(monkeypatch, []).name, "--follow", "--json"])
    assert "Fix: without --json" in capsys.readouterr().err
