"""`headway doctor`: what is missing is a fault with its fix, what is well is said, and nothing ends the look early."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.contract import Probe, SourcePermission
from connectors.sdk.errors import AccessRefused
from console.cli.configure import PROBLEM_VERDICT, Diagnosis, ProbeResult, diagnose_clocks, diagnose_store_clock
from console.cli.exits import Exit
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


def doctor(store: str, folder: Path, *arguments: str, config: str = CONFIG) -> Done:
    (folder / "headway.toml").write_text(config)
    return headway(store, "--config", str(folder / "headway.toml"), "doctor", *arguments)


def findings_in(done: Done, area: str) -> list[tuple[str, str, str]]:
    return [
        (finding["verdict"], finding["text"], finding["fix"])
        for finding in done.data["findings"]
        if finding["area"] == area
    ]


def test_without_anything_it_says_how_to_begin(tmp_path: Path) -> None:
    done = headway(str(tmp_path / "none.db"), "--config", str(tmp_path / "none.toml"), "doctor", "--json")
    assert (Exit.PROBLEM, False) == (done.code, done.data["healthy"])
    [(verdict, text, fix)] = findings_in(done, "config")
    assert ("PROBLEM", True) == (verdict, text.endswith("none.toml does not exist"))
    assert "headway init" in fix
    assert [("PROBLEM", "headway engine creates it")] == [(pair[0], pair[2]) for pair in findings_in(done, "store")]


def test_a_healthy_estate_is_reported_section_by_section(bench: Bench, tmp_path: Path) -> None:
    bench.turn()
    Path(bench.url).chmod(0o600)
    done = doctor(bench.url, tmp_path, "--no-probe", "--json")
    assert ["ok"] == [pair[0] for pair in findings_in(done, "store")]
    assert "ok" == findings_in(done, "engine")[0][0]
    assert ("ok", "note") == (findings_in(done, "config")[0][0], findings_in(done, "systems")[0][0])
    assert (Exit.OK, True) == (done.code, done.data["healthy"])


def test_a_store_readable_by_others_is_a_problem_with_a_fix(bench: Bench, tmp_path: Path) -> None:
    Path(bench.url).chmod(0o644)
    faults = [
        pair
        for pair in findings_in(doctor(bench.url, tmp_path, "--no-probe", "--json"), "store")
        if pair[0] == "PROBLEM"
    ]
    assert [f"chmod 600 {bench.url}"] == [fault[2] for fault in faults]


def test_no_engine_is_a_fault(bench: Bench, tmp_path: Path) -> None:
    connection = sqlite3.connect(bench.url)
    connection.execute("DELETE FROM lease")
    connection.commit()
    connection.close()
    assert ("PROBLEM", "headway engine") == findings_in(doctor(bench.url, tmp_path, "--no-probe", "--json"), "engine")[
        0
    ][::2]


def test_every_config_error_is_reported(bench: Bench, tmp_path: Path) -> None:
    done = doctor(bench.url, tmp_path, config='[systems.a]\nkind = "croon"\n[jobs."b/c"]\nexpected = "soon"\n')
    assert (Exit.PROBLEM, 3) == (done.code, done.out.count("PROBLEM config"))
    assert 'did you mean "cron"' in done.out


def test_a_newer_store_is_reported_and_the_remaining_checks_run(bench: Bench, tmp_path: Path) -> None:
    connection = sqlite3.connect(bench.url)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    done = doctor(bench.url, tmp_path, "--no-probe")
    assert (Exit.PROBLEM, True) == (done.code, "written by a newer Headway" in " ".join(done.out.split()))
    assert "--no-probe" in done.out


@pytest.mark.parametrize("text", few(HOSTILE[::9], 6), ids=ascii)
def test_what_a_system_says_is_text(bench: Bench, tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AccessRefused(text)

    monkeypatch.setattr("connectors.cron.connector.CronConnector.probe", refuse)
    monkeypatch.setenv("NO_KEY", "x")
    for more in ((), ("--json",)):
        done = doctor(bench.url, tmp_path, *more)
        assert Exit.PROBLEM == done.code
        assert [] == harmful(done.out) + harmful(done.err)


def probed(probe: Probe, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Done, Done]:
    """The doctor, as JSON and for people, of a host that says so."""
    Path(bench.url).chmod(0o600)
    bench.turn()
    monkeypatch.setattr("connectors.cron.connector.CronConnector.probe", lambda *_: probe)
    monkeypatch.setenv("NO_KEY", "x")
    return doctor(bench.url, tmp_path, "--json"), doctor(bench.url, tmp_path)


def test_notes_about_a_host_are_not_problems(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rights = (SourcePermission("cron runs", False, "no cron daemon runs", "systemctl start cron"),
              SourcePermission("rerun as etl", False, "refused", needed_for="act"))  # fmt: skip
    expected = ("host key known; signed in as root", "cron's clock runs in Etc/UTC")
    data, people = probed(Probe(True, "Debian 12", rights, expected), bench, tmp_path, monkeypatch)
    assert [
        ("PROBLEM", "hosts/db07 missing rights: missing: cron runs (no cron daemon runs). Fix: systemctl start cron"),
        ("note", "hosts/db07: cannot act: rerun as etl (refused)."),
        *(("note", f"hosts/db07: {text}") for text in expected),
    ] == [pair[:2] for pair in findings_in(data, "system")]
    assert (Exit.PROBLEM, "1 problem") == (people.code, people.out.splitlines()[-1])


def test_what_a_target_that_cannot_be_reached_says_of_itself_is_the_fault(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, people = probed(Probe(False, notes=("nobody listens",)), bench, tmp_path, monkeypatch)
    assert [("PROBLEM", "hosts/db07 unreachable: nobody listens", "")] == findings_in(data, "system")
    assert "1 problem" == people.out.splitlines()[-1]


def test_a_second_engine_is_not_suggested_where_none_may_start(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = sqlite3.connect(bench.url)
    connection.execute("DELETE FROM lease")
    connection.commit()
    connection.close()
    stuck = "process 7 lives and cannot write (the disk of the store is full); start no other"
    monkeypatch.setattr("console.store.queries.estate.stuck_text", lambda *_: stuck)
    [(verdict, text, fix)] = findings_in(doctor(bench.url, tmp_path, "--no-probe", "--json"), "engine")
    assert ("PROBLEM", f"no engine runs: {stuck}", "") == (verdict, text, fix)


def skewed(**skews: float | None) -> list[Diagnosis]:
    return list(diagnose_clocks([ProbeResult(name, "ok", "", (), (), skew) for name, skew in skews.items()]))


def test_a_clock_that_is_off_is_named_and_ours_where_all_others_agree() -> None:
    [diagnosis] = skewed(a=0.3, b=-3600.0, c=None)
    assert (PROBLEM_VERDICT, "the clock of b is -3600 s from this machine; start times use its clock") == (
        diagnosis.verdict,
        diagnosis.text,
    )
    [ours] = skewed(a=3601.0, b=3599.0)
    assert (PROBLEM_VERDICT, True) == (ours.verdict, "this machine's clock is off" in ours.text)
    assert ["3 systems within 2.0 s of this machine"] == [diagnosis.text for diagnosis in skewed(a=0.0, b=1.0, c=2.0)]
    assert [] == skewed(a=None)


@pytest.mark.parametrize("skew_seconds, expected", [(-3600.0, "-3600 s"), (3600.0, "+3600 s"), (0.4, None)])
def test_f23_a_store_whose_clock_is_off_is_a_fault(skew_seconds: float, expected: str | None) -> None:
    findings = list(diagnose_store_clock(skew_seconds))
    assert [PROBLEM_VERDICT] * (expected is not None) == [finding.verdict for finding in findings]
    assert all(f"the clock of the store is {expected} from this machine" in finding.text for finding in findings)
