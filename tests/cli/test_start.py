"""`headway job start`: starts a job once, now, with the given parameters; shows a preview, stores no secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.sdk import registry
from connectors.sdk.states import Capability, RunState, Verb
from console.cli.exits import Exit
from console.timing.clock import real_now
from tests.cli.test_run_verbs import headway
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler


@pytest.fixture
def able(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A scheduler that starts jobs and takes a conf with it."""
    scheduler = FakeScheduler(capabilities=frozenset(Capability), takes={Verb.START: frozenset({"conf"})})
    scheduler.job("extract")
    monkeypatch.setattr(registry, "load", lambda kind: scheduler.kind())
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as bench:
        bench.turn()
        yield bench


def runs_well(bench: Bench) -> None:
    """What is started runs under its key, and ends well."""

    def act(key: str) -> None:
        bench.scheduler.attempt("extract", "s1", RunState.SUCCEEDED, real_now(), action_key=key, period_key=None)

    bench.scheduler.on_act = act


def test_a_start_is_shown_with_its_conf_sent_once_and_verified(able: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    runs_well(able)
    texts = ("--conf", "day=2026-11-19", "--conf", '{"limit": 5}', "--yes", "--why", "the late file")
    assert Exit.OK == headway(able, "job", "start", "fake/extract", *texts)
    output = capsys.readouterr()
    assert "native start: start extract" in output.out
    assert "verified: succeeded (native)" == output.out.splitlines()[-1]
    assert [("start", "extract")] == able.scheduler.done
    assert {"day": "2026-11-19", "limit": 5} == able.scheduler.specs[-1].parameters["conf"]
    with able.store.read() as connection:
        [detail] = [row[0] for row in connection.rows("SELECT detail FROM audit WHERE verb = 'request start'")]
    assert {"conf": {"day": "2026-11-19", "limit": 5}} == json.loads(detail)["parameters"]


def test_a_dry_run_shows_it_and_sends_nothing(able: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.OK == headway(able, "job", "start", "extract", "--conf", "a=1", "--dry-run", "--json")
    assert '"takes": [' in capsys.readouterr().out
    assert {"a": 1} == able.scheduler.specs[-1].parameters["conf"]
    assert [] == able.scheduler.done


@pytest.mark.parametrize(
    "conf, text",
    [
        ("password=hunter2", "password is named like a secret"),
        ('{"a": {"api_key": "hunter2"}}', "api_key is named like a secret"),
        ("hunter2", "a word has no name"),
    ],
)
def test_an_invalid_conf_is_refused_before_anything_is_sent(
    able: Bench, capsys: pytest.CaptureFixture[str], conf: str, text: str
) -> None:
    request_count = len(able.scheduler.specs)
    assert Exit.USAGE == headway(able, "job", "start", "extract", "--conf", conf, "--yes")
    output = capsys.readouterr()
    assert text in output.err
    assert "hunter2" not in output.err + output.out
    assert request_count == len(able.scheduler.specs)
    for row in _texts(able):
        assert "hunter2" not in row


def _texts(bench: Bench) -> list[str]:
    with bench.store.read() as connection:
        tables = ("audit", "action", "request")
        return [str(row) for name in tables for row in connection.rows(f"SELECT * FROM {name}")]


def test_a_secret_of_the_config_is_not_given_along(
    able: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(able.parts.secrets, "mask", lambda text: text.replace("s3cr3t-value", "•••"))
    assert Exit.REFUSED == headway(able, "job", "start", "extract", "--conf", "x=s3cr3t-value", "--yes")
    output = capsys.readouterr()
    assert "the parameters contain a secret of the config" in output.err
    assert "s3cr3t-value" not in output.err + output.out
    assert [] == [row for row in _texts(able) if "s3cr3t-value" in row]
    assert [] == able.scheduler.done


def test_a_kind_that_takes_nothing_along_says_so(able: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    able.scheduler.takes = {}
    assert Exit.USAGE == headway(able, "job", "start", "extract", "--conf", "a=1", "--dry-run")
    assert "systems of kind fake take no parameters for a start" in capsys.readouterr().err
