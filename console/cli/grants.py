"""`headway grants store|KIND`: what to run at the store's database or at a system, so that Headway may just do it."""

from __future__ import annotations

import argparse
import sys
from importlib.resources import files

from console.cli.exits import Exit

GRANTS = {
    "store": ("console.store", "grants.sql"),
    "airflow": ("connectors.airflow", "grants.txt"),
    "batch": ("connectors.batch", "grants.json"),
    "cron": ("connectors.cron", "grants.txt"),
    "dagster": ("connectors.dagster", "grants.txt"),
    "dbt": ("connectors.dbt", "grants.txt"),
    "heartbeat": ("connectors.heartbeat", "grants.txt"),
    "eventbridge": ("connectors.eventbridge", "grants.json"),
    "http": ("connectors.http", "grants.txt"),
    "sql": ("connectors.sql", "grants.txt"),
    "glue": ("connectors.glue", "grants.json"),
    "github_actions": ("connectors.github_actions", "grants.txt"),
    "databricks": ("connectors.databricks", "grants.txt"),
    "kubernetes": ("connectors.kubernetes", "grants.txt"),
    "prefect": ("connectors.prefect", "grants.txt"),
    "mysql_events": ("connectors.mysql_events", "grants.sql"),
    "pg_cron": ("connectors.pg_cron", "grants.sql"),
    "pgagent": ("connectors.pgagent", "grants.sql"),
    "slurm": ("connectors.slurm", "grants.txt"),
    "step_functions": ("connectors.step_functions", "grants.json"),
    "systemd": ("connectors.systemd", "grants.txt"),
}
"""What for -> the package and the file in it, printed as it is: it can be piped into psql or a file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = ", ".join(list(GRANTS)[1:])
    words = f"store (the shared one, on PostgreSQL), or a kind of system: {kinds}"
    parser.add_argument("what", choices=list(GRANTS), metavar="store|KIND", help=words)


def run(arguments: argparse.Namespace) -> int:
    sys.stdout.write(grants_text(arguments.what))
    return Exit.OK


def grants_text(what: str) -> str:
    package, name = GRANTS[what]
    return files(package).joinpath(name).read_text(encoding="utf-8")
