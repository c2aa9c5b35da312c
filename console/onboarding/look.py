"""All of the looking: every finder, in the order in which a person is told. What breaks one hides no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from console.clean import clean_line
from console.onboarding import accounts, folders, homes, postgres, schedulers
from console.onboarding.finding import Finding, Machine, Ready

FINDERS: tuple[tuple[str, Callable[[Machine], Iterator[Finding]]], ...] = (
    ("crontabs", schedulers.crontabs),
    ("systemd timers", homes.timers),
    ("an Airflow home", homes.airflow),
    ("PostgreSQL with pg_cron", postgres.databases),
    ("AWS profiles", homes.aws),
    ("Databricks", accounts.databricks),
    ("GitHub and clones with workflows", folders.github),
    ("dbt projects", folders.dbt_projects),
    ("Slurm", accounts.slurm),
    ("Kubernetes", homes.kube),
    ("~/.ssh/config", homes.ssh_hosts),
)
"""What is looked for, in words, and by whom."""


def look(machine: Machine, tell: Callable[[str], None]) -> list[Finding]:
    """Everything that was found; `tell` gets what is being looked for."""
    found: list[Finding] = []
    for words, finder in FINDERS:
        tell(words)
        found += _found(machine, words, finder)
    return _named_apart(found)


def _found(machine: Machine, words: str, finder: Callable[[Machine], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(finder(machine))
    except Exception as error:  # noqa: BLE001 - a surprise in one place must not hide the others
        told = clean_line(f"{type(error).__name__}: {error}")
        return [Finding("?", words, "here", Ready.LATER, f"looking for it broke: {told}")]


def _named_apart(found: list[Finding]) -> list[Finding]:
    """The same, no two of one key or name: "pg", "pg-2"."""
    seen: dict[str, int] = {}
    apart = []
    for one in found:
        number = seen[one.key] = seen.get(one.key, 0) + 1
        again = f"-{number}" if number > 1 else ""
        apart.append(replace(one, key=f"{one.key}{again}", name=f"{one.name}{again}" if one.name else ""))
    return apart
