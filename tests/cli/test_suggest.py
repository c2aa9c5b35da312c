"""`headway suggest`: the pairs, the evidence of one, and its way into the config."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from console.cli.exits import Exit
from console.cli.main import main
from console.config.loading import load_config
from console.domain.ids import micros
from console.store import audit
from console.store.access import os_user
from console.store.errors import StoreUnusable
from console.store.events import DatasetUse, Reported, record_lineage
from console.store.meta import set_clock
from console.store.queries import open_queries
from console.store.queries.audit import AuditRow
from console.timing.clock import ClockSetting, real_now
from tests.engine.bench import estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler

SYSTEMS = '[systems.fake]\nkind = "cron"\nhosts = [{ name = "here", local = true }]\n'
NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
LATE = (4, 11, 17, 23)
PAIR = ("fake/extract", "fake/mart")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty nights: extract ends before mart starts by its clock, but on four nights, and then mart fails."""
    folder = tmp_path_factory.mktemp("store")
    scheduler = FakeScheduler()
    for name in ("extract", "mart", "cleanup"):
        scheduler.job(name)
    midnight = NOW.replace(hour=0)
    with running_bench(folder, scheduler, estate_config(folder, scheduler, cutoff=time(12))) as made:
        with made.store.write(None) as session:
            set_clock(session, ClockSetting(NOW, real_now(), paused=True))
        for night in range(1, 31):
            is_late = night in LATE
            for name, begins, minutes in (("extract", 3, 90 if is_late else 40), ("mart", 4, 10), ("cleanup", 1, 5)):
                start = midnight - timedelta(days=night) + timedelta(hours=begins)
                end = start + timedelta(minutes=minutes, seconds=night)
                state = RunState.FAILED if name == "mart" and is_late else RunState.SUCCEEDED
                scheduler.attempt(name, f"{name}{night}", state, start, ended_at=end)
        made.turn()
    return folder / "headway.db"


def suggest(store: Path, config: Path, *arguments: str, code: Exit = Exit.OK) -> None:
    assert code == main(["--config", str(config), "--store", str(store), "suggest", *arguments])


def decisions(store: Path) -> list[AuditRow]:
    with open_queries(str(store)) as queries:
        entries = queries.audit.list_entries()
    return [entry for entry in entries if entry.verb.endswith(" dependency")]


def test_a_decision_that_cannot_be_audited_changes_no_config(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "headway.toml"
    path.write_text(SYSTEMS)

    def full(*_: object) -> None:
        raise StoreUnusable("the disk is full")

    monkeypatch.setattr(audit, "append", full)
    suggest(store, path, *PAIR, "--reject", code=Exit.USAGE)
    assert "nothing was added, as the audit log cannot be written: the disk is full" in capsys.readouterr().err
    assert SYSTEMS == path.read_text()


def test_a_pair_is_listed_with_its_violations(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suggest(store, tmp_path / "headway.toml", "--json")
    (pair,) = json.loads(capsys.readouterr().out)
    assert PAIR == (pair["upstream"], pair["downstream"])
    late = [f"{NOW - timedelta(days=night + 1):%Y-%m-%d}" for night in sorted(LATE, reverse=True)]  # ended at noon
    assert late == pair["violated"]
    assert (30, 4, 0) == (pair["nights"], pair["harmed"], pair["harmed_otherwise"])
    assert 1 / math.comb(30, 4) == pytest.approx(pair["p"])
    assert 30 * 60 <= pair["delay_with_hold_s"] <= 31 * 60
    suggest(store, tmp_path / "headway.toml")
    assert "harmed on 4 of 4 violated nights and on 0 of 26 others" in capsys.readouterr().out


def test_each_run_of_an_hourly_job_is_read_and_the_first_of_a_daily_one(tmp_path: Path) -> None:
    scheduler = FakeScheduler()
    for name in ("hourly", "daily", "each_minute"):
        scheduler.job(name)
    midnight = NOW.replace(hour=0)
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler, cutoff=time(23))) as made:
        with made.store.write(None) as session:
            set_clock(session, ClockSetting(NOW, real_now(), paused=True))
        starts = [("hourly", 60 * hour) for hour in range(8)] + [("each_minute", minute) for minute in range(60)]
        starts += [
            ("daily", minute - 1_440 * night) for night in range(3) for minute in ((60, 300) if not night else (60,))
        ]
        for name, minute in starts:
            start = midnight + timedelta(minutes=minute)
            key = f"{name}@{start:%Y-%m-%dT%H:%M}"
            scheduler.attempt(name, key, RunState.SUCCEEDED, start, period_key=key)
        made.turn()
        jobs, _ = made.reads().lineage.nights(NOW - timedelta(days=9))
    read = {job.name.rpartition("/")[2]: [run.started for run in job.runs] for job in jobs}
    assert {"hourly", "daily"} == read.keys()
    assert [midnight + timedelta(hours=hour) for hour in range(8)] == read["hourly"]
    assert [midnight + timedelta(days=-night, hours=1) for night in (2, 1, 0)] == read["daily"]


