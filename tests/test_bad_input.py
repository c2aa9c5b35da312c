"""Bad input gets one error that names place, value and fix, and everything else goes on.

Tested elsewhere: config (`tests/config`), replies of schedulers (`tests/connectors`), hostile names (`tests/hostile`),
a rerun of a job marked never (`tests/engine/actions`, `tests/tui/views/actions`), a terminal that is too small
(`tests/tui/views`), a read-only or full disk (`tests/invariants`).
"""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.sdk.records import SkippedRecord
from connectors.sdk.states import RunState
from console.cli.engine_process import start_engine_if_needed
from console.config.sections import Config, DependencySettings
from console.domain.incident import NEVER_RERUN
from console.domain.job import Safety
from console.domain.settings import JobSetting
from console.engine.worker import Worker
from console.store.errors import STORE_GONE
from tests.deep import few, some
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.hostile.commands import headway
from tests.hostile.console import ConsoleDriver, drive
from tests.pty.terminal import Terminal
from tests.rows import each_row

AGO = timedelta(minutes=1)
CONFIG = """
[systems.fake]
kind = "cron"
hosts = ["nowhere.invalid"]
key = { env = "NO_KEY" }
[jobs."fake/extrat"]
owner = "team"
[jobs."fake/ext*"]
owner = "team"
[services.s]
delivered_by = ["fake/load"]
deadline = "06:30"
timezone = "UTC"
"""


@contextmanager
def answering(bench: Bench) -> Iterator[None]:
    """The bench's engine answers questions and sends actions for as long as the context lasts."""
    over = threading.Event()
    parts: tuple[Worker, ...] = (bench.parts.answers, bench.parts.actions)
    threads = [threading.Thread(target=part.run, args=(bench.fence, over.is_set)) for part in parts]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for part, thread in zip(parts, threads, strict=True):
            part.wake.set()
            thread.join()


@contextmanager
def estate(folder: Path, scheduler: FakeScheduler, **changes: object) -> Iterator[Bench]:
    config: Config = dataclasses.replace(estate_config(folder, scheduler), **changes)  # type: ignore[arg-type]
    with running_bench(folder, scheduler, config) as made:
        yield made


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """`extract` feeds `load`, on which the service `supply` hangs."""
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    with estate(tmp_path, scheduler) as made:
        yield made


def remarks(bench: Bench) -> list[str]:
    done = headway(bench.url, "status", "--json")
    results: list[str] = done.data["remarks"]
    return results


# -- circles ---------------------------------------------------------------------------------------------------------
def circled() -> FakeScheduler:
    """`load` waits for `extract`, by the source; a third job is separate."""
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load", upstreams=("extract",))
    scheduler.job("other")
    return scheduler


BACK = (DependencySettings(upstream="fake/load", downstream="fake/extract"),)


def test_a_circle_of_native_and_declared_dependencies_is_named_with_its_path(tmp_path: Path) -> None:
    """No check of the config can see it: half of it is the scheduler's."""
    with estate(tmp_path, circled(), dependencies=BACK) as bench:
        bench.turn()
        path = "fake/extract → fake/load → fake/extract"
        text = f"dependency cycle: {path}. None of them counts; remove one."
        assert [text] == remarks(bench)
        assert f"\nproblems\n  {text}" in headway(bench.url, "status").out


def test_a_circle_stops_neither_the_other_jobs_nor_its_own(tmp_path: Path) -> None:
    with estate(tmp_path, circled(), dependencies=BACK) as bench:
        now = datetime.now(UTC)
        for name in ("extract", "load", "other"):
            bench.scheduler.attempt(name, name, RunState.FAILED, now - AGO)
        bench.turn()
        with bench.reads() as reads:
            assert {"fake/extract", "fake/load", "fake/other"} == {
                incident.root_job for incident in reads.incidents.list_incidents()
            }


def test_a_circle_that_is_cut_is_named_no_longer(tmp_path: Path) -> None:
    with estate(tmp_path, circled(), dependencies=BACK) as bench:
        bench.turn()
        bench.scheduler.job("load", definition_hash="without its upstream")
        bench.poller._inventory_at = 0.0
        bench.turn()
        assert [] == remarks(bench)


# -- names of config that no job has ---------------------------------------------------------------------------------
def test_a_pattern_that_matches_no_job_is_named_with_its_near_miss(tmp_path: Path) -> None:
    scheduler = FakeScheduler()
    scheduler.job("extract")
    jobs = {
        "fake/extrat": JobSetting("fake/extrat", owner="team"),
        "fake/nothing-like*": JobSetting("fake/nothing-like*", owner="team"),
    }
    with estate(tmp_path, scheduler, jobs=jobs, services={}, dependencies=()) as bench:
        bench.turn()
        assert [
            'config names "fake/extrat", and no job has that name. Did you mean fake/extract?',
            'config names "fake/nothing-like*", and no job has that name. Fix the name, or remove it.',
        ] == remarks(bench)
        assert [1] == [target["jobs"] for target in headway(bench.url, "status", "--json").data["systems"]]


