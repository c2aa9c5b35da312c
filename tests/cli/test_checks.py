"""`headway datacheck`: the last result and the next check time; `--now` runs the check in the engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from console.cli.main import main
from tests.cli.test_audit import answering
from tests.engine.checks.test_check_runner import ROWS, World, world
from tests.hostile.commands import headway
from tests.present import present


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, ROWS, ready=()) as result:
        result.bench.parts.checks = result.checks
        answers = result.bench.parts.answers
        answers._engine = replace(answers._engine, run_check=result.checks.run_now)
        yield result


def test_checks_that_never_ran_say_so(made: World) -> None:
    shown = headway(made.bench.url, "datacheck")
    assert (0, True) == (shown.code, "never" in shown.out)
    assert "headway datacheck rows --now" in headway(made.bench.url, "datacheck", "rows").out


def test_the_list_shows_each_result_and_its_next_run(made: World) -> None:
    made.step()
    [check] = headway(made.bench.url, "datacheck", "--json").data
    assert ("rows", "passed", "120 rows", []) == (
        check["name"],
        check["last"]["state"],
        check["last"]["text"],
        check["waits"],
    )
    ahead = datetime.fromisoformat(check["next_at"]) - datetime.fromisoformat(check["last"]["at"])
    assert timedelta(minutes=5) == ahead
    assert "120 rows" in headway(made.bench.url, "datacheck").out


def test_running_a_check_now_goes_through_the_engine_and_a_failure_is_a_problem(made: World) -> None:
    made.data.measurement = type(made.data.measurement)(rows=3)  # type: ignore[call-arg]
    yesterday = (present() - timedelta(days=1)).date().isoformat()
    with answering(made.bench):
        done = headway(made.bench.url, "datacheck", "rows", "--now", "--date", yesterday)
        there = headway(made.bench.url, "datacheck", "rows", "--now", "--date", yesterday, "--json").data
    assert (1, f"rows {yesterday}: failed: 3 rows, fewer than 100\n") == (done.code, done.out)
    assert ({"rows": 3}, "failed") == (there["measured"], there["state"])
    again = headway(made.bench.url, "datacheck", "rows", "--date", yesterday)
    assert (1, True) == (again.code, "3 rows, fewer than 100" in again.out)


def test_an_unknown_check_name_is_refused_with_a_near_match(made: World) -> None:
    done = headway(made.bench.url, "datacheck", "row")
    assert (6, True) == (done.code, "rows" in done.err), done.err


def test_without_an_engine_no_check_runs(made: World) -> None:
    with made.bench.store.write(None) as connection:
        connection.rows("UPDATE lease SET until_us = 0")
    assert 3 == headway(made.bench.url, "datacheck", "rows", "--now").code


def test_headway_check_uses_the_connection_of_every_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "headway.toml"
    (tmp_path / "there.csv").write_text("x")
    config.write_text(f"""
[systems.dwh]
kind = "pg_cron"
host = "127.0.0.1"
port = 9
user = "x"
[checks.there]
kind = "file"
path = "{tmp_path}/there.csv"
[checks.table]
kind = "sql"
system = "dwh"
table = "t"
rows = {{ min = 1 }}
""")
    main(["--config", str(config), "check", "--timeout", "2"])
    lines = capsys.readouterr()
    shown = [line.split() for line in lines.out.splitlines()]
    assert ["check", "there", "ok", "–"] in shown
    assert ["check", "table", "unreachable", "–"] in shown
    assert "check table: 127.0.0.1:9/postgres as x: " in lines.out
