"""Can we see and act? Dagster says what an account may do: a webserver with --read-only, a role of Dagster+."""

from __future__ import annotations

from typing import Any

from connectors import fields
from connectors.contract import NotSupported, Probe, Right
from connectors.dagster.client import DagsterClient

ACTS = (
    ("launch_pipeline_execution", "start runs"),
    ("launch_pipeline_reexecution", "re-execute runs"),
    ("terminate_pipeline_execution", "terminate runs"),
    ("stop_running_schedule", "stop schedules (hold)"),
    ("start_schedule", "start schedules (release)"),
    ("report_runless_asset_events", "mark a hold in the catalogue (hold)"),
)
MEND = "ask a webserver without --read-only, or give the user of Dagster+ the role Launcher (Editor to hold)"


def probe(client: DagsterClient) -> Probe:
    """Version, daemons and rights. Raises SystemUnreachable or AccessRefused; NotSupported for another program."""
    told = client.version()
    version = fields.words(told, "version")
    if not version:
        raise NotSupported("Dagster: the server tells no version; is the url that of a Dagster webserver?")
    found = {
        str(one.get("permission")): one.get("value")
        for one in fields.rows(told.get("permissions"))
        if isinstance(one, dict)
    }
    nodes = client.repositories()
    reads = Right("read jobs and runs", True)
    acts = [_right(found.get(name), name, words) for name, words in ACTS]
    return Probe(True, version[:40], (reads, *acts), tuple(_notes(told, nodes)), client.clock)


def _right(value: Any, name: str, words: str) -> Right:
    if value is True:
        return Right(words, True, needed_for="act")
    held = False if value is False else None
    return Right(words, held, f"Dagster says {name} is {'not allowed' if value is False else 'unknown'}", MEND, "act")


def _notes(told: dict[str, Any], nodes: list[Any]) -> list[str]:
    notes = [] if nodes else ["no code location is loaded: there is none, or its server is down"]
    instance = told.get("instance")
    health = instance.get("daemonHealth") if isinstance(instance, dict) else None
    rows = fields.rows(health.get("allDaemonStatuses")) if isinstance(health, dict) else []
    silent = (
        row.get("daemonType")
        for row in rows
        if isinstance(row, dict) and row.get("required") is True and row.get("healthy") is not True
    )
    return [*notes, *(fields.clean(f"the daemon {one} does not beat: runs stay queued without it") for one in silent)]