def test_names_of_a_system_that_never_answered_are_no_fault(tmp_path: Path) -> None:
    with estate(tmp_path, FakeScheduler()) as bench:
        bench.turn()
        assert [] == remarks(bench)


def test_check_compares_config_with_the_jobs_of_the_store(bench: Bench, tmp_path: Path) -> None:
    bench.turn()
    config = tmp_path / "headway.toml"
    config.write_text(CONFIG)
    done = headway(bench.url, "--config", str(config), "check", "--no-probe")
    line = next(at for at, text in enumerate(CONFIG.splitlines(), 1) if "fake/extrat" in text)
    assert 1 == done.code
    assert f"{config}:{line}: " in done.out
    assert 'config names "fake/extrat", and no job has that name. Did you mean fake/extract?\n' in done.out


def test_check_reports_a_missing_store_file(bench: Bench, tmp_path: Path) -> None:
    """It ended with 0 while the engine's file had been moved away."""
    bench.turn()
    config = tmp_path / "headway.toml"
    config.write_text(CONFIG.replace("fake/extrat", "fake/extract"))
    assert 0 == headway(bench.url, "--config", str(config), "check", "--no-probe").code
    Path(bench.url).rename(tmp_path / "elsewhere.db")
    done = headway(bench.url, "--config", str(config), "check", "--no-probe")
    assert 1 == done.code
    assert STORE_GONE in done.out
    assert "store restore COPY" in done.out


def test_check_without_a_store_says_nothing_of_names(tmp_path: Path) -> None:
    config = tmp_path / "headway.toml"
    config.write_text(CONFIG)
    done = headway(str(tmp_path / "none.db"), "--config", str(config), "check", "--no-probe")
    assert (0, []) == (done.code, [line for line in done.out.splitlines() if not line.startswith("note ")])


# -- a target's own faults -------------------------------------------------------------------------------------------
def test_a_file_ignored_by_cron_as_a_whole_appears_in_status(bench: Bench) -> None:
    text = "/etc/cron.d/etl: line 7 is wrong, so cron ignores the whole file. Fix that line."
    bench.scheduler.warnings = (text,)
    bench.turn()
    assert f"fake/one: {text}" in remarks(bench)
    assert text in headway(bench.url, "status").out
    bench.scheduler.warnings = ()
    bench.turn()
    assert [] == remarks(bench)


def test_f31_a_source_that_gives_the_same_page_for_ever_is_cut_off_and_named(bench: Bench) -> None:
    bench.turn()
    before = bench.scheduler.polls
    bench.scheduler.more = True
    bench.turn()
    assert bench.scheduler.polls - before < 5
    with bench.reads() as reads:
        (target,) = reads.estate.systems()
    assert "the same page again" in target.error
    bench.scheduler.more = False
    bench.turn()
    with bench.reads() as reads:
        assert "" == reads.estate.systems()[0].error


def test_systems_shows_what_to_fix_in_a_target_and_in_the_config(tmp_path: Path) -> None:
    """Records skipped once stay reported, and are worse than a file that cron ignores: no missed run is proved."""
    text = "evidence incomplete: line 3: no time"
    scheduler = circled()
    scheduler.skipped = (SkippedRecord("line 3", "no time"),)
    scheduler.warnings = ("/etc/cron.d/etl is ignored by cron",)
    with estate(
        tmp_path, scheduler, dependencies=BACK, jobs={"fake/extrat": JobSetting("fake/extrat", owner="team")}
    ) as bench:
        bench.turn()

        async def steps(console: ConsoleDriver) -> None:
            await console.pilot.press("5")
            await console.see("2 to fix in the config: headway status")
            await console.see(text)

        drive(bench.url, steps, (150, 24))


# -- reruns that must not be -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("more", [(), ("--yes",), ("--dry-run",)], ids=str)
def test_a_rerun_of_a_job_marked_never_is_refused_by_the_command(tmp_path: Path, more: tuple[str, ...]) -> None:
    scheduler = FakeScheduler()
    scheduler.job("extract")
    never = {"fake/extract": JobSetting("fake/extract", owner="team", rerun=Safety.NEVER)}
    with estate(tmp_path, scheduler, jobs=never, services={}, dependencies=()) as bench:
        bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - AGO)
        bench.turn()
        with answering(bench):
            for line in (("rerun", "fake/extract"), ("recover", "INC-0001")):
                done = headway(bench.url, *line, *more)
                assert 4 == done.code
                assert f"fake/extract: {NEVER_RERUN}" in done.err
                assert "nothing was sent" in done.err
        with bench.reads() as reads:
            assert ([], []) == (bench.scheduler.acted, list(reads.actions.list_actions()))


