"""Delta and Iceberg tables in a bucket of a moto server, as deltalake and pyiceberg write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from deltalake import write_deltalake
from pyiceberg.catalog.sql import SqlCatalog

from connectors.sdk.conformance import Deadlines, Faults, Reads
from connectors.sdk.contract import Connector
from connectors.sdk.secrets import SecretStore
from connectors.tables.connector import CONNECTOR, TARGET
from tests.connectors.tables import test_conformance as on_disk
from tests.lab import aws
from tests.lab.aws import CREDENTIALS, MotoServer
from tests.lab.test_step_functions_real import keys

__all__ = ["keys"]

BUCKET = "lake"


class BucketLake:
    """One Delta and one Iceberg table, two commits each."""

    def __init__(self, moto: MotoServer, folder: Path) -> None:
        region = {"LocationConstraint": aws.REGION}
        moto.service("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=region)
        place = {"AWS_ENDPOINT_URL": moto.endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": aws.REGION}
        self._storage = {**place, **CREDENTIALS}
        places = {"s3.endpoint": moto.endpoint, "s3.region": aws.REGION, "warehouse": f"s3://{BUCKET}/ice"}
        self._place = {**places, "uri": f"sqlite:///{folder}/catalog.db"}
        names = {"AWS_ACCESS_KEY_ID": "s3.access-key-id", "AWS_SECRET_ACCESS_KEY": "s3.secret-access-key"}
        account = {ours: CREDENTIALS[name] for name, ours in names.items()}
        self._catalog = SqlCatalog("lake", **self._place, **account)
        self._catalog.create_namespace("sales")
        self._iceberg = self._catalog.create_table("sales.stock", schema=on_disk.ROWS.schema)
        references = {"AWS_ACCESS_KEY_ID": {"env": "LAB_KEY_ID"}, "AWS_SECRET_ACCESS_KEY": {"env": "LAB_KEY"}}
        self.settings: dict[str, Any] = {
            "storage": {**place, **references},
            "catalog": {
                "type": "sql", "name": "lake", **self._place, **{ours: references[name] for name, ours in names.items()}
            },
            "tables": {"orders": {"delta": f"s3://{BUCKET}/orders"}, "stock": {"iceberg": "sales.stock"}},
        }  # fmt: skip
        for _ in range(2):
            self.append()

    def append(self) -> None:
        write_deltalake(f"s3://{BUCKET}/orders", on_disk.ROWS, mode="append", storage_options=self._storage)
        self._iceberg.append(on_disk.ROWS)

    def connector(self) -> Connector:
        return CONNECTOR.open(CONNECTOR.options.model_validate(self.settings), TARGET, SecretStore())

    def close(self) -> None:
        self._catalog.close()


@pytest.fixture(scope="module")
def lake(moto: MotoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketLake]:
    lake = BucketLake(moto, tmp_path_factory.mktemp("catalog"))
    yield lake
    lake.close()


@pytest.fixture(scope="class")
def world(request: pytest.FixtureRequest, lake: BucketLake) -> None:
    request.cls.lake = lake


@pytest.mark.usefixtures("world", "keys")
class TestTablesOnMoto(Reads, Deadlines, Faults):
    kind = CONNECTOR
    against = "emulator: moto 5"
    lake: BucketLake
    limits: ClassVar[Mapping[str, str]] = {
        **on_disk.TestTables.limits,
        "unknown_word": "tests/connectors/tables/test_conformance.py",
    }
    unplayed = on_disk.TestTables.unplayed
    elsewhere = on_disk.TestTables.elsewhere

    def connector(self) -> Connector:
        return self.lake.connector()

    def connector_at(self, host: str, port: int) -> Connector:
        return on_disk.opened(**on_disk.s3_at(host, port))

    def make_success(self) -> str:
        return "orders"


@pytest.mark.usefixtures("keys")
def test_each_commit_in_a_bucket_is_read_once(lake: BucketLake) -> None:
    connector = lake.connector()
    assert {True} == {right.held for right in connector.probe(60).rights}
    first = connector.poll("", (), 60)
    assert ["orders", "orders", "stock", "stock"] == sorted(run.job for run in first.runs)
    lake.append()
    second = connector.poll(first.cursor, (), 60)
    assert (["orders", "stock"], True) == (sorted(run.job for run in second.runs), second.complete)
    assert {2} == {run.context["rows"] for run in second.runs}
    connector.close()
