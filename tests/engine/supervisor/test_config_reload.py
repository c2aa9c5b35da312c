"""A changed config file is loaded by the running engine; an unusable one is reported, and changes
nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.scaffold import write_profile
from connectors.sdk.secrets import LITERAL_REFUSED
from console.cli.main import main
from console.config.document import ConfigFaults
from console.config.loading import load_config
from console.domain.ids import new_action_key
from console.engine.api.client import EngineClient
from console.engine.api.requests import ApproveAction
from console.engine.supervisor.config_reload import ConfigWatcher
from console.store.queries import open_queries
from tests.action_requests import rerun_of
from tests.connectors.replay import nights
from tests.lab.process import HANGS_SECONDS, wait_until

PERMITTED = """\
[[permissions]]
who = ["alice"]
role = "act"
"""
OTHERS = """\
[[permissions]]
who = ["carol"]
role = "approve"
"""
ESTATE = """\
[estate]
store = "headway.db"
starts_in = "live"
[systems.hosts]
kind = "replay"
system = "hosts"
night = "{folder}/night.json"
actions = "{folder}/actions.jsonl"
clock_file = "{folder}/clock.json"
poll_every = "1s"
[services.night]
delivered_by = ["hosts/db07:calm", "hosts/db07:extract"]
deadline = "07:30"
timezone = "UTC"
tier = 1
[acting]
reason_tiers = []
approval_tiers = [1]
"""
BROKEN = '[[permissions]]\nwho = ["carol"]\nrole = "aprove"\n'
CALM, EXTRACT = "hosts/db07:calm", "hosts/db07:extract"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    nights.files(tmp_path, nights.at(20))
    path = tmp_path / "headway.toml"
    path.write_text(text_of(tmp_path, OTHERS, PERMITTED))
    return path


def text_of(folder: Path, *permissions: str) -> str:
    return ESTATE.format(folder=folder) + "".join(permissions)


def line_of_role(config: Path) -> int:
    return next(at for at, line in enumerate(config.read_text().splitlines(), 1) if "aprove" in line)


@contextmanager
def engine(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An engine process as a service unit runs it."""
    argv = [sys.executable, "-m", "console", "--config", str(config), "engine", "--with-parent"]
    argv += ["--log-file", str(config.with_suffix(".log"))]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(HANGS_SECONDS)


class Store:
    """What can be seen of the engine in its store."""

    def __init__(self, config: Path) -> None:
        self.url = str(config.with_name("headway.db"))

    def wait(self, what: str, met: Callable[[], bool]) -> None:
        wait_until(met, what)

    def runs(self, job: str = CALM) -> list[int]:
        with open_queries(self.url) as reads:
            return [run.id for run in reads.jobs.job(job).runs]

    def header(self) -> Any:
        with open_queries(self.url) as reads:
            return reads.estate.header()

    def action(self, key: str) -> tuple[str, str]:
        with open_queries(self.url) as reads:
            return next((action.state, action.text) for action in reads.actions.list_actions() if action.key == key)

    def goes_by(self, config: Path) -> bool:
        return bool(self.header().config == load_config(config).digest)

    def trouble(self) -> str:
        return str(self.header().engine.trouble)


def working(config: Path) -> Store:
    store = Store(config)
    store.wait("the engine's first poll", lambda: Path(store.url).exists() and has_runs(store))
    return store


def has_runs(store: Store) -> bool:
    from console.store.errors import StoreError

    try:
        return bool(store.runs())
    except StoreError:
        return False


def ask(store: Store, job: str) -> str:
    """A rerun that waits for somebody's approval."""
    requests, key, run_id = EngineClient(store.url), new_action_key(), store.runs(job)[0]
    answer = requests.wait(requests.preview(rerun_of(run_id)), HANGS_SECONDS)
    assert answer.ok, answer.error
    requests.act(rerun_of(run_id, answer.data), key)
    return key


def approve(store: Store, key: str) -> None:
    requests = EngineClient(store.url)
    with open_queries(store.url) as reads:
        [digest] = [approval.digest for approval in reads.approvals.list_approvals() if approval.key == key]
    answer = requests.wait(requests.ask(ApproveAction(key, digest)), HANGS_SECONDS)
    assert answer.ok, answer.error


