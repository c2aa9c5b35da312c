"""Run by the Python of an environment that has databricks-sdk: checks requests and answers against the SDK's own types.

python databricks_sdk.py judge            lines of {"path", "method", "asked", "status", "answer"} -> lists of faults
python databricks_sdk.py talk URL         the workspace as the SDK itself reads it, as JSON"""

from __future__ import annotations

import dataclasses
import enum
import json
import sys
import typing
from typing import Any

from databricks.sdk import WorkspaceClient
from databricks.sdk.service import jobs

BASE = "/api/2.2/jobs"
CALLS: dict[str, tuple[str, type | None]] = {
    "/list": ("list", jobs.ListJobsResponse),
    "/get": ("get", jobs.Job),
    "/runs/list": ("list_runs", jobs.ListRunsResponse),
    "/runs/get": ("get_run", jobs.Run),
    "/runs/get-output": ("get_run_output", jobs.RunOutput),
    "/run-now": ("run_now", jobs.RunNowResponse),
    "/runs/repair": ("repair_run", jobs.RepairRunResponse),
    "/runs/cancel": ("cancel_run", None),
    "/update": ("update", None),
}


def faults(line: dict[str, Any]) -> list[str]:
    """What the SDK's types do not allow in one exchange."""
    result = CALLS.get(line["path"].removeprefix(BASE))
    if not line["path"].startswith(BASE) or result is None:
        return [f"{line['path']}: the SDK has no such call"]
    name, answer = result
    hints = typing.get_type_hints(getattr(jobs.JobsAPI, name))
    texts = []
    for key, value in line["asked"].items():
        if key not in hints:
            texts.append(f"{name}: the SDK sends no {key}")
        else:
            texts += check(read(value, hints[key]) if line["method"] == "GET" else value, hints[key], f"{name} {key}")
    if line["status"] == 200:
        texts += check(line["answer"], answer, f"answer of {name}") if answer else keys_of_nothing(name, line["answer"])
    return texts


def keys_of_nothing(name: str, answer: Any) -> list[str]:
    return [f"answer of {name}: the SDK expects nothing, and {answer} came"] if answer else []


def read(text: str, hint: Any) -> Any:
    """The value in a query, converted to its type."""
    expected = one_of(hint)
    if expected is int and text.isdigit():
        return int(text)
    return text == "true" if expected is bool and text in ("true", "false") else text


def one_of(hint: Any) -> Any:
    """The type less its None."""
    some = [item for item in typing.get_args(hint) if item is not type(None)]
    return some[0] if typing.get_origin(hint) is typing.Union else hint


def check(value: Any, hint: Any, where: str) -> list[str]:
    expected = one_of(hint)
    if typing.get_origin(expected) is list:
        if not isinstance(value, list):
            return [f"{where}: no list"]
        inner = typing.get_args(expected)[0]
        return [name for index, item in enumerate(value) for name in check(item, inner, f"{where}[{index}]")]
    if typing.get_origin(expected) is dict:
        fits = isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
        return [] if fits else [f"{where}: no texts by name"]
    if dataclasses.is_dataclass(expected):
        return check_fields(value, expected, where)
    if isinstance(expected, type) and issubclass(expected, enum.Enum):
        return (
            []
            if value in {candidate.value for candidate in expected}
            else [f"{where}: {value!r} is no {expected.__name__}"]
        )
    return [] if type(value) is expected else [f"{where}: {value!r} is no {expected}"]


def check_fields(value: Any, expected: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: no object"]
    hints, texts = typing.get_type_hints(expected), []
    for key, inner in value.items():
        if key in hints:
            texts += check(inner, hints[key], f"{where}.{key}")
        else:
            texts.append(f"{where}: {expected.__name__} has no {key}")
    needed = [field.name for field in dataclasses.fields(expected) if field.default is dataclasses.MISSING]
    return texts + [f"{where}: {expected.__name__} needs {name}" for name in needed if name not in value]


def exercise_sdk(url: str) -> dict[str, Any]:
    """The SDK's own reading of a workspace, and its own acts there."""
    api = WorkspaceClient(host=url, token="right").jobs
    runs = list(api.list_runs(limit=1, expand_tasks=True))
    failed = next(run for run in runs if run.state and run.state.result_state == jobs.RunResultState.FAILED)
    started = [api.run_now(failed.job_id or 0, idempotency_token="headway-1234567890").response.run_id for _ in "ab"]
    repair = api.repair_run(failed.run_id or 0, rerun_all_failed_tasks=True).response.repair_id
    history = api.get_run(failed.run_id or 0, include_history=True).repair_history or []
    return {
        "jobs": [job.settings.name for job in api.list() if job.settings],
        "codes": [str(run.status.termination_details.code.value) for run in runs],
        "started": started,
        "repairs": [item.id for item in history] + [repair],
    }


def main() -> None:
    if sys.argv[1] == "talk":
        print(json.dumps(exercise_sdk(sys.argv[2])))
        return
    for line in sys.stdin:
        print(json.dumps(faults(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
