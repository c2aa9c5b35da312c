"""`headway hold add`, `release`, `holds` and `gate`: their confirmations, output and exit codes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

import console
import console.cli.holds as gate_command
from connectors.sdk.states import RunState
from console.cli.exits import Exit
from console.cli.main import main
from console.store.db.read_connection import open_read_connection
from console.store.queries.completion import complete_held_jobs
from tests.engine.holds.test_holds import Night, a_night, at, repair
from tests.lab.process import HANGS_SECONDS, wait_until

JOB = "fake/load"


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    with a_night(tmp_path) as made:
        yield made


@contextmanager
def at_work(night: Night) -> Iterator[None]:
    """The engine's parts, on a thread."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.02):
            night.bench.parts.answers.step(night.bench.fence)
            night.rounds(1)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(HANGS_SECONDS)


def run(night: Night, *arguments: str) -> int:
    return main(["--store", night.bench.url, *arguments])


def test_a_person_holds_a_job_lists_it_and_lets_it_go(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    repair(night, "03:20")
    night.at("03:30").rounds()
    with at_work(night):
        assert Exit.OK == run(night, "hold", "add", JOB, "--for", "2h", "--why", "the network is moved", "--yes")
        mark = night.bench.scheduler.marks["load"]
        assert at("05:30") == mark.until
        capsys.readouterr()
        wait_until(lambda: night.hold()[0] == "held", "the hold")
        capsys.readouterr()  # what the engine logs comes here, too
        assert Exit.OK == run(night, "hold", "--json")
        [document] = json.loads(capsys.readouterr().out)
        shown = (document["job"], document["state"], document["kind"], document["key"], document["why"])
        assert (JOB, "held", "person", mark.id, "the network is moved") == shown
        assert Exit.OK == run(night, "job", JOB)
        shown_job = capsys.readouterr().out
        assert f" · held by Headway until 05:30 UTC (by {mark.by})" in shown_job.splitlines()[0]
        assert "next  –" in shown_job
        assert not {"paused", "drift"} & set(shown_job.split())
        assert Exit.OK == run(night, "rerun", JOB, "--dry-run")
        until = f"it is held by {mark.by} until 2026-11-20 05:30 UTC: the network is moved"
        assert until in capsys.readouterr().out
        assert Exit.OK == run(night, "hold")
        assert "the network is moved" in capsys.readouterr().out
        assert Exit.REFUSED == run(night, "hold", "add", JOB, "--yes")
        message = (
            f"{JOB} is held: the network is moved (hold {mark.id}, until 2026-11-20 05:30:00 UTC); nothing was sent"
        )
        assert f"headway: {message}\n" == capsys.readouterr().err
        assert Exit.OK == run(night, "hold", "release", mark.id, "--yes")
    assert {} == night.bench.scheduler.marks


@pytest.mark.parametrize(
    "length, message", [("0s", "no time at all holds nothing"), ("900d", "a hold lasts 30d at most")]
)
def test_a_hold_for_no_time_or_for_ever_is_a_usage_error(
    night: Night, capsys: pytest.CaptureFixture[str], length: str, message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(night, "hold", "add", JOB, "--for", length, "--yes")
    assert Exit.USAGE == ended.value.code
    assert f"argument --for: {length}: {message}; write 6h" in capsys.readouterr().err


def test_the_tab_key_offers_to_let_go_what_is_held_and_nothing_else(night: Night) -> None:
    with closing(open_read_connection(night.bench.url)) as link:
        assert [] == complete_held_jobs(link, "")
        night.at("03:50").rounds()
        assert "held" == night.hold()[0]
        assert ([JOB], [JOB], ["load"], []) == tuple(
            complete_held_jobs(link, text) for text in ("", "fake/", "lo", "ext")
        )


def test_a_job_without_a_hold_cannot_be_released(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.NOT_FOUND == run(night, "hold", "release", JOB, "--yes")
    assert f"headway: {JOB} is not held; headway hold lists what is\n" == capsys.readouterr().err


def test_what_cannot_be_held_is_not_shown_as_if_it_were(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    night.bench.scheduler.refused = "nothing starts it by the clock here"
    with at_work(night):
        assert Exit.REFUSED == run(night, "hold", "add", JOB, "--dry-run")
    shown = capsys.readouterr()
    assert f"headway: {JOB}: {night.bench.scheduler.refused}; nothing was sent" in shown.err.splitlines()
    assert "sends" not in shown.out


def test_a_hold_of_a_policy_says_what_it_waits_for(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    night.at("03:51").rounds()
    capsys.readouterr()
    assert Exit.OK == run(night, "hold")
    out = capsys.readouterr().out
    assert "until fake/extract is good" in out
    assert "04:00 UTC" in out


def test_a_hold_says_when_it_was_last_seen_at_its_source(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    """A release made elsewhere is known after two polls; until then the list shows its age."""
    night.at("03:51").rounds().at("03:54").rounds(1)
    del night.bench.scheduler.marks["load"]
    night.at("03:56").rounds(1)
    capsys.readouterr()
    assert Exit.OK == run(night, "hold")
    head, row = capsys.readouterr().out.splitlines()[:2]
    assert ("03:54 UTC", "held") == (row[head.upper().index("LAST SEEN") :][:9], row.split()[1])
    night.rounds(1)
    assert Exit.OK == run(night, "hold", "--all", "--json")
    [document] = json.loads(capsys.readouterr().out)
    assert ("released", None) == (document["state"], document["seen"])


def test_releasing_before_the_upstream_succeeded_warns_what_it_will_read(
    night: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    night.at("03:51").rounds()
    text = "a missed start runs anyway, on unfinished input"
    with at_work(night):
        assert Exit.OK == run(night, "hold", "release", JOB, "--dry-run")
        shown = capsys.readouterr().out
    assert text not in shown  # its own clock starts it at 04:00
    assert re.search(r"fake/extract is failed .*: its clock starts it .*04:00.*, on unfinished input", shown)
    night.at("04:05").rounds()
    with at_work(night):
        assert Exit.OK == run(night, "hold", "release", JOB, "--dry-run")
    assert f"fake/extract is failed (run extract@2026-11-20): {text}" in capsys.readouterr().out


def test_a_hold_placed_before_any_start_is_released_without_a_warning(
    night: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    """The job has no run and no business date yet; its upstream has a schedule."""
    with night.bench.store.write(None) as connection:
        connection.rows(
            "UPDATE schedule SET dialect = 'debian-cron', zone = 'UTC', expression = '17 3 * * *'"
            " WHERE job_id = (SELECT id FROM job WHERE native_id = 'extract')"
        )
    with at_work(night):
        assert Exit.OK == run(night, "hold", "add", JOB, "--for", "30m", "--yes")
        night.rounds()
        capsys.readouterr()
        assert Exit.OK == run(night, "hold", "release", JOB, "--yes")
    assert "unfinished input" not in capsys.readouterr().out
    assert {} == night.bench.scheduler.marks


def test_a_job_that_was_let_go_and_is_watched_says_so(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    night.at("03:51").rounds().at("04:05").rounds()
    repair(night, "04:10")
    night.at("04:11").rounds(4)
    [(key,)] = night.rows("SELECT key FROM hold")
    capsys.readouterr()
    text = (
        f"headway: {JOB} was released: its own start is awaited: until fake/extract is good; fake/extract"
        f" is good (hold {key}, until 2026-11-20 10:00:00 UTC); nothing was sent\n"
    )
    for verb in ("add", "release"):
        assert Exit.REFUSED == run(night, "hold", verb, JOB, "--yes")
        assert text == capsys.readouterr().err


def gate(night: Night, *arguments: str) -> int:
    return run(night, "gate", JOB, *arguments)


def test_a_gate_is_open_where_the_upstream_is_good_for_that_date(
    night: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    repair(night, "03:20")
    night.at("04:00").rounds()
    capsys.readouterr()
    assert Exit.OK == gate(night, "--timeout", "0s")
    assert f"headway gate {JOB}: open: fake/extract is good\n" == capsys.readouterr().err
    assert Exit.OK == gate(night, "--timeout", "0s", "--for", "2026-11-19")
    assert Exit.OK == gate(night, "--timeout", "0s", "--for", "2026-11-20T04:00:00Z")
    assert Exit.TIMEOUT == gate(night, "--timeout", "0s", "--for", "2026-11-20")
    assert Exit.NOT_FOUND == gate(night, "--for", "2026-11-20T04:30:00Z")


def test_a_gate_says_red_unless_it_is_repaired_in_time(
    night: Night, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gate_command, "GATE_POLL_SECONDS", 0.02)
    night.at("03:59").rounds()
    capsys.readouterr()
    assert Exit.RED == gate(night, "--timeout", "1m", "--fail-fast")
    assert f"headway gate {JOB}: closed: fake/extract is failed (run extract@2026-11-20)\n" == capsys.readouterr().err
    assert Exit.RED == gate(night, "--timeout", "0s")
    codes: list[int] = []
    waiting = threading.Thread(target=lambda: codes.append(gate(night, "--timeout", "10m")))
    waiting.start()
    repair(night, "03:59")
    night.rounds()
    waiting.join(HANGS_SECONDS)
    assert [Exit.OK] == codes


def test_a_gate_closes_on_unknown_unless_configured_to_open(
    night: Night, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gate_command, "GATE_UNKNOWN_SECONDS", 0.0)
    night.bench.scheduler.attempt("extract", "e2", RunState.RUNNING, at("03:50"), period_key="extract@2026-11-20")
    night.at("03:59").rounds()
    with night.bench.store.write(None) as connection:
        connection.rows("UPDATE lease SET holder = '', until_us = 0")
    capsys.readouterr()
    assert Exit.NO_ENGINE == gate(night, "--timeout", "0s")
    assert "closed: fake/extract is not watched: no engine works" in capsys.readouterr().err
    assert Exit.OK == gate(night, "--timeout", "1m", "--if-unknown", "open")
    assert Exit.NO_ENGINE == main(["--store", str(night.bench.folder / "none.db"), "gate", JOB, "--timeout", "0s"])


def test_a_gate_opens_for_no_date_of_which_nothing_is_proved(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    """The upstream is due daily at 16:17, then on Mondays alone; the 20th is a Friday."""

    def due(expression: str) -> None:
        with night.bench.store.write(None) as connection:
            connection.rows(
                "UPDATE schedule SET dialect = 'debian-cron', zone = 'UTC', expression = ?"
                " WHERE job_id = (SELECT id FROM job WHERE native_id = 'extract')",
                (expression,),
            )

    night.at("03:20").rounds()
    due("17 16 * * *")
    results = [gate(night, "--timeout", "0s", "--for", f"2026-11-{day}") for day in (18, 20, 21, 22)]
    assert [Exit.NO_ENGINE, Exit.TIMEOUT, Exit.TIMEOUT, Exit.TIMEOUT] == results
    assert Exit.NO_ENGINE == gate(night, "--timeout", "0s", "--for", "2020-01-01")
    capsys.readouterr()
    due("17 16 * * 1")
    assert Exit.OK == gate(night, "--timeout", "0s", "--for", "2026-11-20")
    assert f"headway gate {JOB}: open: fake/extract has no run on that date\n" == capsys.readouterr().err
    assert Exit.TIMEOUT == gate(night, "--timeout", "0s", "--for", "2027-02-28")


@pytest.mark.parametrize("typed", ["2026-13-45", "2027-02-30", "0000-01-01"])
def test_a_gate_knows_no_date_that_does_not_exist(night: Night, capsys: pytest.CaptureFixture[str], typed: str) -> None:
    with pytest.raises(SystemExit) as ended:
        gate(night, "--timeout", "0s", "--for", typed)
    assert Exit.USAGE == ended.value.code
    error_output = capsys.readouterr().err
    assert f"argument --for: '{typed}' is not a date" in error_output


@pytest.mark.deep
def test_a_gate_becomes_its_command_verbatim(night: Night) -> None:
    """No shell: shell syntax is an argument; streams and exit code are the command's own."""
    repair(night, "03:20")
    night.at("04:00").rounds()
    script = "import sys; print(sys.argv[1:], sys.stdin.read()); sys.exit(17)"
    texts = ["-c", script, "--flag", "a b", "$(id)", "--", "*"]
    done = subprocess.run(
        [sys.executable, "-m", "console", "--store", night.bench.url, "gate", JOB, "--", sys.executable, *texts],
        input="from cron", capture_output=True, text=True, env={**os.environ},
    )  # fmt: skip
    assert (17, "['--flag', 'a b', '$(id)', '--', '*'] from cron\n") == (done.returncode, done.stdout), done.stderr
    assert f"headway gate {JOB}: open: fake/extract is good\n" == done.stderr


def test_a_line_of_a_crontab_begins_with_the_gate(night: Night, tmp_path: Path) -> None:
    """As cron starts a line: a shell, no terminal, four variables; the shell expands what follows the gate."""
    repair(night, "03:20")
    night.at("04:00").rounds()
    gate_text = [sys.executable, "-m", "console", "--store", night.bench.url, "gate", JOB, "--timeout", "45m", "--"]
    line = f"{shlex.join(gate_text)} printf '%s|' \"$LOGNAME\" 'a b' > {shlex.quote(str(tmp_path / 'out'))}"
    environment = {"HOME": str(tmp_path), "LOGNAME": "etl", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
    folder = Path(console.__file__).parent.parent
    done = subprocess.run(
        ["/bin/sh", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment,
        cwd=folder, start_new_session=True,
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stdout), done.stderr
    assert "etl|a b|" == (tmp_path / "out").read_text()


def test_a_command_behind_a_shut_gate_never_starts(night: Night, tmp_path: Path) -> None:
    night.at("03:59").rounds()
    made = tmp_path / "made"
    assert Exit.RED == gate(night, "--timeout", "0s", "--", "touch", str(made))
    assert not made.exists()
    repair(night, "03:59")
    night.at("04:00").rounds()
    before = signal.getsignal(signal.SIGPIPE)
    assert Exit.USAGE == gate(night, "--", str(tmp_path / "missing"))
    assert before == signal.getsignal(signal.SIGPIPE)  # this process is not the command: a pipe that closes ends it not


def test_a_job_without_upstreams_passes(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.OK == run(night, "gate", "fake/extract", "--timeout", "0s")
    assert "open: it has no upstream" in capsys.readouterr().err


CONFIG = """
[systems.nightly]
kind = "held"
"""


def test_marks_are_listed_and_let_go_without_a_store(
    tmp_path: Path, night: Night, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The schedulers alone know; what a person paused, or another mark, is left alone."""
    from console.config import loading as configs

    monkeypatch.setattr(configs, "load_config", lambda *_: night.bench.config)
    path = tmp_path / "headway.toml"
    path.write_text(CONFIG)
    night.at("03:51").rounds()
    scheduler = night.bench.scheduler
    mark = scheduler.marks["load"]
    (night.bench.folder / "headway.db").rename(tmp_path / "gone.db")
    capsys.readouterr()
    command = ["--config", str(path), "hold", "--from-native"]
    assert Exit.OK == main([*command, "--json"])
    [document] = json.loads(capsys.readouterr().out)
    shown = (document["target"], document["job"], document["hold"], document["by"], document["where"])
    assert ("fake/one", "load", mark.id, "headway", "the notes of load") == shown
    assert Exit.USAGE == main([*command, "--release"])
    assert {"load": mark} == scheduler.marks
    assert Exit.OK == main([*command, "--release", "--yes"])
    assert {} == scheduler.marks
    assert "fake/one load: released: accepted" in capsys.readouterr().err
    (tmp_path / "gone.db").rename(night.bench.folder / "headway.db")


def test_a_mark_undone_by_a_person_is_shown_as_left_and_removed_alone(
    tmp_path: Path, night: Night, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pause that comes between the list and the send is that person's, and stays."""
    from console.config import loading as configs

    monkeypatch.setattr(configs, "load_config", lambda *_: night.bench.config)
    night.at("03:51").rounds()
    scheduler = night.bench.scheduler
    scheduler.undone.add("load")
    command = ["--config", str(tmp_path / "headway.toml"), "--store", night.bench.url, "hold", "--from-native"]
    capsys.readouterr()
    assert Exit.OK == main(command)
    assert "mark left" in capsys.readouterr().out
    scheduler.on_act = lambda _: scheduler.undone.clear()
    assert Exit.OK == main([*command, "--release", "--yes", "--why", "the engine is dead"])
    assert ({}, True) == (scheduler.marks, scheduler.jobs["load"].paused)
    assert "fake/one load: mark removed: accepted" in capsys.readouterr().err


def test_an_unreachable_target_is_named(
    tmp_path: Path, night: Night, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from console.config import loading as configs

    monkeypatch.setattr(configs, "load_config", lambda *_: night.bench.config)
    path = tmp_path / "headway.toml"
    path.write_text(CONFIG)
    night.bench.scheduler.refuse = OSError("no route to host")
    assert Exit.PROBLEM == main(["--config", str(path), "hold", "--from-native"])
    assert "fake/one could not be read: no route to host" in capsys.readouterr().out


def test_an_expired_hold_is_listed_only_on_request(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    night.at("03:51").rounds()
    night.at("10:01").rounds(6)
    night.now += timedelta(minutes=2)
    capsys.readouterr()
    run(night, "hold", "--json")
    assert [] == [document for document in json.loads(capsys.readouterr().out) if document["state"] == "released"]
    night.at("10:03").rounds()
    capsys.readouterr()
    run(night, "hold", "--all", "--json")
    [over] = [document for document in json.loads(capsys.readouterr().out) if document["state"] == "released"]
    assert re.match(r"released at \d{4}-\d\d-\d\d 10:01Z and not started; fake/extract is not good", over["detail"])
