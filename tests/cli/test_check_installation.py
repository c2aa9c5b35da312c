"""`headway check --installation`: what is missing is a problem with its fix, and no problem ends the checks early."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from connectors.sdk.contract import Probe, SourcePermission
from connectors.sdk.errors import AccessRefused
from console.cli.exits import Exit
from console.cli.main import main
from console.diagnosis.installation import Installation, Level, Problem
from console.diagnosis.probes import ProbeResult
from console.diagnosis.store import clock
from console.diagnosis.targets import clocks
from tests.corpus import HOSTILE
from tests.deep import few
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.hostile.commands import Done, headway
from tests.hostile.world import harmful

__all__ = ["bench"]

CONFIG = """
[systems.hosts]
kind = "cron"
hosts = ["db07"]
key = { env = "NO_KEY" }
"""


def check(store: str, folder: Path, *arguments: str, config: str = CONFIG) -> Done:
    (folder / "headway.toml").write_text(config)
    return headway(store, "--config", str(folder / "headway.toml"), "check", "--installation", *arguments)


def problems_of(done: Done, subject: str) -> list[tuple[str, str, str]]:
    return [
        (problem["level"], problem["text"], problem["fix"])
        for problem in done.data["problems"]
        if problem["subject"] == subject
    ]


def test_without_anything_it_says_how_to_begin(tmp_path: Path) -> None:
    done = headway(
        str(tmp_path / "none.db"), "--config", str(tmp_path / "none.toml"), "check", "--installation", "--json"
    )
    assert Exit.PROBLEM == done.code
    [(level, text, _)] = problems_of(done, "config")
    assert ("PROBLEM", True) == (level, 'none.toml: no such file. Fix: "headway init" writes one' in text)
    assert [("note", True)] == [(pair[0], "there is no store at" in pair[1]) for pair in problems_of(done, "store")]
    text = "no engine of this version has run on this store"
    assert [("PROBLEM", text, "headway engine")] == problems_of(done, "engine")


def test_a_missing_config_is_reported_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The store that it would name is not reported too."""
    assert Exit.PROBLEM == main(["--config", str(tmp_path / "none.toml"), "check", "--installation"])
    assert 1 == capsys.readouterr().out.count("PROBLEM")


def test_a_healthy_estate_is_reported_section_by_section(bench: Bench, tmp_path: Path) -> None:
    bench.turn()
    Path(bench.url).chmod(0o600)
    done = check(bench.url, tmp_path, "--no-probe", "--json")
    assert ["ok"] == [pair[0] for pair in problems_of(done, "store")]
    assert ["note", "ok"] == [pair[0] for pair in problems_of(done, "engine")][:2]
    assert [("note", "see docs/security.md")] == [(pair[0], pair[2]) for pair in problems_of(done, "config")][:1]
    assert Exit.OK == done.code


def test_a_store_readable_by_others_is_a_problem_with_a_fix(bench: Bench, tmp_path: Path) -> None:
    Path(bench.url).chmod(0o644)
    faults = [
        pair
        for pair in problems_of(check(bench.url, tmp_path, "--no-probe", "--json"), "store")
        if pair[0] == "PROBLEM"
    ]
    assert [f"chmod 600 {bench.url}"] == [fault[2] for fault in faults]


def test_no_engine_is_a_fault(bench: Bench, tmp_path: Path) -> None:
    connection = sqlite3.connect(bench.url)
    connection.execute("DELETE FROM lease")
    connection.commit()
    connection.close()
    assert ("PROBLEM", "headway engine") == problems_of(check(bench.url, tmp_path, "--no-probe", "--json"), "engine")[
        0
    ][::2]


def test_every_config_error_is_reported(bench: Bench, tmp_path: Path) -> None:
    done = check(bench.url, tmp_path, config='[systems.a]\nkind = "croon"\n[jobs."b/c"]\nexpected = "soon"\n')
    assert (Exit.PROBLEM, 3) == (done.code, done.out.count("PROBLEM config: "))
    assert 'did you mean "cron"' in done.out


def test_a_newer_store_is_reported_and_the_remaining_checks_run(bench: Bench, tmp_path: Path) -> None:
    connection = sqlite3.connect(bench.url)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    done = check(bench.url, tmp_path, "--no-probe")
    assert (Exit.PROBLEM, True) == (done.code, "written by a newer Headway" in " ".join(done.out.split()))
    assert "ok      installation: headway " in done.out
    assert "engine: " not in done.out


