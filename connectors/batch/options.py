"""Settings of an AWS Batch system: one region, its queues and job definitions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from connectors.sdk.aws.options import AwsLogOptions


class BatchOptions(AwsLogOptions):
    """Which queues and job definitions, beside region and identity."""

    queues: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Names of job queues to read, as in a shell: ["night-*"]."""
    definitions: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Names of job definitions to watch, as in a shell, without revision: each is a job here."""
