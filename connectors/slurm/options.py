"""Settings of Slurm clusters: the login host of each, how to sign in, which submissions form a job."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictBool

from connectors.sdk.fields import matches_any
from connectors.sdk.transport.hosts import AbsolutePath, HostOptions, UserName

NamePattern = Annotated[str, Field(min_length=1, max_length=256)]


class SlurmOptions(HostOptions):
    """`[systems.NAME]` with `kind = "slurm"`. Each host is the login host of one cluster."""

    users: tuple[UserName, ...] = ()
    """Users whose jobs are watched; all if it is left out."""
    jobs: tuple[NamePattern, ...] = ("*",)
    """Job names that are watched: names or patterns ("etl-*"); all if it is left out."""
    ignore: tuple[NamePattern, ...] = ("interactive", "bash", "wrap")
    """Job names that are not: by default those of sessions and of one-liners without a name."""
    bin: AbsolutePath | None = None
    """Folder of Slurm's commands, where a login's own PATH does not have them ("/opt/slurm/bin")."""
    sudo: StrictBool = True
    """Whether `sudo -n -u USER` may be used to submit a job again as its own user, and to read its output."""
    history_hours: Annotated[int, Field(ge=0, le=24 * 366)] = 24 * 7
    """How far back the first poll and each inventory read accounting."""


class JobSelection:
    def __init__(self, options: SlurmOptions, target: str) -> None:
        self._options, self.target = options, target

    def job_of(self, user: str, name: str) -> str:
        """ "hpc:etl/load_orders": recurring work has one user and one name."""
        return f"{self.target}:{user}/{name}"

    def parts_of(self, job: str) -> tuple[str, str]:
        """User and name of a job of this target; ("", "") for any other job."""
        target, _, rest = job.partition(":")
        user, _, name = rest.partition("/")
        return (user, name) if target == self.target and name else ("", "")

    def wants(self, name: str) -> bool:
        return matches_any(name, self._options.jobs) and not matches_any(name, self._options.ignore)
