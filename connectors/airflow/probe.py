"""Can we see and act? Asked by reading one row of each list, and by dry runs on a run that does not exist: Airflow
answers 403 before it looks for the run, so 404 proves the right. Nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors import fields
from connectors.airflow.alive import DEAD, still
from connectors.airflow.client import RUNS_OF_ALL, TASKS_OF_ALL, AirflowClient
from connectors.airflow.paths import dag_path, run_path
from connectors.contract import Probe, Right
from connectors.transport.http import Reply

NO_SUCH_RUN = "headway__no_such_run"
PAUSE = "pause DAGs (hold)"

READS = (
    ("/dags", "read DAGs", "can_read on DAGs"),
    (RUNS_OF_ALL, "read DAG runs", "can_read on DAG Runs"),
    (TASKS_OF_ALL, "read task instances", "can_read on Task Instances"),
    ("/assets", "read assets", "can_read on Assets"),
    ("/importErrors", "read import errors", "can_read on Import Errors"),
    ("/dags/~/dagVersions", "read DAG versions", "can_read on DAG Versions"),
)


READS_OF_2 = (
    *READS[:3],
    ("/datasets", "read datasets", "can_read on Datasets"),
    ("/importErrors", "read import errors", "can_read on ImportError"),
)


def probe(client: AirflowClient) -> Probe:
    """Version, health and rights. Raises SystemUnreachable or AccessRefused."""
    reply = client.version()
    version = fields.words(reply.table(), "version")
    rights = [_read(client, *one) for one in (READS if client.major > 2 else READS_OF_2)]
    dag = _some_dag(client) if rights[0].held else None
    health = client.health()
    stands_still = [right] if (right := still(health)) is not None else []
    notes = (*_notes(version, dag), *_parts(health, stands_still))
    return Probe(True, version, (*stands_still, *rights, *_acts(client, dag)), notes, reply.clock)


def _read(client: AirflowClient, path: str, name: str, right: str) -> Right:
    reply = client.may_read(path)
    if reply.status == 200:
        return Right(name, True)
    return Right(name, False, f"{path} answered {reply.status}", f"give the account's role {right}")


def _some_dag(client: AirflowClient) -> str | None:
    rows = fields.rows(client.may_read("/dags").table().get("dags"))
    first = rows[0].get("dag_id") if rows and isinstance(rows[0], dict) else None
    return first if isinstance(first, str) else None


def _acts(client: AirflowClient, dag: str | None) -> list[Right]:
    """Asked of one DAG; a role may hold the right on others only."""
    if dag is None:
        why, mend = "no DAG is listed to ask about", "make a DAG visible to this account, then probe again"
        return [Right(name, None, why, mend, "act") for name, *_ in _asked("", 3)] + [_pause(None, why, mend)]
    rights = [_act(client, dag, *one) for one in _asked(dag, client.major)]
    edits = rights[0]
    return [
        *rights,
        _pause(edits.held, edits.why, f"give the account's role can_edit on {dag} and the DAGs it may hold"),
    ]


def _asked(dag: str, major: int) -> tuple[tuple[str, str, dict[str, Any], str], ...]:
    """Name, path, a body that can do nothing, and FAB's name of the right."""
    run, tasks = f"{run_path(dag, NO_SUCH_RUN)}/clear", f"{dag_path(dag)}/clearTaskInstances"
    return (
        ("clear, cancel and mark runs", run, {"dry_run": True}, "can_edit on DAG Runs"),
        ("clear and mark tasks", tasks, {"dry_run": True, "dag_run_id": NO_SUCH_RUN}, "can_edit on Task Instances"),
        ("start runs", *_start_of_nothing(dag, major), "can_create on DAG Runs"),
    )


def _start_of_nothing(dag: str, major: int) -> tuple[str, dict[str, Any]]:
    """A backfill's dry run without dates; Airflow 2 has none: there a start with half an interval, which is refused."""
    if major > 2:
        return "/backfills/dry_run", {"dag_id": dag}
    return f"{dag_path(dag)}/dagRuns", {"dag_run_id": NO_SUCH_RUN, "data_interval_start": "2026-01-01T00:00:00Z"}


def _act(client: AirflowClient, dag: str, name: str, path: str, body: dict[str, Any], right: str) -> Right:
    """A backfill's dry run needs the right to start runs; without dates it is answered 422 and looks no further."""
    reply = client.may(path, body)
    if reply.status == 403:
        mend = f"give the account's role {right} and can_edit on the DAGs it may act on"
        return Right(name, False, f"a dry run on {dag} answered 403", mend, "act")
    looked = reply.status == 422 and path.startswith("/backfills")
    if reply.status in (200, 404) or looked or (reply.status == 400 and client.major == 2):
        return Right(name, True, needed_for="act")
    return Right(name, None, f"a dry run answered {reply.status}", "look at the server's log", "act")


def _pause(held: bool | None, why: str, mend: str) -> Right:
    """Pausing has no dry run, and a try would stand in the audit log. Both auth managers ask for the edit of the DAG
    before they allow a change of its runs: who may clear runs may pause."""
    return Right(PAUSE, True, needed_for="act") if held else Right(PAUSE, held, why, mend, "act")


def _notes(version: str, dag: str | None) -> list[str]:
    notes = [] if dag else ["no DAG is listed: there is none, or this account may read none"]
    if version.startswith("2.") and not version.startswith(("2.10.", "2.11.")):
        notes.append(f"measured on Airflow 2.11; before 2.10 tries are counted otherwise, this is {version}")
    if version.startswith(("3.0", "3.1", "3.2")):
        notes.append(f"measured on Airflow 3.3; single tasks cannot be rerun before it, this is {version}")
    return notes


def _parts(health: Reply, stands_still: Sequence[Right]) -> list[str]:
    """The parts that are not well, but for what keeps everything from starting: that is no note."""
    if health.status != 200:
        return [f"health answered {health.status}"]
    states = {part: told.get("status") if isinstance(told, dict) else None for part, told in health.table().items()}
    told = {"scheduler", "metadatabase"} if stands_still else set()
    return [
        f"{part} is {fields.clean(str(status))[:50]}"
        for part, status in states.items()
        if status not in (None, "healthy") and not (status == DEAD and part in told)
    ]
