"""`headway status --html`: the page that the engine publishes, written once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from console.cli.exits import CommandError, Exit
from console.cli.main import main
from console.cli.output import write_page
from tests.engine.bench import Bench
from tests.engine.conftest import bench

__all__ = ["bench"]


def test_the_page_is_written_whole_or_not_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "board.html"
    place.write_text("old")
    write_page("new", str(place))
    assert "new" == place.read_text()
    assert [place] == list(tmp_path.iterdir())
    place.unlink()
    place.mkdir()
    with pytest.raises(CommandError, match="nothing was written"):
        write_page("new", str(place))
    assert [place] == list(tmp_path.iterdir()), "what could not be moved is gone"
    write_page("seen", "-")
    assert "seen" == capsys.readouterr().out


def test_the_command_writes_the_page_and_says_where_no_engine_keeps_it_true(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1))
    bench.turn()
    place = tmp_path / "board.html"
    assert Exit.OK == main(["--store", bench.url, "status", "--html", str(place)])
    text = place.read_text()
    assert "Supply plan" in text
    assert "No engine is running" not in text
    assert "fake/extract" not in text, "nothing from inside"
    assert Exit.USAGE == main(["--store", bench.url, "status", "--html", str(tmp_path / "none" / "board.html")])
    assert "No such file or directory; nothing was written" in capsys.readouterr().err
    with bench.store.write(None) as connection:
        connection.rows("UPDATE lease SET holder = '', until_us = 0")
    assert Exit.NO_ENGINE == main(["--store", bench.url, "status", "--html", str(place)])
    assert '<h1 class="bad">No engine is running: this page is stale</h1>' in place.read_text()
