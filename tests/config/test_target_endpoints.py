"""Targets of several systems at one address and port."""

from __future__ import annotations

from pathlib import Path

from console.config.loading import load_config
from console.engine.supervisor.settings import estate_settings
from tests.config.test_config import GOOD


def test_targets_are_known_by_the_endpoint_that_several_systems_may_share(tmp_path: Path) -> None:
    hosts = 'hosts = ["db07", { name = "db08", address = "10.0.0.8", port = 2222 }, { name = "here", local = true }]'
    systems = "".join(
        f'[systems.{name}]\nkind = "{kind}"\nkey = "/etc/headway/key"\n{hosts}\n{more}\n'
        for name, kind, more in (
            ("cron-db", "cron", ""),
            ("units", "systemd", 'port = 22\nuser = "etl"'),
            ("by-config", "cron", 'ssh_config = "/etc/headway/ssh_config"'),
        )
    )
    agent = '[systems.agent]\nkind = "pgagent"\nhost = "db07"\nuser = "headway"\n'
    (tmp_path / "headway.toml").write_text(f"{systems}{agent}{GOOD}")
    assert (
        ("cron-db/db07", "db07:22"),
        ("cron-db/db08", "10.0.0.8:2222"),
        ("units/db07", "db07:22"),
        ("units/db08", "10.0.0.8:2222"),
        ("by-config/db07", "db07:22 by /etc/headway/ssh_config"),
        ("by-config/db08", "10.0.0.8:2222 by /etc/headway/ssh_config"),
        ("agent/db07", "db07:5432"),
    ) == estate_settings(load_config(tmp_path / "headway.toml")).declared.endpoints
