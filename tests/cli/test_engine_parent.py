"""An engine that belongs to a command ends with it, also where the command dies while the engine is still starting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from console.store.db.lease import acquire_lease, is_alive
from tests.deep import some
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.pty.terminal import Terminal
from tests.store.ready import open_ready

CONFIG = '[systems.etl]\nkind = "cron"\nhosts = ["nowhere.invalid"]\nkey = { env = "NO_KEY" }\n'
PARENT = """
import os, signal, sys
from pathlib import Path
from console.cli.engine_process import start_tied_engine
folder = Path(sys.argv[1])
engine = start_tied_engine(str(folder / "headway.db"), folder / "headway.toml", folder / "engine.log", "--only-if-free")
print(engine.pid, flush=True)
if int(sys.argv[2]) != signal.SIGKILL:
    signal.signal(int(sys.argv[2]), signal.SIG_DFL)  # a suite in the background hands an ignored Ctrl-C on
os.kill(os.getpid(), int(sys.argv[2]))
"""
"""Dies before the new process can have loaded anything."""


@pytest.mark.deep
def test_the_log_of_an_engine_that_does_not_start_has_the_reason(tmp_path: Path) -> None:
    config, log = tmp_path / "headway.toml", tmp_path / "engine.log"
    config.write_text(CONFIG.replace("cron", "corn"))
    engine = [sys.executable, "-m", "console", "--config", str(config), "engine", "--log-file", str(log)]
    done = subprocess.run(engine, capture_output=True, check=False, text=True)
    [entry] = map(json.loads, log.read_text().splitlines())
    assert (2, "the engine was not started") == (done.returncode, entry["event"])
    assert "the config has 1 problem" in entry["error"]
    assert 'unknown kind "corn"' in entry["error"]


@pytest.mark.deep
@pytest.mark.parametrize("number", some([signal.SIGKILL, signal.SIGTERM, signal.SIGINT], signal.SIGKILL))
def test_an_engine_whose_parent_dies_while_it_starts_does_not_stay(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "headway.toml").write_text(CONFIG)
    parent = subprocess.run(
        [sys.executable, "-c", PARENT, str(tmp_path), str(int(number))], stdout=subprocess.PIPE, check=False, text=True
    )
    pid = int(parent.stdout)
    try:
        wait_until(lambda: not is_alive(pid), "the engine's end")
    finally:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
    assert parent.returncode != 0
    assert not (tmp_path / "headway.db").exists()


@pytest.mark.deep
def test_an_engine_that_names_a_process_which_did_not_start_it_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "headway.toml").write_text(CONFIG)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(HANGS_SECONDS)
    argv = [sys.executable, "-m", "console", "--config", str(tmp_path / "headway.toml"), "engine"]
    ended = subprocess.run([*argv, f"--with-parent={process.pid}"], capture_output=True, check=False)
    assert -signal.SIGTERM == ended.returncode
    assert not (tmp_path / "headway.db").exists()


@pytest.mark.deep
def test_an_engine_at_a_terminal_names_the_one_that_it_waits_for_and_what_happens_next(tmp_path: Path) -> None:
    (tmp_path / "headway.toml").write_text(CONFIG)
    store = open_ready(str(tmp_path / "headway.db"))
    acquire_lease(store, "db-ops:4711~3f0a91", 600)
    store.close()
    argv = [sys.executable, "-m", "console", "--config", str(tmp_path / "headway.toml")]
    with Terminal([*argv, "--store", str(tmp_path / "headway.db"), "engine"], size=(120, 36)) as terminal:
        terminal.wait_for("waiting: the engine on db-ops, process 4711, works since")
        terminal.wait_for(lambda text: "this engine takes over when that one stops or dies" in " ".join(text.split()))
