"""Settings of an AWS Batch system: one region, its queues and job definitions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from connectors.sdk.aws.options import AwsLogOptions
from connectors.sdk.option_errors import formatted_like

NamePattern = Annotated[str, formatted_like(r"[A-Za-z0-9_*?\[\]!-]{1,256}", "night-*")]


class BatchOptions(AwsLogOptions):
    """`[systems.NAME]` with `kind = "batch"`."""

    queues: Annotated[tuple[NamePattern, ...], Field(min_length=1)] = ("*",)
    """Names of job queues to read, as shell patterns: ["night-*"]."""
    definitions: Annotated[tuple[NamePattern, ...], Field(min_length=1)] = ("*",)
    """Names of job definitions to watch, as shell patterns, without revision: each is a job here."""
