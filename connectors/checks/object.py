"""Looks at objects of an S3 store: whether one is there, its size, when it was written; or all below a prefix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from connectors.checks.questions import ObjectQuestion
from connectors.contract import AccessRefused, ConnectorError, NotSupported, SystemUnreachable
from connectors.contract.measured import Measured
from connectors.transport.deadline import Deadline

MOST_PAGES = 100
"""Of 1000 objects each: what holds more is no place for a look every few minutes."""
GONE = ("404", "NoSuchKey", "NotFound")
REFUSED = (
    "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
    "PermanentRedirect", "NoSuchBucket",
)  # fmt: skip


def measure(
    asked: ObjectQuestion, session: Mapping[str, Any], client: Mapping[str, Any], timeout_seconds: float
) -> Measured:
    """What is there. `session`, `client`: what boto3 takes by these names, keys resolved. Raises ConnectorError."""
    deadline = Deadline(timeout_seconds)
    place = f"s3://{asked.bucket}/{asked.key or asked.prefix}"
    try:
        store = _store(session, client, timeout_seconds)
        try:
            return _below(store, asked, deadline, place) if asked.prefix else _one(store, asked)
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


def _one(store: Any, asked: ObjectQuestion) -> Measured:
    try:
        head = store.head_object(Bucket=asked.bucket, Key=asked.key)
    except ClientError as error:
        if _code(error) in GONE:
            return Measured(there=False)
        raise
    return Measured(there=True, size=head["ContentLength"], modified=head["LastModified"])


def _below(store: Any, asked: ObjectQuestion, deadline: Deadline, place: str) -> Measured:
    """Their number, their bytes together, and when the newest was written."""
    rows, size, newest, more = 0, 0, None, dict[str, str]()
    for _ in range(MOST_PAGES):
        page = store.list_objects_v2(Bucket=asked.bucket, Prefix=asked.prefix, MaxKeys=1000, **more)
        for one in page.get("Contents", []):
            rows, size = rows + 1, size + one["Size"]
            newest = max(newest or one["LastModified"], one["LastModified"])
        if not page.get("IsTruncated"):
            return Measured(there=rows > 0, rows=rows, size=size, modified=newest)
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
