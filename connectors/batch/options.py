"""Settings of a Batch system: one region of one account, and whose identity asks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from connectors.aws.options import AwsOptions


class BatchOptions(AwsOptions):
    """Which queues and job definitions, beside region and identity."""

    logs_endpoint_url: str | None = None
    """Another address of CloudWatch Logs. With endpoint_url and without this, logs are not read."""
    queues: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Names of job queues to read, as in a shell: ["night-*"]."""
    definitions: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Names of job definitions to watch, as in a shell, without revision: each is a job here."""
