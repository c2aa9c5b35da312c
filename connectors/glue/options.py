"""Settings of a Glue system: one region of one account, and whose identity asks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from connectors.aws.options import AwsOptions


class GlueOptions(AwsOptions):
    """Which jobs, beside region and identity."""

    logs_endpoint_url: str | None = None
    """Another address of CloudWatch Logs. With endpoint_url and without this, logs are not read."""
    jobs: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Names of jobs to watch, as in a shell: ["load-*", "mart"]."""
