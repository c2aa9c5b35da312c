"""`headway init` before a real pg_cron that lives in database `ops`, with the roles of grants.sql, to which the setting
cron.database_name is hidden."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.sdk.registry import load
from connectors.sdk.secrets import SecretStore
from console.onboarding import discovery as databases
from console.onboarding.schedulers import DetectedScheduler, Machine, WatchReadiness
from tests.lab.postgres import PASSWORDS, PostgresServer

JOB = "close_books"


@pytest.fixture(scope="module", autouse=True)
def job(postgres: PostgresServer) -> Iterator[None]:
    postgres.schedule(JOB, "0 5 * * *", "SELECT 1")
    yield
    postgres.unschedule(JOB)


def detected_server(
    postgres: PostgresServer, folder: Path, monkeypatch: pytest.MonkeyPatch, role: str, **env: str
) -> DetectedScheduler:
    """What init finds of this server for a role that has its password from the environment."""
    env |= {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGUSER": role, "PGPASSWORD": PASSWORDS[role]}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    [scheduler] = databases.databases(Machine(folder, env, etc=folder, sockets=()))
    return scheduler


@pytest.mark.parametrize("role", ["headway_act", "headway_view"])
@pytest.mark.parametrize("named", ["ops", "", "no_such_database"])
def test_its_database_is_found_by_the_documented_roles(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str, named: str
) -> None:
    scheduler = detected_server(postgres, tmp_path, monkeypatch, role, **({"PGDATABASE": named} if named else {}))
    assert (WatchReadiness.NOW, "ops") == (scheduler.ready, scheduler.settings["dbname"]), scheduler.note
    assert scheduler.jobs


def test_only_missing_objects_are_reported(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = detected_server(postgres, tmp_path, monkeypatch, "headway_blind")
    assert ("ops", WatchReadiness.NEEDS) == (scheduler.settings["dbname"], scheduler.ready)
    assert "pg_read_all_settings" not in scheduler.note
    assert "headway connector grants pg_cron --login headway_blind" in scheduler.note


def test_the_wrong_database_names_its_one_fault(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**detected_server(postgres, tmp_path, monkeypatch, "headway_act").settings, "dbname": "postgres"}
    kind = load("pg_cron")
    options = kind.options.model_validate({name: setting for name, setting in settings.items() if name != "timezone"})
    connector = kind.open(options, "127.0.0.1", SecretStore())
    try:
        [right] = connector.probe(10.0).rights
    finally:
        connector.close()
    assert ("pg_cron in this database", False, "view") == (right.name, right.held, right.needed_for)
    assert "GRANT" not in right.fix
    assert "cron.database_name" in right.fix
