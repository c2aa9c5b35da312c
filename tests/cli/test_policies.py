"""A policy in shadow records the repair that it would have sent, and what happened tells whether it was right. A policy
is proposed where people sent one repair often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from console.cli import commands
from console.cli.exits import Exit
from console.config import policies
from console.config.loading import load_config
from console.config.sections import Config
from console.domain.job import Safety
from console.domain.policy import Policy, PolicyMatch
from console.domain.settings import Declared
from tests.cli.test_failures import RAN, at, fail, nights, rerun
from tests.config.test_config import GOOD
from tests.engine.bench import Bench
from tests.hostile.commands import headway

FILE = "/var/spool/orders.csv"
DELAY = timedelta(minutes=9)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    full = Policy("full", "rerun", PolicyMatch(errors=("*No space left*",)))
    with nights(tmp_path, monkeypatch, Declared(policies=(full, Policy("idle", "rerun")))) as made:
        yield made


def test_the_report_says_what_a_policy_would_have_repaired_wrongly_and_needlessly(bench: Bench) -> None:
    now = fail(bench, 0, FILE)
    page = headway(bench.url, "incident", "1", "--plain").out
    assert 'policy "full" would rerun attempt 1; it is in shadow' in page
    assert [] == headway(bench.url, "action", "--json").data, "it only records"
    bench.turn()
    assert 1 == page.count("would rerun")
    assert "would have repaired 0 of 1, 1 unknown" in headway(bench.url, "policy", "report", "full").out

    at(bench, now + DELAY)
    rerun(bench, 1, now + DELAY)
    now = fail(bench, 1, FILE)
    at(bench, now + DELAY)
    rerun(bench, 2, now + DELAY, RunState.FAILED)
    now = fail(bench, 2, FILE)
    at(bench, now + RAN)
    bench.scheduler.attempt("extract", "own-retry", RunState.SUCCEEDED, now, ended_at=now + RAN)
    bench.turn()

    first, *lines = headway(bench.url, "policy", "report", "full").out.splitlines()
    assert "policy full: would have repaired 1 of 3, saved 9m, 1 wrong, 1 needless" == first
    assert [
        "INC-0003  fake/extract: rerun of attempt 1, needless",
        "INC-0002  fake/extract: rerun of attempt 1, wrong; rerun by mara after 9m",
        "INC-0001  fake/extract: rerun of attempt 1, right; rerun by mara after 9m",
    ] == [line.partition("UTC  ")[2] for line in lines if line]
    full, idle = headway(bench.url, "policy", "--json").data
    assert ("full", True, 1, 1, 540.0) == tuple(
        full[name] for name in ("policy", "is_configured", "right", "wrong", "saved_s")
    )
    assert ["needless", "wrong", "right"] == [repair["result"] for repair in full["repairs"]]
    assert ("idle", []) == (idle["policy"], idle["repairs"])
    assert "is longer than" in headway(bench.url, "policy", "--since", "800000d").err
    assert '"0d" is not before now; write 14d' in headway(bench.url, "policy", "--since", "0d").err
    assert "not found; did you mean full?" in headway(bench.url, "policy", "fulll").err


def test_a_policy_is_replayed_over_past_failures(bench: Bench) -> None:
    assert "no failed run of a watched job is kept since" in headway(bench.url, "policy", "test", "full").err
    for night, state in enumerate((RunState.SUCCEEDED, RunState.FAILED)):
        now = fail(bench, night, FILE)
        at(bench, now + DELAY)
        rerun(bench, night + 1, now + DELAY, state)
    now = fail(bench, 2, FILE)
    at(bench, now + RAN)
    bench.scheduler.attempt("extract", "own-retry", RunState.SUCCEEDED, now, ended_at=now + RAN)
    bench.turn()

    first, failures, _, *lines = headway(bench.url, "policy", "test", "full", "--since", "30d").out.splitlines()
    text = "would have repaired 1 of 3, saved 10m, 1 wrong, 1 needless; 1 stopped by its limits"
    assert f"policy full: {text}" == first
    assert failures.startswith("4 failures since ")
    assert failures.endswith("; budget: 2 wrong")
    assert [
        "INC-0003  fake/extract: rerun of attempt 1, needless",
        "INC-0002  fake/extract: rerun of attempt 1, wrong; rerun by mara after 10m",
        "INC-0001  fake/extract: rerun of attempt 1, right; rerun by mara after 10m",
    ] == [line.partition("UTC  ")[2] for line in lines]
    tight = headway(bench.url, "policy", "test", "full", "--budget", "0", "--json")
    assert (Exit.PROBLEM, True, 1, 1) == (
        tight.code,
        *(tight.data[name] for name in ("is_over_budget", "right", "wrong")),
    )
    assert Exit.OK == headway(bench.url, "policy", "test", "full", "--budget", "1").code
    assert "did you mean full?" in headway(bench.url, "policy", "test", "fulll").err
    assert '"0d" is not before now' in headway(bench.url, "policy", "test", "full", "--since", "0d").err
    assert '--since: "soon" ' in headway(bench.url, "policy", "test", "full", "--since", "soon").err


def test_a_policy_that_the_config_has_no_longer_keeps_its_report(bench: Bench) -> None:
    fail(bench, 0, FILE)
    declare(bench, replace(bench.config, declared=Declared()))
    listed = headway(bench.url, "policy").out
    assert "full (not configured)" in listed
    assert "idle" not in listed


def test_a_policy_is_proposed_for_what_a_person_reran_five_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with nights(tmp_path, monkeypatch) as bench:
        for night in range(5):
            assert "No policy to propose" in headway(bench.url, "policy", "suggest").out
            now = fail(bench, night, FILE)
            rerun(bench, night + 1, now, RunState.SUCCEEDED if night < 4 else RunState.FAILED)
        [document] = headway(bench.url, "policy", "suggest", "--json").data
        [listed] = headway(bench.url, "failure", "list", "--json").data
        assert (5, 4, {"mara": 5}, {}) == tuple(document[name] for name in ("tries", "successes", "by", "unsafe"))
        assert [listed["id"]] == document["policy"]["match"]["signatures"]
        proposed = headway(bench.url, "policy", "suggest").out
        assert f"{listed['id']}  rerun 4 of 5 by people  mara 5  failed: " in proposed
        pasted = proposed[proposed.index("[[policies]]") :]
        both = headway(bench.url, "suggest").out
        assert both.startswith("No time buffers found")
        assert pasted in both
        assert [] == headway(bench.url, "suggest", "--json").data, "dependencies only"

        file = tmp_path / "pasted.toml"
        file.write_text(f"{GOOD}\n{pasted}")
        [policy] = load_config(file).declared.policies
        match = PolicyMatch(signatures=(listed["id"],))
        assert Policy("rerun-error-no-space-left-on-device", "rerun", match) == policy

        job = replace(bench.config.jobs["fake/extract"], rerun=Safety.ASK)
        declare(bench, replace(bench.config, jobs={**bench.config.jobs, job.name: job}))
        by_card = headway(bench.url, "policy", "suggest")
        [forbidden] = headway(bench.url, "policy", "suggest", "--json").data
        declare(bench, replace(bench.config, declared=Declared(policies=(policy,))))
        assert "No policy to propose" in headway(bench.url, "policy", "suggest").out
    assert document | {"unsafe": {"fake/extract": "ask"}} == forbidden
    assert "[[policies]]" not in by_card.out
    assert f'{listed["id"]}: not proposed, as no policy reruns fake/extract (rerun = "ask").' in by_card.out
    assert "headway job fake/extract --set rerun=safe" in by_card.out


def declare(bench: Bench, config: Config) -> None:
    bench.parts.config = config
    bench.parts.config_sync.sync(bench.fence)


def test_no_policy_has_the_name_of_a_command() -> None:
    verbs = {name.removeprefix("policy ") for name in commands.COMMANDS if name.startswith("policy ")}
    assert set(policies.COMMANDS) == verbs | set(commands.IMPLIED_VERBS["policy"])
