"""`make lab` starts the estate with its config and engine, and leaving takes everything down."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from connectors.sdk.secrets import SecretStore
from console.config.loading import load_config
from tests.lab.estate import Estate
from tests.pty.terminal import Terminal

ROOT = Path(__file__).parents[2]


def test_a_lab_shows_the_console_and_leaving_it_takes_everything_down(lab: Estate) -> None:
    argv = [sys.executable, "-m", "tests.lab", "--without-airflow"]
    with Terminal(argv, size=(80, 24), env={"PYTHONPATH": str(ROOT)}) as terminal:
        terminal.wait_for("SERVICES")
        match = re.search(r"config: (/\S+/headway-lab-\S+)/headway/headway.toml", terminal.received.decode())
        terminal.press("q")
        assert 0 == terminal.wait_for_end()
    assert match is not None
    assert not Path(match[1]).exists()
    running = subprocess.check_output(["ps", "-eo", "args"], text=True)
    assert match[1] not in running


def test_the_config_of_the_estate_passes_every_check(estate: Estate, tmp_path: Path) -> None:
    config = load_config(estate.write_config(tmp_path / "config"))
    assert ["db07", "etl02"] == config.systems["etl-hosts"].targets
    assert {"supply-plan", "daily-revenue"} == set(config.services)
    assert 3 == len(config.dependencies)


def test_every_system_of_the_config_is_reached_with_every_right(estate: Estate, tmp_path: Path) -> None:
    config = load_config(estate.write_config(tmp_path / "config"))
    missing = []
    for system in config.systems.values():
        for target in system.targets:
            connector = system.kind.open(system.options, target, SecretStore())
            try:
                probe = connector.probe(30)
            finally:
                connector.close()
            missing += [(system.name, target, right) for right in probe.rights if right.held is False]
            assert probe.reachable
    assert [] == missing