@pytest.mark.deep
def test_a_removed_permission_permits_nothing_requested_before(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Withdrawn, then broken, then fixed, and never restarted."""

    def be(name: str) -> None:
        monkeypatch.setattr("console.store.access.os_user", lambda: name)

    with engine(config) as process:
        store = working(config)
        be("alice")
        stored, withdrawn = ask(store, EXTRACT), ask(store, CALM)
        be("carol")
        approve(store, stored)
        store.wait("the first to be sent", lambda: store.action(stored)[0] not in ("requested", "approved", "sending"))
        assert "refused" != store.action(stored)[0]

        config.write_text(text_of(config.parent, BROKEN))
        store.wait("what is broken to be told", lambda: "aprove" in store.trouble())
        place = f"{config}:{line_of_role(config)}: permissions.1.role: 'aprove' is not one of"
        assert main(["--config", str(config), "status"]) == 0
        assert place in capsys.readouterr().out.replace("\n", " ")
        assert (main(["--config", str(config), "check", "--no-probe"]), "requested") == (2, store.action(withdrawn)[0])
        error_output = capsys.readouterr().err
        assert (True, True) == (place in error_output, "config" in error_output)

        config.write_text(text_of(config.parent, OTHERS))
        store.wait("the mended config", lambda: store.goes_by(config))
        store.wait("the trouble to be over", lambda: store.header().engine.alive and not store.trouble())
        be("carol")
        approve(store, withdrawn)
        store.wait("the second to be judged", lambda: store.action(withdrawn)[0] not in ("requested", "approved"))
        state, text = store.action(withdrawn)
        assert ("refused", None) == (state, process.poll())
        assert "alice" in text
    assert 1 == config.with_name("actions.jsonl").read_text().count(stored)
    assert withdrawn not in config.with_name("actions.jsonl").read_text()


@pytest.mark.deep
def test_sighup_has_the_config_read_again_and_ends_no_service(config: Path) -> None:
    with engine(config) as process:
        store = working(config)
        before = config.stat()
        process.send_signal(signal.SIGHUP)
        config.write_text(text_of(config.parent, PERMITTED, OTHERS))  # as long as before
        os.utime(config, ns=(before.st_atime_ns, before.st_mtime_ns))
        store.wait("the config as it is now", lambda: store.goes_by(config))
        assert None is process.poll()


@pytest.mark.deep
def test_an_order_that_waits_at_a_sighup_is_sent_once(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One waits for an approval, the other for an engine that is paused as its request and the signal arrive."""
    with engine(config) as process:
        store = working(config)
        monkeypatch.setattr("console.store.access.os_user", lambda: "alice")
        waits = ask(store, EXTRACT)
        run_id, late = store.runs(CALM)[0], new_action_key()
        requests = EngineClient(store.url)
        answer = requests.wait(requests.preview(rerun_of(run_id)), HANGS_SECONDS)
        process.send_signal(signal.SIGSTOP)
        requests.act(rerun_of(run_id, answer.data), late)
        config.write_text(f"{config.read_text()}# as it was\n")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGCONT)
        store.wait("the config as it is now", lambda: store.goes_by(config))
        assert ("requested", "requested") == (store.action(waits)[0], store.action(late)[0])
        monkeypatch.setattr("console.store.access.os_user", lambda: "carol")
        for key in (waits, late):
            approve(store, key)
        waiting = {"requested", "approved", "sending"}
        store.wait("their sending", lambda: waiting.isdisjoint(store.action(key)[0] for key in (waits, late)))
        assert None is process.poll()
    acted = config.with_name("actions.jsonl").read_text()
    assert [(1, "sent")] * 2 == [(acted.count(key), store.action(key)[0]) for key in (waits, late)]


# -- the file, look by look ------------------------------------------------------------------------------------------
def test_a_file_still_being_written_is_not_loaded(config: Path) -> None:
    file = ConfigWatcher(config, own_store=True)
    began = file.config.digest
    config.write_text(text_of(config.parent))  # valid, and without the permissions that follow
    file.reload_if_changed()
    config.write_text(text_of(config.parent, OTHERS))
    file.reload_if_changed()
    assert (began, "") == (file.config.digest, file.trouble)
    file.reload_if_changed()
    assert (load_config(config).digest, 1) == (file.config.digest, len(file.config.permissions))


