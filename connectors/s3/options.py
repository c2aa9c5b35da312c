"""Settings of an S3 system: its buckets, and the objects that are expected in them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from connectors.sdk.aws.options import AwsOptions
from connectors.sdk.daily_time import JobName
from connectors.sdk.file_arrivals import FileOptions
from connectors.sdk.option_errors import Zone, formatted_like


class S3Options(AwsOptions):
    """Which buckets; each object is expected in every one of them."""

    buckets: Annotated[
        tuple[Annotated[str, formatted_like(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "acme-landing")], ...],
        Field(min_length=1),
    ]
    """Names of buckets."""
    zone: Zone = "UTC"
    """In which dates and times of the objects are meant."""
    files: Annotated[dict[JobName, FileOptions], Field(min_length=1)]
    """The expected objects, by name; a path is "/" and the key."""
