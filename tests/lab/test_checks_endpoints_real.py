"""Checks by SFTP of a real sshd, and of a store of objects served by moto."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from connectors.checks import file
from connectors.checks import object as objects
from connectors.checks.queries import Measurement, ObjectQuery
from connectors.sdk.errors import AccessRefused, NotSupported, SystemUnreachable
from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport.ssh import SshAddress
from console.config.loading import load_config
from console.engine.checks.check_runner import CheckRunner
from tests.lab.aws import CREDENTIALS, REGION, MotoServer
from tests.lab.cronhost import CronHost
from tests.lab.postgres import PostgresServer

SESSION: dict[str, Any] = {
    "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
    "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    "region_name": REGION,
}


def address(host: CronHost) -> SshAddress:
    return SshAddress(host.name, "127.0.0.1", host.port, "headway", host.known_hosts, key_file=host.key)


def test_a_file_on_another_host_reports_its_size_and_modification_time(db07: CronHost) -> None:
    db07.run("headway", "printf 12345 > '/tmp/o r;d$(x).csv'")
    measurement = file.measure_remote(address(db07), "/tmp/o r;d$(x).csv", 10)
    assert (True, 5) == (measurement.exists, measurement.size)
    assert measurement.modified is not None
    assert abs(measurement.modified - datetime.now(UTC)) < timedelta(days=2)  # the host has a clock of its own
    assert Measurement(exists=False) == file.measure_remote(address(db07), "/tmp/nothing", 10)
    assert Measurement(exists=False) == file.measure_remote(address(db07), "/tmp", 10)


def test_a_folder_that_the_user_may_not_search_is_refused_with_the_fix(db07: CronHost) -> None:
    db07.run("root", "mkdir -p /srv/closed && chmod 700 /srv/closed && touch /srv/closed/x")
    with pytest.raises(AccessRefused, match=r'user "headway" may not read /srv/closed/x'):
        file.measure_remote(address(db07), "/srv/closed/x", 10)


def test_an_untrusted_host_key_is_refused(db07: CronHost, etl02: CronHost) -> None:
    with pytest.raises(AccessRefused, match="host key"):
        file.measure_remote(replace(address(db07), known_hosts=etl02.known_hosts), "/tmp/x", 10)


def test_a_host_that_falls_silent_is_given_up_in_time(db07: CronHost) -> None:
    db07.freeze()
    try:
        with pytest.raises(SystemUnreachable):
            file.measure_remote(address(db07), "/tmp/x", 1)
    finally:
        db07.thaw()


@pytest.fixture(scope="module")
def store(moto: MotoServer) -> Iterator[Any]:
    made = boto3.Session(**SESSION).client("s3", endpoint_url=moto.endpoint)
    made.create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": REGION})
    for number in range(3):
        made.put_object(Bucket="lake", Key=f"orders/day=2026-11-19/{number}", Body=b"x" * 10)
    made.put_object(Bucket="lake", Key="orders/day=2026-11-18/0", Body=b"x" * 1000)
    yield made
    made.close()


def measure_object(
    moto: MotoServer, seconds: float = 300, session: dict[str, str] = SESSION, **parameters: str
) -> Measurement:
    question = ObjectQuery(parameters.pop("bucket", "lake"), **parameters)
    return objects.measure(question, session, {"endpoint_url": moto.endpoint}, seconds)


def test_an_object_reports_its_size_and_modification_time(moto: MotoServer, store: Any) -> None:
    measurement = measure_object(moto, key="orders/day=2026-11-19/0")
    assert (True, 10) == (measurement.exists, measurement.size)
    assert measurement.modified is not None
    assert abs(measurement.modified - datetime.now(UTC)) < timedelta(minutes=5)
    assert Measurement(exists=False) == measure_object(moto, key="orders/nothing")


def test_below_a_prefix_objects_are_counted_and_added_up(moto: MotoServer, store: Any) -> None:
    measurement = measure_object(moto, prefix="orders/day=2026-11-19/")
    assert (True, 3, 30) == (measurement.exists, measurement.rows, measurement.size)
    assert Measurement(exists=False, rows=0, size=0) == measure_object(moto, prefix="orders/day=2026-11-20/")


def test_pages_are_read_to_their_end_and_too_many_are_refused(
    moto: MotoServer, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PAGE_SIZE", 50)
    for number in range(53):
        store.put_object(Bucket="lake", Key=f"many/{number:04}", Body=b"")
    assert 53 == measure_object(moto, prefix="many/").rows
    monkeypatch.setattr(objects, "MAX_PAGES", 1)
    with pytest.raises(NotSupported, match="name a longer prefix"):
        measure_object(moto, prefix="many/")


def test_a_bucket_that_is_not_there_needs_a_person(moto: MotoServer, store: Any) -> None:
    with pytest.raises(AccessRefused, match="NoSuchBucket"):
        measure_object(moto, bucket="pond", prefix="x/")


def test_an_unresponsive_store_is_unreachable_and_reveals_no_key() -> None:
    with pytest.raises(SystemUnreachable) as raised:
        objects.measure(ObjectQuery("lake", key="x"), SESSION, {"endpoint_url": "http://127.0.0.1:9"}, 2)
    assert "lab-secret" not in str(raised.value)


def test_checks_of_the_config_use_the_connections_that_they_name(
    tmp_path: Path,
    db07: CronHost,
    postgres: PostgresServer,
    moto: MotoServer,
    store: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pg_cron system's login, another DSN, a cron system's host, a host of its own, a store of objects."""
    db07.run("headway", "printf 123 > /tmp/in-20261119.csv")
    monkeypatch.setenv("LAB_DSN", postgres.dsn(role="headway_view"))
    monkeypatch.setenv("LAB_KEY_ID", CREDENTIALS["AWS_ACCESS_KEY_ID"])
    monkeypatch.setenv("LAB_KEY", CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
    places = {
        "port": db07.port, "key": db07.key, "known": db07.known_hosts, "s3": moto.endpoint, "region": REGION,
    }  # fmt: skip
    (tmp_path / "headway.toml").write_text(CONFIG.format(**places))
    config = load_config(tmp_path / "headway.toml")
    looker = CheckRunner(config, SecretStore())
    measurements = {name: looker.measure(name, date(2026, 11, 19), 10) for name in config.checks}
    assert (1, 1) == (measurements["by-system"].value, measurements["by-dsn"].value)
    assert (3, 3) == (measurements["on-host"].size, measurements["elsewhere"].size)
    assert 3 == measurements["objects"].rows


CONFIG = """
[systems.dwh]
kind = "pg_cron"
dsn = {{ env = "LAB_DSN" }}
[systems.hosts]
kind = "cron"
hosts = [{{ name = "db07", address = "127.0.0.1", port = {port} }}]
key = "{key}"
known_hosts = "{known}"
[checks.by-system]
kind = "sql"
system = "dwh"
query = "SELECT 1"
expect = {{ equals = 1 }}
[checks.by-dsn]
kind = "sql"
dsn = {{ env = "LAB_DSN" }}
query = "SELECT 1 WHERE {{business_date}} = '2026-11-19'"
expect = {{ equals = 1 }}
[checks.on-host]
kind = "file"
system = "hosts"
target = "db07"
path = "/tmp/in-{{business_date:%Y%m%d}}.csv"
[checks.elsewhere]
kind = "file"
host = "127.0.0.1"
port = {port}
key = "{key}"
known_hosts = "{known}"
path = "/tmp/in-{{business_date:%Y%m%d}}.csv"
[checks.objects]
kind = "object"
bucket = "lake"
prefix = "orders/day={{business_date}}/"
objects = {{ min = 3 }}
endpoint_url = "{s3}"
region = "{region}"
access_key_id = {{ env = "LAB_KEY_ID" }}
secret_access_key = {{ env = "LAB_KEY" }}
"""
