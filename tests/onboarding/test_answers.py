"""Schedulers elsewhere, from what a person types, variables and ~/.pgpass; malformed input gives a clear line."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.registry import load
from console.onboarding.answers import (
    airflow_answer,
    dsn_answer,
    dsn_variables,
    hidden_while_typed,
    host_answer,
    pgpass_servers,
    with_own_key,
    without_password,
)
from console.onboarding.discovery import DETECTORS
from console.onboarding.local_files import ssh_hosts
from console.onboarding.schedulers import DetectedScheduler, Machine, WatchReadiness
from tests.onboarding.homes import SECRET, machine, put
from tests.rows import each_row

PASSWORD = {"file": "/secrets/password"}


def validated(scheduler: DetectedScheduler) -> DetectedScheduler:
    """The same, after its kind has accepted the settings."""
    load(scheduler.kind).options.model_validate({k: v for k, v in scheduler.settings.items() if k != "timezone"})
    return scheduler


@pytest.mark.parametrize(
    "text, entry",
    [
        ("db07", {"name": "db07"}),
        ("ops@db07:2222", {"name": "db07", "user": "ops", "port": 2222}),
        ("10.0.0.7", {"name": "10.0.0.7"}),
        ("[2001:db8::7]:2222", {"name": "2001-db8--7", "address": "2001:db8::7", "port": 2222}),
    ],
)
def test_a_typed_host_is_signed_in_to_with_a_key_of_our_own(
    text: str, entry: dict[str, object], tmp_path: Path
) -> None:
    settings = validated(host_answer(Machine(tmp_path, {}), text)).settings
    assert ([entry], "~/.ssh/headway_ed25519") == (settings["hosts"], settings["key"])


def test_a_name_of_the_ssh_config_keeps_its_address_and_its_own_key(tmp_path: Path) -> None:
    here = machine(tmp_path)
    settings = validated(host_answer(here, "etl02")).settings
    entry = {"name": "etl02", "address": "10.0.0.7", "user": "ops", "port": 2222}
    assert ([entry], "~/.ssh/ops_ed25519") == (settings["hosts"], settings["key"])
    put(tmp_path / ".ssh/headway_ed25519", "key")
    settings = host_answer(here, "etl02").settings
    entry.pop("user")  # our key is that of the user headway
    assert ([entry], "~/.ssh/headway_ed25519") == (settings["hosts"], settings["key"])


def test_a_host_of_the_ssh_config_is_tried_again_with_the_key_of_headway(tmp_path: Path) -> None:
    here = machine(tmp_path)
    [host] = [host for host in ssh_hosts(here) if host.key == "ssh:etl02"]
    assert [] == list(with_own_key(here, [host]))
    put(tmp_path / ".ssh/headway_ed25519", "key")
    [retried] = with_own_key(here, [host])
    assert (host.key, host.name) == (retried.key, retried.name)
    assert ("~/.ssh/headway_ed25519", False) == (retried.settings["key"], "user" in str(retried.settings["hosts"]))
    assert [] == list(with_own_key(here, [retried]))


@each_row(
    "typed, shown",
    [
        ("postgresql://headway:p@ss/w@dwh:5432/ops", "postgresql://headway:•••@dwh:5432/ops"),
        ("postgresql://dwh/ops?user=headway&password=pw&sslmode=require",
         "postgresql://dwh/ops?user=headway&password=•••&sslmode=require"),
        ("host=dwh password = 'a b' user=u", "host=dwh password = ••• user=u"),
        ("host=dwh sslpassword=pw PASSWORD=pw", "host=dwh sslpassword=••• PASSWORD=•••"),
        ("https://u:pw@airflow.example", "https://u:•••@airflow.example"),
        *((text, text) for text in ("db07", "user@db07:22", "postgresql://headway@dwh/ops", "http://airflow:8080/")),
    ],
)  # fmt: skip
def test_a_typed_password_is_masked_and_all_else_stays(typed: str, shown: str) -> None:
    assert shown == without_password(typed)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://headway:p@ss/w:x@dwh:5432/ops",
        "postgresql://dwh/ops?user=headway&password=p@ss/w:x",
        "host=dwh PASSWORD = p@ss",
    ],
)
def test_no_begin_of_a_typed_dsn_shows_a_letter_of_its_password(dsn: str) -> None:
    password = dsn.index("p@ss")
    for length in range(len(dsn) + 1):
        shown = hidden_while_typed(dsn[:length])
        assert (dsn[: min(length, password)], length) == (shown.rstrip("•"), len(shown))


@pytest.mark.parametrize("text", ["", "a b", "db07:0", "db07:99999", "-oProxyCommand=x", "a@b@c", "db07:", "\x1b[2J"])
def test_what_is_no_host_is_refused_with_the_forms(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not one of: a host"):
        host_answer(Machine(tmp_path, {}), text)


@given(st.text())
def test_any_text_is_a_scheduler_or_refused(text: str) -> None:
    here = Machine(Path("/nonexistent"), {})
    for answer in (text, f"x@{text}", f"{text}:22"):
        with suppress(ValueError):
            validated(host_answer(here, answer))
    for url in (text, f"http://{text}"):
        with suppress(ValueError):
            validated(airflow_answer(here, url, "headway", PASSWORD))
    with suppress(ValueError):
        validated(dsn_answer(here, f"postgresql://{text}", {"env": "DWH_DSN"}))


def test_a_dsn_is_a_reference_and_its_password_nowhere(tmp_path: Path) -> None:
    dsn = f"postgresql://headway:{SECRET}@dwh:6432/ops"
    here = Machine(tmp_path, {"DWH_DSN": dsn, "BROKEN_URL": f"postgres://x:{SECRET}@[::1", "PATH": "/bin"})
    broken, system = dsn_variables(here)
    assert ("dwh", "PostgreSQL dwh:6432/ops as headway") == (system.name, system.full_title)
    assert {"env": "DWH_DSN"} == validated(system).settings["dsn"]
    assert (WatchReadiness.NEEDS, True) == (broken.ready, "the DSN cannot be read" in broken.note)
    assert SECRET not in f"{system}{broken}"
    assert not system.is_wanted, "it may be the database of any program"
    assert "pgagent" == dsn_answer(here, dsn, {"file": "/x"}, "pgagent").kind


def test_an_airflow_address_with_a_password_in_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no user, no password"):
        airflow_answer(Machine(tmp_path, {}), "https://me:pw@airflow.example.com", "headway", PASSWORD)
    settings = validated(airflow_answer(Machine(tmp_path, {}), "https://a.example.com/x/", "ann", PASSWORD)).settings
    assert ("https://a.example.com/x", "ann", PASSWORD) == (settings["url"], settings["username"], settings["password"])


PGPASS = f"""\
# a comment
dwh:5432:ops:headway:{SECRET}
other:*:*:ann:{SECRET}
with\\:colon:6432:d\\\\b:bob:{SECRET}
*:*:*:*:{SECRET}
broken
host:port:db:user:{SECRET}
"""


def test_each_login_of_pgpass_is_found_and_lines_that_are_none_are_named(tmp_path: Path) -> None:
    put(tmp_path / ".pgpass", PGPASS)
    schedulers = list(pgpass_servers(Machine(tmp_path, {})))
    places = [
        (scheduler.settings["host"], scheduler.settings["port"], scheduler.settings["dbname"])
        for scheduler in schedulers
        if scheduler.kind
    ]
    assert [("dwh", 5432, "ops"), ("other", 5432, "postgres"), ("with:colon", 6432, "d\\b")] == places
    assert ["line 6", "line 7"] == [
        scheduler.where.rpartition(", ")[2] for scheduler in schedulers if not scheduler.kind
    ]
    assert SECRET not in str(schedulers)
    assert not any(scheduler.is_wanted for scheduler in schedulers)


@given(st.binary(max_size=300))
def test_any_file_in_any_place_gives_findings_and_never_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    home = tmp_path_factory.mktemp("home")
    for name in (".pgpass", ".ssh/config", ".aws/config", ".kube/config", ".databrickscfg", "airflow/airflow.cfg"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_bytes(data)
    here = Machine(home, {"PATH": "", "X": data.decode("utf-8", "surrogateescape")}, etc=home, sockets=(), roots=())
    for title, detector in DETECTORS:
        if title not in ("crontabs", "PostgreSQL with pg_cron"):  # these ask programs of this machine
            list(detector(here))
