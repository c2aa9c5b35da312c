"""Bad config changes nothing (I10): an engine that works goes on with what it read, one that starts touches nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from console.cli.main import main
from tests.invariants.engines import running
from tests.invariants.worlds import World
from tests.lab.process import wait_until
from tests.store.ready import open_ready

GOOD = """\
[estate]
store = "headway.db"
[systems.night]
kind = "replay"
as = "cron"
system = "etl-hosts"
night = "night.json"
actions = "actions.jsonl"
clock_file = "clock.json"
[services.revenue]
delivered_by = ["night/db07:load"]
deadline = "07:30"
timezone = "Europe/Berlin"
"""
BAD = {
    "half written": GOOD[: len(GOOD) // 2],
    "an unknown key": GOOD + 'deadlin = "07:30"\n',
    "an unknown system": GOOD.replace('"night/db07:load"', '"nigth/db07:load"'),
    "an empty file": "",
    "not text": "\udcff\udcfe",
    "gone": None,
}


def write(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_i10_an_engine_with_bad_config_starts_nothing_and_leaves_the_store_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    config, store = tmp_path / "headway.toml", tmp_path / "headway.db"
    open_ready(str(store)).close()
    before = (store.read_bytes(), store.stat().st_mtime_ns)
    write(config, text)
    assert 2 == main(["--config", str(config), "engine"])
    error_output = capsys.readouterr().err
    assert (True, True) == (str(config) in error_output, "the engine was not started" in error_output)
    assert before == (store.read_bytes(), store.stat().st_mtime_ns)
    assert {"headway.db", *(["headway.toml"] if text is not None else [])} == set(os.listdir(tmp_path))


def test_i10_an_engine_with_bad_config_makes_no_store(tmp_path: Path) -> None:
    config = tmp_path / "headway.toml"
    write(config, BAD["an unknown key"])
    assert 2 == main(["--config", str(config), "engine"])
    assert ["headway.toml"] == os.listdir(tmp_path)


def test_i10_config_that_turns_bad_under_an_engine_changes_nothing(tmp_path: Path) -> None:
    """Also with a new lease it keeps the estate that it started with."""
    config = tmp_path / "headway.toml"
    write(config, GOOD)
    good = World(tmp_path, "good")
    with running(tmp_path, good, lease=2) as engine:
        wait_until(lambda: len(good.polled) > 2, "its polls")
        write(config, BAD["half written"])
        with engine.store.write(None) as connection:
            connection.rows("UPDATE lease SET fence = fence + 1, holder = '', until_us = 0")
        wait_until(lambda: engine.rows("SELECT fence FROM lease") == [(3,)], "the lease to be taken again")
        good.fail("extract")
        wait_until(lambda: bool(engine.sink.got), "the alert")
        with engine.reads() as reads:
            assert (["supply"], ["good"]) == (
                [service.name for service in reads.services.list_services()],
                [target.system for target in reads.estate.systems()],
            )
