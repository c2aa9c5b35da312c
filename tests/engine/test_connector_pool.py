"""Which targets every engine of a shared store can reach, and which only one machine has."""

from __future__ import annotations

from pathlib import Path

from console.config.loading import load_config
from console.engine.connector_pool import ConnectorTarget

CONFIG = """
[systems.hosts]
kind = "cron"
hosts = [{ name = "here", local = true }, "db07"]
key = "~/.ssh/id"

[systems.reports]
kind = "heartbeat"
jobs = { close = { token = { env = "CLOSE_TOKEN" } } }
"""


def test_a_local_host_and_a_target_that_reports_stay_on_one_machine(tmp_path: Path) -> None:
    (tmp_path / "headway.toml").write_text(CONFIG)
    systems = load_config(tmp_path / "headway.toml").systems
    places = [ConnectorTarget(1, system, target) for system in systems.values() for target in system.targets]
    local = {place.name: place.is_local for place in places}
    assert (True, False) == (local.pop("hosts/here"), local.pop("hosts/db07"))
    assert {"reports/listener": True} == local
