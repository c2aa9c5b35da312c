"""Verbs on runs: cancel, skip, mark-ok, backfill and rerun: preview, confirmation, outcome."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.contract import NativeBackfill
from connectors.sdk.states import Capability, RunState, Verb
from console.cli import plan_draft
from console.cli.actions import chosen_code
from console.cli.exits import Exit
from console.cli.main import main
from console.timing.clock import real_now
from tests.cli.test_recover import at_work
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.lab.process import wait_until
from tests.present import present


@pytest.fixture
def able(tmp_path: Path) -> Iterator[Bench]:
    """A scheduler that can do all but set a run's state; extract has failed, load runs."""
    scheduler = FakeScheduler(capabilities=frozenset(Capability) - {Capability.MARK})
    scheduler.job("extract")
    scheduler.job("load")
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as bench:
        scheduler.attempt("extract", "a1", RunState.FAILED, present() - timedelta(minutes=2))
        scheduler.attempt("load", "b1", RunState.RUNNING, present() - timedelta(minutes=1))
        bench.turn()
        yield bench


def document(text: str) -> Any:
    """The JSON document in it; the engine, in the same process here, may log beside it."""
    return json.JSONDecoder().raw_decode(text[text.index("{\n") :])[0]


def headway(bench: Bench, *arguments: str) -> int:
    with at_work(bench):
        return main(["--store", bench.url, *arguments, "--timeout", "20"])


def ends(bench: Bench, key: str, state: RunState) -> None:
    bench.scheduler.attempt("extract", "a9", state, real_now(), action_key=key, period_key=None)


def actions(bench: Bench) -> list[tuple[str, str]]:
    with bench.reads() as reads:
        return [(action.state, action.text) for action in reads.actions.list_actions()]


def ends_cancelled(bench: Bench, *keys: str) -> None:
    """Runs whose cancel is requested end as cancelled."""

    def act(_: str) -> None:
        for key in keys:
            bench.scheduler.end(key, RunState.CANCELLED, datetime.now(UTC))

    bench.scheduler.on_act = act


