"""The settings of dbt projects on hosts: which hosts, how to sign in, which folders."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from connectors.spelling import spelled
from connectors.transport.hosts import AbsolutePath, HostOptions

_NAME = spelled(r"[A-Za-z0-9_.-]{1,80}", "shop")
_WORD = r"[A-Za-z0-9_.,:@+*/=-]+"
_PROGRAM = spelled(_WORD, "/opt/venv/bin/dbt")
RUNS = ("build", "run", "test", "seed", "snapshot")


def _starts(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words or words[0] not in RUNS:
        raise ValueError(f'start begins with one of {", ".join(RUNS)}, as in ["build", "--select", "tag:nightly"]')
    return words


def _relative(path: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_@+.,=/-]{1,300}", path) or ".." in path.split("/"):
        raise ValueError(f"{path!r} is no folder here; write one below the project, or from the root on")
    return path


class Project(BaseModel):
    """One `[systems.NAME.projects.PROJECT]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: AbsolutePath
    """Where its dbt_project.yml is, on each of the hosts."""
    target: Annotated[str, AfterValidator(_relative)] = "target"
    """Folder of its artefacts (dbt's --target-path)."""
    logs: Annotated[str, AfterValidator(_relative)] = "logs"
    """Folder of its dbt.log (dbt's --log-path)."""
    profiles: AbsolutePath | None = None
    """Folder of profiles.yml for what Headway starts; without it where dbt looks by itself."""
    dbt: Annotated[str, _PROGRAM] = "dbt"
    """The program: a name on the login's PATH, or its path."""
    start: Annotated[tuple[Annotated[str, spelled(_WORD, "tag:nightly")], ...], AfterValidator(_starts)] = ("build",)
    """What a start, and a rerun of all, gives to dbt."""
    failed_nodes: Literal["partial", "failed"] = "partial"
    """What a run is in which some nodes failed: PARTIAL opens no incident by itself, FAILED does."""
    keep: Annotated[int, Field(ge=0, le=100)] = 5
    """So many states of runs that failed are kept on the host, for a retry after dbt has overwritten them; 0: none."""


class DbtOptions(HostOptions):
    """`[systems.NAME]` with `kind = "dbt"`."""

    projects: Annotated[dict[Annotated[str, _NAME], Project], Field(min_length=1)]
    """Name -> where it is."""
    tasks: tuple[Literal["model", "seed", "snapshot", "test", "unit_test"], ...] = (
        "model", "seed", "snapshot", "test", "unit_test",
    )  # fmt: skip
    """Which nodes are shown as tasks of their project; all count in its run either way."""
    python: Annotated[str, spelled(_WORD, "/usr/bin/python3")] = "python3"
    """Python 3.8 or newer on the host, with which artefacts are read there."""
    home: Annotated[str, spelled(r"(~/|/)[A-Za-z0-9_@+.,=/-]*", "~/.headway/dbt")] = "~/.headway/dbt"
    """Folder on the host for states that are kept, and marks of what Headway started."""
