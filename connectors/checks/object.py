"""Measures objects of an S3 store: whether one exists, its size, when it was written; or all below a prefix."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from connectors.checks.queries import Measurement, ObjectQuery
from connectors.sdk.errors import AccessRefused, NotSupported, SystemUnreachable
from connectors.sdk.fields import masked_head
from connectors.sdk.transport.call_limits import Deadline

MAX_PAGES = 100
PAGE_SIZE = 1000
"""Objects: the most that S3 lists at once."""
MISSING = ("404", "NoSuchKey", "NotFound")
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
        limits = Config(
            connect_timeout=timeout_seconds, read_timeout=timeout_seconds, retries={"total_max_attempts": 1},
            user_agent_extra="headway",
        )  # fmt: skip
        store = boto3.Session(**session).client("s3", config=limits, **client)
        with closing(store):
            if query.prefix:
                return _below(store, query, deadline, place)
            head = store.head_object(Bucket=query.bucket, Key=query.key)
            return Measurement(exists=True, size=head["ContentLength"], modified=head["LastModified"])
    except ClientError as error:
        code, message = (str(error.response.get("Error", {}).get(name, "")) for name in ("Code", "Message"))
        if not query.prefix and code in MISSING:
            return Measurement(exists=False)
        text = f"{place}: {code}: {masked_head(message, 300)}"
        if code in REFUSED:
            raise AccessRefused(f"{text}. It needs s3:GetObject, for a prefix s3:ListBucket.") from None
        raise SystemUnreachable(text) from None
    except BotoCoreError as error:
        raise SystemUnreachable(f"{place}: {masked_head(str(error), 300)}") from None


def _below(store: Any, query: ObjectQuery, deadline: Deadline, place: str) -> Measurement:
    """Their number, their bytes together, and when the newest was written."""
    rows, size, newest, following = 0, 0, None, dict[str, str]()
    for _ in range(MAX_PAGES):
        page = store.list_objects_v2(Bucket=query.bucket, Prefix=query.prefix, MaxKeys=PAGE_SIZE, **following)
        for content in page.get("Contents", []):
            rows, size = rows + 1, size + content["Size"]
            newest = max(newest or content["LastModified"], content["LastModified"])
        if not page.get("IsTruncated"):
            return Measurement(exists=rows > 0, rows=rows, size=size, modified=newest)
        if deadline.left <= 0:
            raise SystemUnreachable(f"{place}: no end of the list within {deadline.seconds:g} s")
        following = {"ContinuationToken": page["NextContinuationToken"]}
    raise NotSupported(f"{place}: more than {MAX_PAGES * PAGE_SIZE:,} objects; name a longer prefix")