def test_the_run_that_goes_on_is_cancelled_by_its_job_s_name(able: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    ends_cancelled(able, "b1")
    assert Exit.OK == headway(able, "run", "cancel", "fake/load", "--yes", "--why", "it hangs")
    output = capsys.readouterr()
    assert "native cancel: cancel load" in output.out
    assert "verified: cancelled (native)" == output.out.splitlines()[-1]
    assert "verified" not in output.err
    assert [("cancel", "load")] == able.scheduler.done


def test_a_job_of_which_nothing_runs_has_nothing_to_cancel(able: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.NOT_FOUND == headway(able, "run", "cancel", "fake/extract", "--yes")
    assert "fake/extract has no active run" in capsys.readouterr().err


@pytest.mark.parametrize("command, state", [("mark-ok", "succeeded"), ("skip", "skipped")])
def test_a_mark_that_its_scheduler_cannot_take_says_that_nothing_is_sent(
    able: Bench, capsys: pytest.CaptureFixture[str], command: str, state: str
) -> None:
    assert Exit.OK == headway(able, "run", command, "fake/extract", "--yes")
    output = capsys.readouterr().out
    assert "note      nothing is sent: this scheduler cannot set a run's result and keeps showing its own" in output
    assert f"verified: {state} (asserted by " in output
    assert [] == able.scheduler.done


@pytest.mark.parametrize("command", ["mark-ok", "skip"])
def test_what_succeeded_is_not_marked(able: Bench, capsys: pytest.CaptureFixture[str], command: str) -> None:
    able.scheduler.end("a1", RunState.SUCCEEDED, present())
    able.turn()
    assert Exit.REFUSED == headway(able, "run", command, "fake/extract", "--yes")
    assert "it succeeded already: nothing is left to mark; nothing was sent" in capsys.readouterr().err
    with able.reads() as reads:
        assert [] == list(reads.actions.list_actions())


@pytest.mark.parametrize("length", ["-1", "nan", "inf", "soon"])
def test_a_time_to_wait_that_is_none_is_a_usage_error(
    able: Bench, capsys: pytest.CaptureFixture[str], length: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--store", able.url, "run", "mark-ok", "fake/extract", "--yes", "--timeout", length])
    assert Exit.USAGE == ended.value.code
    assert f"argument --timeout: '{length}' is not a number of seconds" in capsys.readouterr().err
    with able.reads() as reads:
        assert [] == list(reads.actions.list_actions())


def test_what_is_shown_is_not_sent_before_somebody_says_so(able: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.OK == headway(able, "run", "cancel", "fake/load", "--dry-run", "--json")
    assert "native cancel" == document(capsys.readouterr().out)["verb"]
    assert Exit.USAGE == headway(able, "run", "cancel", "fake/load")
    assert [] == able.scheduler.done


def test_several_runs_are_one_plan(able: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    able.scheduler.attempt("extract", "a2", RunState.RUNNING, present())
    able.turn()
    ends_cancelled(able, "a2", "b1")
    with able.reads() as reads:
        ids = [str(reads.jobs.job(name).row.run_id) for name in ("fake/extract", "fake/load")]
    assert Exit.OK == headway(able, "run", "cancel", *ids, "--yes")
    output = capsys.readouterr()
    assert "cancel 2 runs: 2 steps" == output.out.splitlines()[0]
    assert "plan 1 done: 2 of 2 steps are over" == output.out.splitlines()[-1]


@pytest.mark.parametrize("command", ["skip", "backfill"])
def test_a_plan_confirmed_late_is_requested_again_and_a_different_one_is_not_started(
    able: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """The rerun is not sent when the run was repaired while the confirmation was open."""

    def state(name: str) -> tuple[int | None, str]:
        with able.reads() as reads:
            row = reads.jobs.job(name).row
        return row.run_id, row.state

    def late_yes(*_: object) -> bool:
        able.scheduler.attempt("extract", "a3", RunState.SUCCEEDED, present())
        wait_until(lambda: state("fake/extract")[1] == RunState.SUCCEEDED, "the engine's look")
        return True

    first, last = ((present() + timedelta(days=days)).date().isoformat() for days in (-3, 1))
    runs = [str(state(name)[0]) for name in ("fake/extract", "fake/load")]
    requests = {"skip": runs, "backfill": ["fake/extract", "--from", first, "--to", last]}[command]
    monkeypatch.setattr(plan_draft, "VALID_SECONDS", -1.0)
    monkeypatch.setattr(plan_draft, "_confirm_plan", late_yes)
    assert Exit.REFUSED == headway(able, "run" if command == "skip" else "plan", command, *requests)
    assert "the plan has changed since it was shown; nothing was sent" in capsys.readouterr().err
    assert [] == able.scheduler.done


@pytest.mark.deep
def test_a_rerun_over_a_run_that_goes_on_needs_a_choice(able: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    able.scheduler.overlap = "extract runs since 03:10"
    assert Exit.REFUSED == headway(able, "rerun", "fake/extract", "--yes")
    assert "Fix: --overlap queue waits until that run ends, --overlap allow sends it now" in capsys.readouterr().err
    assert [] == able.scheduler.done
    with at_work(able):
        assert Exit.UNKNOWN == main(
            ["--store", able.url, "rerun", "fake/extract", "--yes", "--overlap", "queue", "--timeout", "1"]
        )
        wait_until(lambda: [("requested", "queued: extract runs since 03:10")] == actions(able), "that it is queued")
    assert [] == able.scheduler.done


@pytest.mark.deep
def test_a_cancel_of_what_runs_is_not_in_its_own_way(able: Bench) -> None:
    """Whatever its connector says: it was refused with two options that it does not have."""
    able.scheduler.attempt("extract", "a2", RunState.RUNNING, present())
    able.poller.poll_once(able.fence)
    able.scheduler.overlap = "a run of it is running"
    with at_work(able):
        main(["--store", able.url, "run", "cancel", "fake/extract", "--yes", "--why", "it hangs", "--timeout", "5"])
    assert [("cancel", "extract")] == able.scheduler.done


def test_sending_prints_at_once_how_long_the_command_watches(
    able: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waits for a person's approval at its source held a script for an hour without a word."""
    text = "watching until it ends, at most 1h (--timeout); Ctrl-C stops watching only"
    monkeypatch.setattr("console.cli.requests.watch_action", lambda *_: capsys.readouterr().err.count(text))
    with at_work(able):
        assert 1 == main(["--store", able.url, "job", "start", "fake/extract", "--yes", "--timeout", "3600"])


def test_who_does_not_want_to_wait_gets_the_terminal_back_at_once(
    able: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    """The question before it is waited for all the same: with 0 seconds for that nothing was ever sent."""
    with at_work(able):
        assert Exit.UNKNOWN == main(["--store", able.url, "job", "start", "fake/extract", "--yes", "--timeout", "0"])
    error_output = capsys.readouterr().err
    assert "; not watched (--timeout 0); the action goes on" in error_output


@pytest.mark.deep
def test_the_choice_counts_beside_ones_own_rerun_too(able: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """The first one waits; a second one by choice waits behind it, and is not sent over what has not been sent."""
    able.scheduler.overlap = "extract runs since 03:10"
    again = ["--store", able.url, "rerun", "fake/extract", "--yes", "--timeout", "1", "--overlap"]
    with at_work(able):
        assert Exit.UNKNOWN == main([*again, "queue"])
        assert Exit.UNKNOWN == main([*again, "queue"])
        assert 2 == capsys.readouterr().err.count("withdraw it: headway action withdraw")
        assert Exit.REFUSED == main([*again, "allow"])
    assert "it is requested; withdraw it with: headway action withdraw headway-" in capsys.readouterr().err
    assert [] == able.scheduler.done


def test_one_that_may_overlap_by_choice_is_sent(able: Bench) -> None:
    able.scheduler.overlap = "extract runs since 03:10"
    able.scheduler.on_act = lambda key: ends(able, key, RunState.SUCCEEDED)
    assert Exit.OK == headway(able, "rerun", "fake/extract", "--yes", "--overlap", "allow")
    assert [("rerun", "extract")] == able.scheduler.done


def test_a_backfill_is_shown_with_what_it_leaves_out(able: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    first, last = (present() - timedelta(days=3)).date().isoformat(), (present() + timedelta(days=1)).date().isoformat()
    assert Exit.OK == headway(able, "plan", "backfill", "fake/extract", "--from", first, "--to", last, "--dry-run")
    assert "backfill fake/extract: 1 period:" in capsys.readouterr().out
    assert Exit.OK == headway(able, "plan", "backfill", "fake/load", "--from", first, "--to", last, "--json")
    result = document(capsys.readouterr().out)
    assert ([], None) == (result["steps"], result["number"])
    assert result["excluded"][0]["why"].endswith("is running")
    assert Exit.PROBLEM == headway(able, "plan", "backfill", "fake/load", "--from", "2026-01-01", "--to", "2026-01-02")
    assert "  note       no run of it is known on these dates, and without a schedule" in capsys.readouterr().out


def test_a_range_that_ends_before_it_starts_is_refused(able: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.USAGE == headway(able, "plan", "backfill", "fake/extract", "--from", "2026-11-20", "--to", "2026-11-19")
    assert "--to 2026-11-19 is before --from 2026-11-20" in capsys.readouterr().err


def test_a_rerun_says_what_of_the_run_is_to_run_again(able: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.OK == headway(able, "rerun", "extract", "--scope", "all", "--dry-run")
    assert {"scope": "all"} == dict(able.scheduler.specs[-1].parameters)
    headway(able, "rerun", "extract", "--dry-run")
    assert {} == dict(able.scheduler.specs[-1].parameters)
    capsys.readouterr()


def test_the_newest_code_is_requested_only_where_versions_exist(
    able: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    request_count = len(able.scheduler.specs)
    assert Exit.USAGE == headway(able, "rerun", "extract", "--code", "latest", "--dry-run")
    assert "systems of kind fake have no code versions" in capsys.readouterr().err
    assert request_count == len(able.scheduler.specs)
    arguments = argparse.Namespace(scope="all", code="latest")
    assert {"scope": "all", "version": "latest"} == chosen_code(arguments, "airflow")


OF_ITS_OWN = ("--from", "2026-11-12", "--to", "2026-11-14", "--native")


def test_a_native_backfill_is_requested_once_and_changed_by_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler = FakeScheduler(capabilities=frozenset(Capability), verbs={Verb.BACKFILL: "backfill"})
    scheduler.job("extract")
    parameters = {"from": "2026-11-12T00:00:00Z", "to": "2026-11-14T23:59:59Z", "reprocess": "none", "at_once": 2}
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as bench:
        bench.turn()
        assert Exit.OK == headway(bench, "plan", "backfill", "fake/extract", *OF_ITS_OWN, "--at-once", "2", "--yes")
        assert "verified: found at the scheduler" in capsys.readouterr().out
        assert {"do": "create", **parameters} == dict(scheduler.specs[-1].parameters)
        assert Exit.OK == headway(bench, "plan", "backfill", "extract", "--pause", "7", "--yes")
        assert {"do": "pause", "backfill": 7} == dict(scheduler.specs[-1].parameters)
        assert [("backfill", "extract")] * 2 == scheduler.done
        assert Exit.USAGE == headway(bench, "plan", "backfill", "extract", "--native")


def test_the_backfills_of_its_own_are_listed_of_a_job_and_of_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = FakeScheduler(capabilities=frozenset(Capability), verbs={Verb.BACKFILL: "backfill"})
    scheduler.job("extract")
    monkeypatch.setattr("console.cli.plans.registry.load", lambda kind: scheduler.kind())
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as bench:
        bench.turn()
        assert Exit.OK == headway(bench, "plan", "backfill", "--list")
        assert "no native backfill in progress" in capsys.readouterr().err
        span = ("2026-11-12T00:00:00Z", "2026-11-14T00:00:00Z")
        scheduler.backfills = [NativeBackfill(7, "extr\x1b[1mact", *span, True, 2, "2026-11-20T03:00:00Z")]
        assert Exit.OK == headway(bench, "plan", "backfill", "fake/extract", "--list")
        [_, line] = capsys.readouterr().out.splitlines()
        assert ["7", "paused", "2026-11-12", "2026-11-14", "2", "2026-11-20", "03:00"] == line.split()[1:]
        assert "\x1b" not in line
        assert Exit.OK == headway(bench, "plan", "backfill", "--list", "--json")
        text = capsys.readouterr().out
        [row] = json.JSONDecoder().raw_decode(text[text.index("[\n") :])[0]
        assert ("fake", 7, True) == (row["system"], row["number"], row["paused"])
        assert [] == scheduler.done, "it only looks"
        assert Exit.USAGE == headway(bench, "plan", "backfill")
        monkeypatch.setattr(scheduler, "capabilities", frozenset[Capability]())
        monkeypatch.setattr(scheduler, "verbs", {})
        assert Exit.OK == headway(bench, "plan", "backfill", "--list"), "nobody has such a thing"


def test_a_scheduler_without_backfills_of_its_own_says_what_there_is(
    able: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Exit.REFUSED == headway(able, "plan", "backfill", "fake/extract", *OF_ITS_OWN, "--yes")
    assert "fake has no native backfill" in capsys.readouterr().err
    assert Exit.REFUSED == headway(able, "plan", "backfill", "fake/extract", "--list")
    assert "fake has no native backfill" in capsys.readouterr().err


DATES = OF_ITS_OWN[:4]


@pytest.mark.parametrize(
    "requests, text",
    [
        ((*OF_ITS_OWN, "--limit", "2"), "--limit has no effect with --native. Fix: give the exact dates"),
        ((*OF_ITS_OWN, "--unseen"), "--unseen has no effect with --native"),
        ((*DATES, "--reprocess", "failed"), "--reprocess needs --native"),
        (("--pause", "7", *DATES), "--from has no effect with --pause. Fix: omit it"),
        (("--list", "--limit", "2"), "--limit has no effect with --list"),
    ],
)
def test_an_option_that_would_say_nothing_of_a_backfill_is_refused(
    able: Bench, capsys: pytest.CaptureFixture[str], requests: tuple[str, ...], text: str
) -> None:
    """--limit 2 --native would have made all periods."""
    assert Exit.USAGE == headway(able, "plan", "backfill", "fake/extract", *requests, "--yes")
    assert text in capsys.readouterr().err
    assert [] == able.scheduler.done
