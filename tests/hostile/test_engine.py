"""The engine on hostile answers: nothing is lost without a word, and its own log is lines of ASCII."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import structlog

from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.secrets import SecretStore
from console.engine.supervisor.log_setup import set_up_logs
from tests.corpus import ESC
from tests.hostile.commands import headway
from tests.hostile.world import TWINS, WORST, World, harmful, running_world


def test_the_unreadable_part_of_an_inventory_is_reported_where_a_person_sees_it(world: World) -> None:
    with world.bench.reads() as reads:
        (target,) = reads.estate.systems()
    assert "[bold]" in target.warnings[0]
    assert target.skipped > 0


def test_a_name_too_long_to_be_stored_is_named_as_not_watched(tmp_path: Path) -> None:
    with running_world(tmp_path, ["x" * 1_001, *TWINS]) as world, world.bench.reads() as reads:
        (target,) = reads.estate.systems()
        warnings = [warning for warning in target.warnings if "longer than 1,000 bytes" in warning]
        assert [f"{'x' * 60}…: its name is longer than 1,000 bytes; it is not watched"] == warnings
        assert len(TWINS) == target.jobs


def test_an_error_of_a_target_is_shown_harmlessly_everywhere(tmp_path: Path) -> None:
    with running_world(tmp_path, list(TWINS)) as world:
        world.bench.scheduler.refuse = SystemUnreachable(f"{WORST}: no route")
        world.turn()
        for line in (
            ("status",),
            ("status", "--json"),
            (
                "incident",
                "list",
            ),
            ("incident", "1"),
        ):
            done = headway(world.url, *line)
            assert [] == harmful(done.out) + harmful(done.err)
        with world.bench.reads() as reads:
            (target,) = reads.estate.systems()
        assert target.error.endswith("no route")
        assert [] == harmful(target.error)


def test_the_engines_log_is_one_line_of_ascii_json_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    try:
        set_up_logs(SecretStore())
        log = structlog.get_logger("headway.test")
        log.info("names", names=[WORST], job=WORST)
        try:
            raise ValueError(WORST)
        except ValueError:
            log.exception("broke")
    finally:
        structlog.configure(**before)
    text = capsys.readouterr().err
    assert text.isascii()
    assert [] == harmful(text)
    assert ["names", "broke"] == [json.loads(line)["event"] for line in text.splitlines()]


@pytest.mark.parametrize("name", [f"{ESC}]0;owned\x07", "[bold]", "'; DROP TABLE job; --"])
def test_config_that_names_no_job_says_so_harmlessly(world: World, name: str) -> None:
    done = headway(world.url, "job", f"hostile/none{name}")
    assert 6 == done.code
    assert [] == harmful(done.err)