# -- names that are typed --------------------------------------------------------------------------------------------
@each_row(
    "line, code, text",
    [
        (("stauts",), 2, 'unknown command "stauts"; did you mean "status"?'),
        (("xyzzy",), 2, 'unknown command "xyzzy"; headway --help lists the commands'),
        (("job", "fake/extrct"), 6, '"fake/extrct" not found; did you mean fake/extract?'),
        (("run", "extrct"), 6, "did you mean fake/extract?"),
        (("rerun", "fake/laod"), 6, "did you mean fake/load?"),
        (("job", "zzzz"), 6, '"zzzz" not found; headway job list lists what there is'),
        (("why", "zzzz"), 6, '"zzzz" not found; headway job list lists what there is'),
        (("service", "zzzz"), 6, '"zzzz" not found; headway service lists what there is'),
        (("system", "zzzz"), 6, '"zzzz" not found; headway system lists what there is'),
        (("system", "probe", "zzzz"), 6, '"zzzz" not found; headway system lists what there is'),
        (("datacheck", "zzzz"), 6, '"zzzz" not found; headway datacheck lists what there is'),
        (("incident", "view"), 2, "the following arguments are required: INCIDENT"),
        (("rerun",), 2, "the following arguments are required: JOB"),
        (("service", "suply"), 6, "did you mean supply?"),
        (("incident", "INC-0999"), 6, '"INC-0999" not found'),
        (("incident", "INC-x"), 2, '"INC-x" is not an incident; write INC-0001'),
        (("job", "id:99999999999999999999"), 6, '"id:99999999999999999999" not found'),
        (("job", "list", "--limit", "-3"), 2, "argument --limit: '-3' "),
        (("log", "fake/extract", "--run", "9" * 30), 2, "argument --run: '999"),
    ],
)
def test_a_name_that_is_not_there_is_refused_with_its_near_miss(
    bench: Bench, line: tuple[str, ...], code: int, text: str
) -> None:
    bench.turn()
    done = headway(bench.url, *line)
    assert (code, "") == (done.code, done.out)
    assert text in done.err


