"""`[incidents]`: when many failures are one, and when one comes back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from console.config.loading import load_config
from console.domain.settings import IncidentGrouping
from console.engine.supervisor.settings import estate_settings
from tests.config.test_config import GOOD, faults


def read(folder: Path, text: str) -> IncidentGrouping:
    (folder / "headway.toml").write_text(f"{GOOD}\n{text}")
    return load_config(folder / "headway.toml").declared.incidents


def test_without_the_table_the_defaults_hold(tmp_path: Path) -> None:
    assert IncidentGrouping(timedelta(hours=2), 3, timedelta(minutes=15), timedelta(minutes=30)) == read(tmp_path, "")


def test_what_it_says_is_what_decisions_see(tmp_path: Path) -> None:
    text = '[incidents]\nreopen_within = "0s"\nshared_jobs = 5\nshared_within = "4m"\n'
    assert IncidentGrouping(timedelta(0), 5, timedelta(minutes=4), timedelta(0)) == read(tmp_path, text)


def test_what_flaps_waits_no_longer_than_its_incident_can_come_back(tmp_path: Path) -> None:
    incident_grouping = read(tmp_path, '[incidents]\nreopen_within = "20m"\nsteady_for = "45m"\n')
    assert timedelta(minutes=20) == incident_grouping.steady_for


@pytest.mark.parametrize(
    "text, expected",
    [
        ("reopen_within = 2", "headway.toml:2: incidents.reopen_within: 2 is not a duration; write it in quotes"),
        ('reopen_within = "-1h"', "headway.toml:2: incidents.reopen_within: "),
        ("steady_for = 30", "headway.toml:2: incidents.steady_for: 30 is not a duration; write it in quotes"),
        ("shared_jobs = 1", "headway.toml:2: incidents.shared_jobs: 1 is too small: at least 2."),
        ('shared_jobs = "many"', "headway.toml:2: incidents.shared_jobs: 'many' is not a whole number."),
        ('shared_within = "0s"', "headway.toml:2: incidents.shared_within: "),
        ('shared_whithin = "5m"', 'unknown key. Did you mean "shared_within"?'),
    ],
)
def test_an_invalid_value_names_file_key_value_and_fix(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in "\n".join(map(str, faults(tmp_path, f"[incidents]\n{text}\n")))


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
