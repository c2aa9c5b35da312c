"""Settings of dbt projects on hosts: the hosts, the sign-in, the folders."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from connectors.sdk.option_errors import StrictOptions, formatted_like
from connectors.sdk.transport.hosts import AbsolutePath, HostOptions

_NAME = formatted_like(r"[A-Za-z0-9_.-]{1,80}", "shop")
_FOLDER = formatted_like(r"(?!(.*/)?\.\.(/|$))[A-Za-z0-9_@+.,=/-]{1,300}", "target")
_ARGUMENT = r"[A-Za-z0-9_.,:@+*/=-]+"
_PROGRAM = formatted_like(_ARGUMENT, "/opt/venv/bin/dbt")
START_COMMANDS = ("build", "run", "test", "seed", "snapshot")


def _start_command(arguments: tuple[str, ...]) -> tuple[str, ...]:
    if not arguments or arguments[0] not in START_COMMANDS:
        raise ValueError(
            f'start begins with one of {", ".join(START_COMMANDS)}, as in ["build", "--select", "tag:nightly"]'
        )
    return arguments


class DbtProject(StrictOptions):
    """One `[systems.NAME.projects.PROJECT]`."""

    folder: AbsolutePath
    """Where its dbt_project.yml is, on each of the hosts."""
    target: Annotated[str, _FOLDER] = "target"
    """Folder of its artifacts (dbt's --target-path)."""
    logs: Annotated[str, _FOLDER] = "logs"
    """Folder of its dbt.log (dbt's --log-path)."""
    profiles: AbsolutePath | None = None
    """Folder of profiles.yml for runs that Headway starts; by default where dbt looks itself."""
    dbt: Annotated[str, _PROGRAM] = "dbt"
    """The program: a name on the login's PATH, or its path."""
    start: Annotated[
        tuple[Annotated[str, formatted_like(_ARGUMENT, "tag:nightly")], ...], AfterValidator(_start_command)
    ] = ("build",)
    """Arguments of dbt for a start and for a full rerun."""


class DbtOptions(HostOptions):
    """`[systems.NAME]` with `kind = "dbt"`."""

    projects: Annotated[dict[Annotated[str, _NAME], DbtProject], Field(min_length=1)]
    """Name -> where it is."""
    tasks: tuple[Literal["model", "seed", "snapshot", "test", "unit_test"], ...] = (
        "model", "seed", "snapshot", "test", "unit_test",
    )  # fmt: skip
    """Which nodes are shown as tasks of their project; all count in its run either way."""
    python: Annotated[str, formatted_like(_ARGUMENT, "/usr/bin/python3")] = "python3"
    """Python 3.8 or newer on the host, which reads artifacts there."""
    home: Annotated[str, formatted_like(r"(~/|/)[A-Za-z0-9_@+.,=/-]*", "~/.headway/dbt")] = "~/.headway/dbt"
    """Folder on the host for saved states, and marks of the runs that Headway started."""
