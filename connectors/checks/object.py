"""Measures objects of an S3 store: whether one exists, its size, when it was written; or all below a prefix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from connectors.checks.queries import Measurement, ObjectQuery
from connectors.sdk.errors import AccessRefused, ConnectorError, NotSupported, SystemUnreachable
from connectors.sdk.transport.budget import Deadline

MOST_PAGES = 100
"""Of 1000 objects each."""
GONE = ("404", "NoSuchKey", "NotFound")
REFUSED = (
    "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
    "PermanentRedirect", "NoSuchBucket",
)  # fmt: skip


def measure(
    query: ObjectQuery, session: Mapping[str, Any], client: Mapping[str, Any], timeout_seconds: float
) -> Measurement:
    """The object or prefix. `session`, `client`: boto3's parameters, keys resolved. Raises ConnectorError."""
    deadline = Deadline(timeout_seconds)
    place = f"s3://{query.bucket}/{query.key or query.prefix}"
    try:
        store = _store(session, client, timeout_seconds)
        try:
            return _below(store, query, deadline, place) if query.prefix else _single(store, query)
        finally:
            store.close()
    except ClientError as error:
        raise _sorted(error, place) from None
    except BotoCoreError as error:
        raise SystemUnreachable(f"{place}: {str(error)[:300]}") from None


def _store(session: Mapping[str, Any], client: Mapping[str, Any], timeout_seconds: float) -> Any:
    import boto3
    from botocore.config import Config

    limits = Config(
        connect_timeout=timeout_seconds, read_timeout=timeout_seconds, retries={"total_max_attempts": 1},
        user_agent_extra="headway",
    )  # fmt: skip
    return boto3.Session(**session).client("s3", config=limits, **client)


def _single(store: Any, query: ObjectQuery) -> Measurement:
    try:
        head = store.head_object(Bucket=query.bucket, Key=query.key)
    except ClientError as error:
        if _code(error) in GONE:
            return Measurement(there=False)
        raise
    return Measurement(there=True, size=head["ContentLength"], modified=head["LastModified"])


def _below(store: Any, query: ObjectQuery, deadline: Deadline, place: str) -> Measurement:
    """Their number, their bytes together, and when the newest was written."""
    rows, size, newest, more = 0, 0, None, dict[str, str]()
    for _ in range(MOST_PAGES):
        page = store.list_objects_v2(Bucket=query.bucket, Prefix=query.prefix, MaxKeys=1000, **more)
        for content in page.get("Contents", []):
            rows, size = rows + 1, size + content["Size"]
            newest = max(newest or content["LastModified"], content["LastModified"])
        if not page.get("IsTruncated"):
            return Measurement(there=rows > 0, rows=rows, size=size, modified=newest)
        if deadline.left <= 0:
            raise SystemUnreachable(f"{place}: no end of the list within {deadline.seconds:g} s")
        more = {"ContinuationToken": page["NextContinuationToken"]}
    raise NotSupported(f"{place}: more than {MOST_PAGES * 1000:,} objects; name a longer prefix")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _sorted(error: ClientError, place: str) -> ConnectorError:
    code, words = _code(error), str(error.response.get("Error", {}).get("Message", ""))[:300]
    if code in REFUSED:
        return AccessRefused(f"{place}: {code}: {words}. It needs s3:GetObject, for a prefix s3:ListBucket.")
    return SystemUnreachable(f"{place}: {code}: {words}")
