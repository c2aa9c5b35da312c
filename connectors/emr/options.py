"""Settings of an Amazon EMR system: one region and its clusters."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from connectors.sdk.aws.options import AwsOptions


class EmrOptions(AwsOptions):
    """Which clusters, beside region and identity."""

    clusters: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Names of clusters to watch, as in a shell: ["nightly-*"]."""