def test_a_pair_is_accepted_into_the_config(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "headway.toml"
    path.write_text(SYSTEMS)
    suggest(store, path, *PAIR)
    shown = capsys.readouterr().out
    assert "4 starts would have waited for the upstream" in shown
    assert '[[dependencies]]\nupstream = "fake/extract"\n' in shown
    suggest(store, path, *PAIR, "--accept")
    [entry] = decisions(store)
    assert ("accept dependency", "fake/extract -> fake/mart", {"file": str(path)}) == (
        entry.verb, entry.object, entry.detail
    )  # fmt: skip
    assert (os_user(), NOW) == (entry.actor, entry.at)
    (added,) = load_config(path).dependencies
    assert ("fake/extract", "fake/mart", "observe") == (added.upstream, added.downstream, added.mode)
    assert path.read_text().startswith(SYSTEMS.rstrip())


def test_a_rejected_pair_is_not_suggested_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pairs by datasets take the same way as pairs by time buffers."""
    scheduler, path = FakeScheduler(), tmp_path / "headway.toml"
    for name in ("extract", "mart"):
        scheduler.job(name)
    path.write_text(SYSTEMS)
    config = estate_config(tmp_path, scheduler)
    with running_bench(tmp_path, scheduler, config) as made:
        made.turn()
        seen_us = micros(made.reads().now())
        with made.store.write(made.fence) as session:
            ids: dict[str, int] = dict(session.rows("SELECT native_id, id FROM job"))
            uses = [DatasetUse(ids["extract"], True, "file/a"), DatasetUse(ids["mart"], False, "file/a")]
            record_lineage(session, [(use, Reported("https://example.com", seen_us)) for use in sorted(uses)], [])
        capsys.readouterr()
        suggest(tmp_path / "headway.db", path, "--json")
        [pair] = json.loads(capsys.readouterr().out)
        assert (*PAIR, None, "file/a") == (
            *map(pair.get, ("upstream", "downstream", "nights")),
            pair["datasets"][0]["name"],
        )
        suggest(tmp_path / "headway.db", path, *PAIR, "--reject")
        assert ["reject dependency"] == [entry.verb for entry in decisions(tmp_path / "headway.db")]
        declared = load_config(path).declared
        assert (PAIR,) == declared.rejected_dependencies
        made.config = replace(made.config, declared=declared)
        made.restart()
        suggest(tmp_path / "headway.db", path)
        assert "no shared datasets" in capsys.readouterr().out


def test_a_config_folder_gets_a_file_of_its_own(store: Path, tmp_path: Path) -> None:
    (tmp_path / "systems.toml").write_text(SYSTEMS)
    suggest(store, tmp_path, *PAIR, "--accept")
    assert "fake/mart" in (tmp_path / "dependencies.toml").read_text()
    assert SYSTEMS == (tmp_path / "systems.toml").read_text()


def test_a_pair_that_would_make_the_config_invalid_leaves_it_as_it_was(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "headway.toml"
    before = f'{SYSTEMS}\n[[dependencies]]\nupstream = "fake/mart"\ndownstream = "fake/extract"\n'
    path.write_text(before)
    recorded = decisions(store)
    suggest(store, path, *PAIR, "--accept", code=Exit.USAGE)
    assert recorded == decisions(store)
    shown = capsys.readouterr().err
    assert "1 problem in the config" in shown
    assert f"{path}:" in shown
    assert before == path.read_text()
    assert [path] == [*tmp_path.iterdir()]


def test_another_pair_or_a_lone_job_is_refused_with_a_fix(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suggest(store, tmp_path / "headway.toml", "fake/cleanup", "fake/mart", code=Exit.NOT_FOUND)
    assert "no suggestion from fake/cleanup to fake/mart" in capsys.readouterr().err
    suggest(store, tmp_path / "headway.toml", "fake/mart", code=Exit.USAGE)
    assert "headway suggest UPSTREAM DOWNSTREAM" in capsys.readouterr().err
