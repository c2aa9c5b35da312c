"""Settings of an EventBridge Scheduler system: one region and its schedules."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from connectors.sdk.aws.options import AwsOptions


class EventBridgeOptions(AwsOptions):
    """Which schedules, beside region and identity."""

    schedules: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Schedules to watch, "group/name", as in a shell: ["default/night-*", "loads/*"]."""
