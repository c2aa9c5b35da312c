"""Objects in a bucket of a moto server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from connectors.s3.connector import CONNECTOR, BucketFolders, open_s3
from connectors.s3.options import S3Options
from connectors.sdk.conformance import Deadlines, Faults, Reads
from connectors.sdk.contract import Connector
from connectors.sdk.errors import NotSupported
from connectors.sdk.file_arrivals import ArrivalConnector
from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport.call_limits import Deadline
from tests.connectors.files.test_conformance import UNPLAYED
from tests.lab import aws
from tests.lab.aws import PAGE_SIZE, MotoServer
from tests.lab.test_step_functions_real import keys

__all__ = ["keys"]

BUCKET = "landing"
DAY = 86_400


def options_of(endpoint: str, **given: Any) -> S3Options:
    file = {"at": "03:00", "min_bytes": 10}
    return S3Options.model_validate(
        {
            "region": aws.REGION,
            "endpoint_url": endpoint,
            "access_key_id": {"env": "LAB_KEY_ID"},
            "secret_access_key": {"env": "LAB_KEY"},
            "buckets": [BUCKET],
            "files": {name: {"path": f"/in/{name}_*.csv", **file} for name in ("orders", "stock")},
            **given,
        }
    )


@pytest.fixture(scope="class")
def bucket(request: pytest.FixtureRequest, moto: MotoServer) -> None:
    request.cls.moto = moto
    store = moto.service("s3")
    store.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": aws.REGION})
    for key, size in (
        ("in/orders_1.csv", 20),
        ("in/stock_1.csv", 20),
        ("in/stock_2.csv", 3),
        ("in/deep/stock_3.csv", 1),
    ):
        store.put_object(Bucket=BUCKET, Key=key, Body=b"x" * size)


@pytest.mark.usefixtures("bucket")
class TestS3OnMoto(Reads, Deadlines, Faults):
    """Two days later, since moto writes objects now."""

    kind = CONNECTOR
    against = "emulator: moto 5"
    moto: MotoServer
    limits: ClassVar[Mapping[str, str]] = {"unknown_word": "the kind defines its own states"}
    unplayed: ClassVar[Mapping[str, str]] = {what: why for what, why in UNPLAYED.items() if what != "answering"}
    elsewhere: ClassVar[Mapping[str, str]] = {
        "answering": "tests/connectors/sdk/transport/test_failures.py",
        "with_a_right_revoked": "tests/connectors/s3/test_s3.py",
    }

    def connector(self) -> Connector:
        options, begin = options_of(self.moto.endpoint), time.time() + 2 * DAY
        minutes = iter(range(0, 10_000, 2))
        reader = BucketFolders(options, BUCKET, SecretStore())
        now = lambda: begin + 60 * next(minutes)  # noqa: E731
        return ArrivalConnector(reader, BUCKET, options.files, options.zone, lambda folder: ("list", "x"), now)

    def connector_at(self, host: str, port: int) -> Connector:
        return open_s3(options_of(f"http://{host}:{port}"), BUCKET, SecretStore())

    def make_success(self) -> str:
        return f"{BUCKET}:orders"

    def make_failure(self) -> str:
        return f"{BUCKET}:stock"

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        def behind() -> str:
            store = self.moto.service("s3")
            store.put_object(Bucket=BUCKET, Key="in/stock_0.csv", Body=b"xx")
            written = store.head_object(Bucket=BUCKET, Key="in/stock_0.csv")["LastModified"]
            return f"/in/stock_0.csv@{int(written.timestamp())}.2"

        return self.connector(), behind


def test_pages_are_read_to_their_end_and_a_missing_bucket_is_named(moto: MotoServer) -> None:
    store = moto.service("s3")
    store.create_bucket(Bucket="many", CreateBucketConfiguration={"LocationConstraint": aws.REGION})
    for number in range(PAGE_SIZE + 1):
        store.put_object(Bucket="many", Key=f"{number:04}", Body=b"x")
    for bucket in ("many", "nothing"):
        reader = BucketFolders(options_of(moto.endpoint), bucket, SecretStore())
        reader.deadline = Deadline(60)
        if bucket == "many":
            assert PAGE_SIZE + 1 == len(list(reader.entries("")))
        else:
            with pytest.raises(NotSupported, match="NoSuchBucket"):
                list(reader.entries(""))
        reader.close()
