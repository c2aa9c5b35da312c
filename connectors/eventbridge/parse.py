"""EventBridge Scheduler schedules read as jobs. Pure: whatever a reply holds, only RecordUnreadable is raised."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from connectors.sdk.aws import schedules
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.records import JobRecord, Schedule
from connectors.sdk.states import ProofLevel

NAMED_BY = ("JobName", "JobDefinition", "StateMachineArn", "FunctionName", "ProjectName", "TaskDefinition")
"""Fields of a universal target's input that name what it starts. Nothing else of it is shown: it may hold anything."""
KINDS = {"stateMachine": "state machine", "function": "function", "event-bus": "event bus", "task-definition": "task"}


def job(schedule: Mapping[str, Any], now: datetime, region: str) -> JobRecord:
    if not schedule.get("Name") or not isinstance(schedule.get("Target"), Mapping):
        raise RecordUnreadable(f"a schedule without a name or target: {schedules.full_name(schedule)}")
    name = schedules.full_name(schedule)
    as_written = {**schedule, "State": "", "Description": schedules.plain(schedule)}
    group, _, own = name.partition("/")
    return JobRecord(
        native_id=name,
        title=schedules.plain(schedule) or name,
        schedule=Schedule(
            "none", text=schedules.schedule_text([schedule]), next_at=schedules.next_instant([schedule], now)
        ),
        paused=not schedules.is_enabled(schedule),
        definition=f"starts {starts(schedule)}",
        definition_hash=schedules.seen(as_written),
        match_keys=(str(schedule["Arn"]),) if schedule.get("Arn") else (),
        proof=ProofLevel.START,
        run_as=str((schedule.get("Target") or {}).get("RoleArn") or ""),
        native_url=f"https://{region}.console.aws.amazon.com/scheduler/home?region={region}#schedules/{group}/{own}",
    )


def starts(schedule: Mapping[str, Any]) -> str:
    """The target: "state machine mart", "glue:startJobRun load-orders", or its ARN."""
    target = schedules.target_of(schedule)
    parts = target.split(":")
    if parts[2:3] == ["scheduler"] and parts[5:6] == ["aws-sdk"]:
        try:
            given = json.loads(str((schedule.get("Target") or {}).get("Input") or "{}"))
        except (ValueError, RecursionError):
            given = None
        values = (given.get(name) for name in NAMED_BY) if isinstance(given, dict) else ()
        name = next((value for value in values if isinstance(value, str)), "")
        if name.startswith("arn:"):
            name = name.rpartition("/" if "/" in name else ":")[2]
        return f"{':'.join(parts[6:8])} {name}".strip()
    if len(parts) > 6:
        return f"{KINDS.get(parts[5], f'{parts[2]} {parts[5]}')} {parts[6]}"
    kind, _, name = (parts[5] if len(parts) > 5 else "").partition("/")
    return f"{KINDS.get(kind, f'{parts[2]} {kind}')} {name}" if name else target
