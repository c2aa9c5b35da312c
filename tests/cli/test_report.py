"""The monthly report as a file."""

from __future__ import annotations

from pathlib import Path

from console.cli.exits import Exit
from console.domain.report import BARS_TEXT
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.hostile.commands import headway

__all__ = ["bench"]


def test_the_report_is_a_self_contained_file(bench: Bench, tmp_path: Path) -> None:
    bench.turn()
    page = tmp_path / "report.html"
    assert Exit.OK == headway(bench.url, "report", "supply", "--month", "2026-10", "--html", str(page)).code
    text = page.read_text()
    assert "Supply plan 2026-05 to 2026-10" in text
    assert '<tr class="bars"><td data-title="month">trend</td>' in text
    assert BARS_TEXT in text
    assert ("<script" in text, 'http-equiv="refresh"' in text, "//" in text.partition("</style>")[2]) == (False,) * 3
    done = headway(bench.url, "report", "--html", str(tmp_path / "gone" / "report.html"))
    assert (Exit.USAGE, True) == (done.code, "No such file or directory; nothing was written" in done.err)


def test_a_month_that_is_not_one_is_refused(bench: Bench) -> None:
    done = headway(bench.url, "report", "--month", "2026-13")
    assert (Exit.USAGE, True) == (done.code, '"2026-13" is not a month; write it as 2026-10' in done.err)
    done = headway(bench.url, "report", "--month", "2126-10")
    assert (Exit.USAGE, True) == (done.code, "--month 2126-10 is in the future. Fix: a month up to 20" in done.err)


def test_the_service_may_be_an_option(bench: Bench) -> None:
    bench.turn()
    requested = ("report", "--month", "2026-10", "--json")
    named = headway(bench.url, *requested, "supply")
    assert (Exit.OK, True) == (named.code, '"kind": "service"' in named.out)
    for option in ("--service", "--system"):
        assert named.out == headway(bench.url, *requested, option, "supply").out
    assert Exit.USAGE == headway(bench.url, *requested, "supply", "--service", "supply").code
