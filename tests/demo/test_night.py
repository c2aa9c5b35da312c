"""The demo's night as data: made by its script, of the size and shape that the story needs, quiet but for the story."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from connectors.replay.client import SentAction, load_night
from connectors.replay.parse import JobKey, ReplayNight, job_key
from connectors.replay.world import ReplayAttempt, world
from connectors.sdk.states import RunState
from console.config.loading import load_config
from console.config.sections import Config
from console.control.snapshot.estimates import quantile
from console.demo.playback import CONFIG_FILE, NIGHT_FILE, DemoPlayback, moment, set_up
from tests.demo import estate, generate, story


@pytest.fixture(scope="module")
def night() -> ReplayNight:
    return load_night(NIGHT_FILE)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    play = DemoPlayback(tmp_path_factory.mktemp("demo"))
    set_up(play, moment("03:11"), 20.0).close()
    return load_config(play.config)


def minutes(night: ReplayNight, name: str, share: float) -> float:
    """A quantile of the last sixty successes before the story, in minutes."""
    ended = [
        (attempt.ended_at - attempt.started_at) / timedelta(minutes=1)
        for attempt in world(night, (), night.starts)
        if attempt.job == job_key(name)
        and attempt.started_at
        and attempt.ended_at
        and attempt.ending
        and not attempt.ending.state.is_red
    ]
    assert len(ended) >= 60
    return quantile(ended[-60:], share)


def rerun(name: str, clock: str) -> SentAction:
    night = load_night(NIGHT_FILE)
    [script] = [run for run in night.scripts if run.job == job_key(name)]
    return SentAction("headway-0000000001", script.job, script.run, moment(clock))


def outcome(night: ReplayNight, name: str, clock: str, *actions: SentAction) -> tuple[RunState, bool]:
    """State and freshness of the last attempt of the story's run."""
    [script] = [run for run in night.scripts if run.job == job_key(name)]
    shown = [
        attempt
        for attempt in world(night, actions, moment(clock))
        if (attempt.job, attempt.run) == (script.job, script.run)
    ]
    ending = shown[-1].ending
    assert ending is not None
    return ending.state, ending.fresh


def test_the_files_are_what_the_script_makes() -> None:
    assert generate.night_document() == json.loads(json.dumps(generate.document()))
    assert estate.config_text() == CONFIG_FILE.read_text()


def test_the_file_is_small_and_the_estate_large_enough() -> None:
    assert os.path.getsize(NIGHT_FILE) < 400_000
    assert len(estate.JOBS) >= 40
    assert 5 == len(estate.SERVICES)
    assert 10 <= len([job for job in estate.JOBS if job.tasks])


def test_the_config_has_no_fault_and_names_only_jobs_that_the_night_has(config: Config, night: ReplayNight) -> None:
    names = {"/".join(key) for key in night.jobs}
    assert set() == set(config.jobs) - names
    assert set() == {name for setting in config.dependencies for name in (*setting.feeding, setting.downstream)} - names
    assert set() == {name for settings in config.services.values() for name in settings.delivered_by} - names
    assert {"replay"} == {system.kind.kind for system in config.systems.values()}


@pytest.mark.parametrize("name, median, ninety", [
    (story.EXTRACT, 14, 23),
    (story.LOAD, 12, 19),
    (story.SUPPLY, 22, 31),
    (story.PLAN, 38, 57),
])  # fmt: skip
def test_the_history_gives_the_figures_that_the_clocks_of_the_story_come_from(
    night: ReplayNight, name: str, median: float, ninety: float
) -> None:
    """refresh_supply must find the load green at 04:40, so green-by is 19 min and act-by 23 min more before that."""
    assert median == pytest.approx(minutes(night, name, 0.5), abs=0.3)
    assert ninety == pytest.approx(minutes(night, name, 0.9), abs=0.3)


def test_nothing_but_the_story_is_red_in_the_two_nights_before_it_and_after(night: ReplayNight) -> None:
    since = night.starts - timedelta(hours=60)
    red = {
        attempt.job
        for attempt in world(night, (), night.until, since)
        if attempt.ending and attempt.ending.state.is_red
    }
    assert {job_key(name) for name in (story.EXTRACT, story.QUALITY, story.SETTLE)} == {
        (system, name.partition(".")[0]) for system, name in red
    }


def test_something_has_been_seen_before(night: ReplayNight) -> None:
    old = [
        attempt
        for attempt in world(night, (), night.starts)
        if attempt.ending and attempt.ending.state is RunState.FAILED
    ]
    assert 2 == len([attempt for attempt in old if attempt.job == job_key(story.EXTRACT)])
    assert len({attempt.job for attempt in old}) >= 6


def started_too_early(night: ReplayNight, since: datetime) -> list[str]:
    """Runs that started before what they read had ended, from `since` to the end of the recording."""
    shown = world(night, (), night.until, since)
    runs: dict[JobKey, list[ReplayAttempt]] = {}
    for attempt in shown:
        runs.setdefault(attempt.job, []).append(attempt)
    return [
        f"{job.name} {attempt.started_at} reads {name}"
        for job in estate.JOBS
        for name in job.reads
        for attempt in runs.get(job_key(job.name), [])
        for up in runs.get(job_key(name), [])
        if attempt.started_at and up.started_at and up.ended_at and up.started_at < attempt.started_at < up.ended_at
    ]


def test_no_run_of_the_last_nights_reads_what_is_not_there_yet(night: ReplayNight) -> None:
    """The days before the clocks went back are another matter: pg_cron's clock is GMT."""
    assert [] == started_too_early(night, night.starts - timedelta(days=20))


def test_a_restart_before_the_clock_starts_the_load_makes_all_good_by_itself(night: ReplayNight) -> None:
    early = rerun(story.EXTRACT, "03:40")
    for name in sorted(story.JOBS):
        assert (RunState.SUCCEEDED, True) == outcome(night, name, "07:00", early)


def test_without_a_restart_the_chain_reads_old_orders(night: ReplayNight) -> None:
    assert {
        story.EXTRACT: (RunState.FAILED, False),
        story.LOAD: (RunState.SUCCEEDED, False),
        story.QUALITY: (RunState.FAILED, False),
        story.SUPPLY: (RunState.SUCCEEDED, False),
        story.PLAN: (RunState.SUCCEEDED, False),
        story.REVENUE: (RunState.SUCCEEDED, False),
        story.SETTLE: (RunState.FAILED, False),
    } == {name: outcome(night, name, "07:30") for name in story.JOBS}


def test_a_late_restart_wants_each_follower_to_be_run_again(night: ReplayNight) -> None:
    late = rerun(story.EXTRACT, "04:30")
    assert (RunState.SUCCEEDED, True) == outcome(night, story.EXTRACT, "07:00", late)
    assert (RunState.SUCCEEDED, False) == outcome(night, story.LOAD, "07:00", late)


def test_no_file_of_the_machine_is_named_in_the_night() -> None:
    assert str(Path.home()) not in json.dumps(generate.night_document())