@pytest.mark.parametrize("text", few(HOSTILE[::9], 6), ids=ascii)
def test_what_a_system_says_is_text(bench: Bench, tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AccessRefused(text)

    monkeypatch.setattr("connectors.cron.connector.CronConnector.probe", refuse)
    monkeypatch.setenv("NO_KEY", "x")
    for more in ((), ("--json",)):
        done = check(bench.url, tmp_path, *more)
        assert Exit.PROBLEM == done.code
        assert [] == harmful(done.out) + harmful(done.err)


def probed(probe: Probe, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Done, Done]:
    """The check of a host with this probe, as JSON and for people."""
    Path(bench.url).chmod(0o600)
    bench.turn()
    monkeypatch.setattr("connectors.cron.connector.CronConnector.probe", lambda *_: probe)
    monkeypatch.setenv("NO_KEY", "x")
    return check(bench.url, tmp_path, "--json"), check(bench.url, tmp_path)


def test_notes_about_a_host_are_not_problems(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rights = (SourcePermission("cron runs", False, "no cron daemon runs", "systemctl start cron"),
              SourcePermission("rerun as etl", False, "refused", needed_for="act"))  # fmt: skip
    expected = ("host key known; signed in as root", "cron's clock runs in Etc/UTC")
    data, people = probed(Probe(True, "Debian 12", rights, expected), bench, tmp_path, monkeypatch)
    assert [
        ("PROBLEM", "missing: cron runs (no cron daemon runs). Fix: systemctl start cron"),
        ("note", "cannot act: rerun as etl (refused)."),
        *(("note", text) for text in expected),
    ] == [pair[:2] for pair in problems_of(data, "hosts/db07")]
    assert (Exit.PROBLEM, 1) == (people.code, people.out.count("PROBLEM "))


def test_jobs_that_their_scheduler_refuses_are_a_problem(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended with "no problems" while `headway status` listed them: none of these jobs starts."""
    fault = "/etc/cron.d/etl: wrong owner: none of its lines runs. Fix its owner"
    data, people = probed(Probe(True, "Debian 12", faults=(fault,)), bench, tmp_path, monkeypatch)
    assert [("PROBLEM", fault)] == [pair[:2] for pair in problems_of(data, "hosts/db07")]
    assert (Exit.PROBLEM, True) == (people.code, "1 probe, 1 problem" in people.err)


def test_what_a_target_that_cannot_be_reached_says_of_itself_is_the_fault(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, people = probed(Probe(False, notes=("nobody listens",)), bench, tmp_path, monkeypatch)
    assert [("PROBLEM", "nobody listens", "")] == problems_of(data, "hosts/db07")
    assert 1 == people.out.count("PROBLEM ")


def test_a_second_engine_is_not_suggested_where_none_may_start(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = sqlite3.connect(bench.url)
    connection.execute("DELETE FROM lease")
    connection.commit()
    connection.close()
    stuck = "process 7 lives and cannot write (disk full); start no other"
    monkeypatch.setattr("console.store.queries.estate.stuck_text", lambda *_: stuck)
    [(verdict, text, fix)] = problems_of(check(bench.url, tmp_path, "--no-probe", "--json"), "engine")
    assert ("PROBLEM", f"no engine runs: {stuck}", "") == (verdict, text, fix)


def skewed(**skews: float | None) -> list[Problem]:
    results = [ProbeResult(name, "ok", "", (), (), skew) for name, skew in skews.items()]
    return list(clocks(cast(Installation, SimpleNamespace(probes=results))))


def test_a_clock_that_is_off_is_named_and_ours_where_all_others_agree() -> None:
    [problem] = skewed(a=0.3, b=-3600.0, c=None)
    assert (Level.PROBLEM, "the clock of b is -3600 s from this machine; start times use its clock") == (
        problem.level,
        problem.text,
    )
    [own] = skewed(a=3601.0, b=3599.0)
    assert (Level.PROBLEM, True) == (own.level, "this machine's clock is off" in own.text)
    assert ["3 systems within 2.0 s of this machine"] == [problem.text for problem in skewed(a=0.0, b=1.0, c=2.0)]
    assert [] == skewed(a=None)


@pytest.mark.parametrize("skew_seconds, expected", [(-3600.0, "-3600 s"), (3600.0, "+3600 s"), (0.4, None)])
def test_f23_a_store_whose_clock_is_off_is_a_fault(skew_seconds: float, expected: str | None) -> None:
    def store_now_us() -> float:
        return (datetime.now(UTC).timestamp() + skew_seconds) * 1e6

    reads = SimpleNamespace(link=SimpleNamespace(real_now_us=store_now_us))
    problems = list(clock(cast(Installation, SimpleNamespace(read_store=lambda query: query(reads)))))
    assert [Level.PROBLEM] * (expected is not None) == [problem.level for problem in problems]
    assert all(f"the clock of the store is {expected} from this machine" in problem.text for problem in problems)
