"""Expected objects as a connector: an object is a job, a delivery a run. Source: S3 API reference, ListObjectsV2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from connectors.s3.options import S3Options
from connectors.sdk.aws.client import AwsClient
from connectors.sdk.contract import ConnectorKind, SecretResolver
from connectors.sdk.file_arrivals import LADDER, MISSING, ArrivalConnector, FileEntry
from connectors.sdk.states import ProofLevel
from connectors.sdk.transport.http import Transport


class BucketFolders(AwsClient):
    """The keys of one bucket, a prefix that ends with "/" as a folder."""

    def __init__(self, options: S3Options, bucket: str, secrets: SecretResolver, transport: Transport = None) -> None:
        super().__init__(f"S3 bucket {bucket},", options, secrets, transport)
        self._bucket = bucket

    def entries(self, folder: str) -> Iterator[FileEntry]:
        prefix = f"{folder}/".lstrip("/")
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": prefix, "Delimiter": "/"}
        while True:
            page = self.call("s3", "list_objects_v2", "KeyCount", **request)
            for item in page.get("Contents", ()):
                yield FileEntry(f"/{item['Key']}", item["Size"], item["LastModified"].timestamp())
            if not page.get("NextContinuationToken"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]


def open_s3(options: S3Options, bucket: str, secrets: SecretResolver, transport: Transport = None) -> ArrivalConnector:
    def permission(folder: str) -> tuple[str, str]:
        return f"list s3://{bucket}{folder}", f"allow s3:ListBucket on arn:aws:s3:::{bucket} to this identity"

    reader = BucketFolders(options, bucket, secrets, transport)
    return ArrivalConnector(reader, bucket, options.files, options.zone, permission)


CONNECTOR = ConnectorKind(
    kind="s3",
    title="Objects in S3",
    options=S3Options,
    targets=lambda options: list(options.buckets),
    open=open_s3,
    capabilities=frozenset(),
    missing=MISSING,
    proofs=frozenset({ProofLevel.EXIT}),
    may_start_early=True,
    dates_runs=True,
    schedules="expression",
    ladder=LADDER,
)
