"""Settings of an AWS Glue system: one region and its jobs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from connectors.sdk.aws.options import AwsLogOptions


class GlueOptions(AwsLogOptions):
    """Which jobs, beside region and identity."""

    jobs: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Names of jobs to watch, as in a shell: ["load-*", "mart"]."""
