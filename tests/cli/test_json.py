"""With --json stdout is one JSON document and nothing else, whatever becomes of the command."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from console.cli.exits import Exit
from tests.cli.lines import LINES, NO_JSON, all_lines, unknown
from tests.cli.test_recover import at_work
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.hostile.commands import Done, headway
from tests.rows import each_row

CONFIG = '[systems.fake]\nkind = "cron"\nhosts = ["nowhere.invalid"]\nkey = { env = "NO_KEY" }\n'


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A store with an incident, a plan and a parked alert's room; its engine answers."""
    folder = tmp_path_factory.mktemp("json")
    (folder / "headway.toml").write_text(CONFIG)
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    with running_bench(folder, scheduler, estate_config(folder, scheduler)) as made:
        scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1), message="exit 1")
        made.turn()
        with at_work(made):
            yield made


def run_with_json(bench: Bench, folder: Path, line: tuple[str, ...], *more: str, seconds: str = "0") -> Done:
    run = bench.reads().jobs.job("fake/extract").row.run_id
    formats = [term.format(job="fake/extract", run=run, folder=folder) for term in (*line[0].split(), *line[1:])]
    timeout = () if "--timeout" in line or line[0] not in WAITING else ("--timeout", seconds)
    return headway(bench.url, "--config", str(folder / "headway.toml"), *formats, *timeout, *more)


WAITING = (
    "recover",
    "plan",
    "plan pause",
    "rerun",
    "job start",
    "run cancel",
    "run skip",
    "run mark-ok",
    "plan backfill",
    "hold add",
    "hold release",
)


def test_every_command_supports_json_or_states_why_not() -> None:
    assert set() == unknown()
    assert set() == set(LINES) & set(NO_JSON)


@each_row("line", all_lines()[1::8], ids=" ".join)
def test_stdout_is_one_json_document(bench: Bench, tmp_path: Path, line: tuple[str, ...]) -> None:
    check_document(bench, tmp_path, line)


@pytest.mark.deep
@each_row("line", all_lines(), ids=" ".join)
def test_stdout_is_one_json_document_for_every_line(bench: Bench, tmp_path: Path, line: tuple[str, ...]) -> None:
    check_document(bench, tmp_path, line, seconds="0.5")


def check_document(bench: Bench, tmp_path: Path, line: tuple[str, ...], seconds: str = "0") -> None:
    (tmp_path / "headway.toml").write_text(CONFIG)
    done = run_with_json(bench, tmp_path, line, "--json", seconds=seconds)
    answer = done.data  # raises for anything that is no JSON
    assert done.out.isascii()
    assert answer is not None
    if isinstance(answer, dict) and "error" in answer:
        assert {"exit", "name", "message"} == set(answer["error"])
        assert (done.code, Exit(done.code).name) == (answer["error"]["exit"], answer["error"]["name"])
        assert answer["error"]["message"].splitlines()[0] in done.err
    else:
        assert done.code in (Exit.OK, Exit.PROBLEM, Exit.NO_ENGINE, Exit.UNKNOWN), done.err


@pytest.mark.parametrize(
    "line", [("nope", "--json"), ("job list", "--odd", "--json"), ("store grants", "--json", "--odd")]
)
def test_a_usage_error_is_reported_in_json_too(bench: Bench, tmp_path: Path, line: tuple[str, ...]) -> None:
    done = run_with_json(bench, tmp_path, line)
    assert (2, 2, "USAGE") == (done.code, done.data["error"]["exit"], done.data["error"]["name"])


def test_a_missing_store_is_reported_in_json(tmp_path: Path) -> None:
    done = headway(str(tmp_path / "none.db"), "status", "--json")
    assert (done.code, True) == (done.data["error"]["exit"], "none.db" in done.data["error"]["message"])
    assert 0 != done.code


def test_a_refusal_includes_the_known_data_beside_the_error(bench: Bench, tmp_path: Path) -> None:
    """Without --yes and without a terminal nothing is sent, and the preview is still printed."""
    done = run_with_json(bench, tmp_path, ("rerun", "{job}", "--json"))
    assert ("USAGE", True) == (done.data["error"]["name"], "summary" in done.data)
