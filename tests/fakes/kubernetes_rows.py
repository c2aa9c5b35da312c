"""What the fake Kubernetes makes of rows: a crowd of Jobs, merge patches, field selectors. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Row = dict[str, Any]


def stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def crowded(cronjobs: dict[tuple[str, str], Row], crowd: int, parameters: Row, version: str) -> Row:
    """A page of `crowd` green Jobs of the first CronJob, made as they are requested."""
    first, limit = int(parameters.get("continue", 0)), int(parameters["limit"])
    (namespace, cronjob), row = next(iter(cronjobs.items()))
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": cronjob, "uid": row["metadata"]["uid"]}
    rows, oldest = [], 20_000_000
    for number in range(first, min(first + limit, crowd)):
        at = stamp(datetime.fromtimestamp((oldest + number) * 60, UTC))
        held = {"type": "Complete", "status": "True", "lastTransitionTime": at}
        meta = {"name": f"{cronjob}-{oldest + number}", "namespace": namespace, "uid": f"u{number}"}
        rows.append(
            {
                "metadata": {**meta, "creationTimestamp": at, "ownerReferences": [owner]},
                "spec": row["spec"]["jobTemplate"]["spec"],
                "status": {"startTime": at, "completionTime": at, "succeeded": 1, "conditions": [held]},
            }
        )
    more = {"continue": str(first + limit)} if first + limit < crowd else {}
    return {"metadata": {"resourceVersion": version, **more}, "items": rows}


def fits(row: Row, term: str) -> bool:
    """Whether an object meets one term of a field selector."""
    name, equal, value = term.partition("!=") if "!=" in term else term.partition("=")
    result: Any = row
    for part in name.split("."):
        result = result.get(part, "")
    return bool((result == value) == (equal == "="))


def merge(row: Row, patch: Row) -> None:
    """RFC 7386."""
    for name, value in patch.items():
        if value is None:
            row.pop(name, None)
        elif isinstance(value, dict):
            inner = row.get(name)
            row[name] = inner if isinstance(inner, dict) else {}
            merge(row[name], value)
        else:
            row[name] = value
