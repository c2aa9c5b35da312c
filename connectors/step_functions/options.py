"""Settings of a Step Functions system: one region and its state machines."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from connectors.sdk.aws.options import AwsOptions


class StepFunctionsOptions(AwsOptions):
    """Which state machines, beside region and identity."""

    scheduler_endpoint_url: str | None = None
    """Another address of EventBridge Scheduler. With endpoint_url and without this, its schedules are not read."""
    state_machines: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Names or ARNs to watch, as in a shell: ["load-*", "arn:aws:states:*:stateMachine:mart"]."""


def reads_schedules(options: StepFunctionsOptions) -> bool:
    """False where only the address of Step Functions is known: EventBridge Scheduler is another service."""
    return options.endpoint_url is None or options.scheduler_endpoint_url is not None