def test_a_file_that_is_written_while_it_is_read_is_read_again(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ConfigWatcher(config, own_store=True)
    began = file.config.digest
    config.write_text(text_of(config.parent))
    file.reload_if_changed()

    def late(path: Path) -> Any:
        result = load_config(path)
        config.write_text(text_of(config.parent, OTHERS))
        return result

    with monkeypatch.context() as patch:
        patch.setattr("console.engine.supervisor.config_reload.load_config", late)
        file.reload_if_changed()
    assert began == file.config.digest
    file.reload_if_changed()
    file.reload_if_changed()
    assert load_config(config).digest == file.config.digest


@pytest.mark.parametrize(
    "change, text",
    [
        (lambda path: path.unlink(), "no such file. Fix: "),
        (lambda path: path.write_text("[estate\n"), "headway.toml:1: is not valid TOML"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "byte 0xff"),
        (
            lambda path: path.write_text(path.read_text().replace('"headway.db"', '"other.db"')),
            'headway.toml:2: estate.store: was "headway.db" when this engine started. Fix: restore it, or restart',
        ),
    ],
)  # fmt: skip
def test_an_unusable_config_is_reported_and_the_previous_one_stays_in_use(
    config: Path, change: Callable[[Path], object], text: str
) -> None:
    good, file = config.read_text(), ConfigWatcher(config, own_store=True)
    began = file.config
    change(config)
    file.reload_if_changed()
    file.reload_if_changed()
    assert (began, True) == (file.config, text in file.trouble)
    config.write_text(good)
    file.reload_if_changed()
    file.reload_if_changed()
    assert (began.digest, "") == (file.config.digest, file.trouble)


def test_a_secret_pasted_into_the_config_is_not_printed(config: Path) -> None:
    """What is notified of the config reaches the store."""
    file = ConfigWatcher(config, own_store=True)
    pasted = '[routes.r]\nurls = ["mailto://user:CANARY@host"]\n[systems.flow]\nkind = "airflow"\npassword = "CANARY"\n'
    config.write_text(f"{config.read_text()}{pasted}")
    file.reload_if_changed()
    file.reload_if_changed()
    assert (True, False) == (LITERAL_REFUSED in file.trouble, "CANARY" in file.trouble)


def test_files_that_become_writable_for_others_are_not_read_until_that_is_fixed(config: Path) -> None:
    file = ConfigWatcher(config, own_store=True)
    config.chmod(0o666)
    config.write_text(config.read_text() + OTHERS.replace("carol", "dave"))
    file.reload_if_changed()
    file.reload_if_changed()
    assert (True, False) == (f"Fix: chmod go-w {config}" in file.trouble, "dave" in str(file.config.permissions))
    config.chmod(0o644)
    file.reload_if_changed()
    file.reload_if_changed()
    assert ("", True) == (file.trouble, "dave" in str(file.config.permissions))


PROFILED = """
[systems.nightly]
kind = "nightly.toml"
url = "https://n.example"
token = { env = "TOKEN" }
"""


def test_a_changed_profile_is_a_changed_config(config: Path) -> None:
    profile = write_profile("nightly", config.parent)
    good = profile.read_text()
    config.write_text(config.read_text() + PROFILED)
    file = ConfigWatcher(config, own_store=True)

    def titles_after(text: str) -> tuple[str, bool]:
        profile.write_text(text)
        for _ in range(3):
            file.reload_if_changed()
        return file.config.systems["nightly"].kind.title, "nightly.toml" in file.trouble

    assert ("Nightly", False) == titles_after(good)
    assert ("Renamed", False) == titles_after(good.replace('title = "Nightly"', 'title = "Renamed"'))
    assert ("Renamed", True) == titles_after("kind = ")
    assert ("Nightly", False) == titles_after(good)


def test_a_profile_that_is_new_and_bad_is_read_again_once_it_is_fixed(config: Path) -> None:
    profile = write_profile("nightly", config.parent)
    good, file = profile.read_text(), ConfigWatcher(config, own_store=True)
    profile.write_text("kind = ")
    config.write_text(config.read_text() + PROFILED)
    for text, is_used in (("kind = ", False), (good, True)):
        profile.write_text(text)
        for _ in range(3):
            file.reload_if_changed()
        assert (is_used, is_used) == ("nightly" in file.config.systems, not file.trouble)


@pytest.mark.deep
def test_files_that_do_not_answer_are_reported(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system that hangs: what changes there is taken up by nobody."""
    hangs, go, ended = threading.Event(), threading.Event(), threading.Event()

    def stuck(*_: Any) -> Any:
        hangs.set()
        go.wait(HANGS_SECONDS)
        return ()

    file = ConfigWatcher(config, own_store=True)
    monkeypatch.setattr("console.engine.supervisor.config_reload.file_states", stuck)
    monkeypatch.setattr("console.engine.worker.BEAT_TOLERANCE_SECONDS", 0.0)
    thread = threading.Thread(target=file.follow, args=(ended,))
    thread.start()
    try:
        assert hangs.wait(HANGS_SECONDS)
        wait_until(lambda: "cannot be read" in file.trouble_text(), "that it is told")
    finally:
        ended.set()
        go.set()
        thread.join(HANGS_SECONDS)


def test_a_store_that_the_command_line_names_makes_the_configs_own_one_meaningless(config: Path) -> None:
    file = ConfigWatcher(config, own_store=False)
    config.write_text(config.read_text().replace('"headway.db"', '"other.db"'))
    file.reload_if_changed()
    file.reload_if_changed()
    assert ("other.db", "") == (file.config.estate.store, file.trouble)


def test_a_file_that_joins_or_leaves_a_folder_is_a_change(config: Path) -> None:
    folder = config.with_name("headway.d")
    folder.mkdir()
    config.rename(folder / "estate.toml")
    file = ConfigWatcher(folder, own_store=True)
    (folder / "team.toml").write_text('[routes.team]\nurls = [{ env = "TEAM" }]\n')
    file.reload_if_changed()
    file.reload_if_changed()
    assert ["team"] == list(file.config.routes)
    (folder / "team.toml").unlink()
    file.reload_if_changed()
    file.reload_if_changed()
    assert [] == list(file.config.routes)


def test_an_engine_begins_with_no_config_that_has_faults(config: Path) -> None:
    config.write_text(text_of(config.parent, BROKEN))
    with pytest.raises(ConfigFaults):
        ConfigWatcher(config, own_store=True)