# -- stores that cannot be used --------------------------------------------------------------------------------------
def newer(folder: Path) -> Path:
    """A store as a Headway 99 leaves it."""
    path = folder / "newer.db"
    with running_bench(folder, FakeScheduler(), estate_config(folder, FakeScheduler())):
        pass
    (folder / "headway.db").rename(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value = '9999' WHERE name = 'schema'")
    connection.execute("UPDATE meta SET value = '99.0' WHERE name = 'version'")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    return path


def folder_in_its_place(folder: Path) -> Path:
    path = folder / "store-is-a-folder"
    path.mkdir()
    return path


def no_database(folder: Path) -> Path:
    path = folder / "notes.txt"
    path.write_text("this is a shopping list, not a database\n" * 100)
    return path


def other_database(folder: Path) -> Path:
    path = folder / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE people (name TEXT)")
    connection.commit()
    connection.close()
    return path


def damaged(folder: Path) -> Path:
    """A store of which a page in the middle was overwritten: its head is as it was."""
    with running_bench(folder, FakeScheduler(), estate_config(folder, FakeScheduler())) as bench:
        bench.turn()
    path = folder / "headway.db"
    whole = bytearray(path.read_bytes())
    whole[4096 : len(whole)] = b"\xa5" * (len(whole) - 4096)
    path.write_bytes(whole)
    for beside in ("-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)
    return path


STORES = {
    "newer": (newer, ("schema 9999", "99.0", "Install")),
    "folder": (folder_in_its_place, ("store-is-a-folder is a folder. Fix: name the file of the store in it: ",)),
    "text": (no_database, ("notes.txt", "headway store restore COPY --replace", "or name another store")),
    "damaged": (damaged, ("headway.db", "malformed", "headway store restore COPY --replace")),
    "foreign": (other_database, ("other.db",)),
}


def engine(store: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    config = folder / "estate.toml"
    config.write_text('[systems.hosts]\nkind = "cron"\nhosts = ["nowhere.invalid"]\nkey = { env = "NO_KEY" }\n')
    argv = [sys.executable, "-m", "console", "--config", str(config), "--store", str(store), "engine", "--with-parent"]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@each_row("name", STORES)
def test_a_store_that_cannot_be_used_is_named_and_left_as_it_is(tmp_path: Path, name: str) -> None:
    make, texts = STORES[name]
    store = make(tmp_path)
    before = store.read_bytes() if store.is_file() else b""
    for line in (
        ("status",),
        (
            "job",
            "list",
        ),
        ("incident", "1"),
        ("engine", "stop"),
    ):
        done = headway(str(store), *line)
        assert (2, "") == (done.code, done.out)
        assert [] == [text for text in texts if text not in done.err]
        assert 1 == len(done.err.splitlines())
    assert before == (store.read_bytes() if store.is_file() else b"")


@pytest.mark.deep
@pytest.mark.parametrize("name", some(STORES, "newer", "damaged"))
def test_the_engine_refuses_a_store_that_it_cannot_use(tmp_path: Path, name: str) -> None:
    make, texts = STORES[name]
    store = make(tmp_path)
    before = store.read_bytes() if store.is_file() else b""
    done = engine(store, tmp_path)
    assert (2, "") == (done.returncode, done.stdout)
    assert [] == [text for text in texts if text not in done.stderr]
    assert "Traceback" not in done.stderr
    assert before == (store.read_bytes() if store.is_file() else b"")


@pytest.mark.deep
@pytest.mark.parametrize("name", ["newer", "text"])
def test_the_console_says_in_its_banner_why_it_cannot_read_the_store(tmp_path: Path, name: str) -> None:
    make, texts = STORES[name]
    argv = [sys.executable, "-m", "console", "--store", str(make(tmp_path)), "console", "--no-engine"]
    with Terminal(argv, (160, 20)) as terminal:
        terminal.wait_for(lambda text: "the store cannot be read" in text and texts[0] in text)


def test_the_console_starts_no_engine_on_a_store_from_a_newer_version(tmp_path: Path) -> None:
    message = start_engine_if_needed(str(newer(tmp_path)), tmp_path / "headway.toml").message
    assert message.startswith("engine not started: ")
    assert "schema 9999" in message
    assert not (tmp_path / "engine.log").exists()


@pytest.mark.deep
def test_an_engine_that_ends_at_once_is_not_reported_as_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "console.cli.engine_process.STARTUP_FAULT_SECONDS", 60.0
    )  # a busy machine is slower to start it
    config = tmp_path / "headway.toml"
    config.write_text('[systems.fake]\nkind = "crn"\n')
    message = start_engine_if_needed(f"sqlite:///{tmp_path / 'headway.db'}", config).message
    assert message.startswith("the engine exited at once (")
    assert '"crn"' in message


@each_row("command", ["status", "engine stop", "freeze", "store backup x"])
def test_a_store_of_an_unknown_scheme_is_refused_and_becomes_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = headway("mysql://u:PASSWORD@x/y", *command.split())
    assert (2, "") == (done.code, done.out)
    assert '--store: a store is a file or a postgresql:// URL; "mysql://" is neither' in done.err
    assert "PASSWORD" not in done.err
    assert [] == list(tmp_path.iterdir())


def test_a_store_that_is_not_there_yet_says_what_makes_it(tmp_path: Path) -> None:
    done = headway(str(tmp_path / "headway.db"), "status")
    assert (2, "") == (done.code, done.out)
    assert 'start "headway engine"; it creates the store' in done.err


# -- a reader that goes away -----------------------------------------------------------------------------------------
@pytest.mark.deep
@pytest.mark.parametrize("line", few(["job list", "job list --json", "status", "status --json"], 1))
def test_f64_a_reader_that_goes_away_ends_the_command_silently(tmp_path: Path, line: str) -> None:
    scheduler = FakeScheduler()
    for number in range(2_000):
        scheduler.job(f"a_job_with_a_rather_long_name_{number:05d}")
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as bench:
        bench.scheduler.warnings = tuple(f"warning {number} " + "x" * 280 for number in range(20))
        bench.turn()
        command = f"{sys.executable} -m console --store {bench.url} {line} --limit 5000"
        command = command if line.startswith("job list") else command.removesuffix(" --limit 5000")
        shell = f'set -o pipefail; {command} 2>"$ERRORS" | true; echo "${{PIPESTATUS[0]}}"'
        errors = tmp_path / "errors"
        done = subprocess.run(
            ["bash", "-c", shell], capture_output=True, text=True, check=False,
            env={**os.environ, "ERRORS": str(errors)},
        )  # fmt: skip
    assert ("141\n", "") == (done.stdout, errors.read_text())


@pytest.mark.deep
@pytest.mark.parametrize(
    "command, environment, code, text",
    [
        ("connector list >/dev/full", {}, 1, "headway: the output cannot be written: No space left on device"),
        ("job findings --help", {"PYTHONIOENCODING": "ascii"}, 0, ""),
        ("job findings --help", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, 0, ""),
    ],
)
def test_output_that_cannot_be_written_costs_no_traceback(
    command: str, environment: dict[str, str], code: int, text: str
) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m console {command}"],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip
    assert (code, text) == (done.returncode, done.stderr.strip())
