"""Settings of Slurm clusters: the login host of each, how to sign in, which submissions form a job."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, StrictBool, field_validator

from connectors.sdk.fields import matches_any
from connectors.sdk.option_errors import formatted_like
from connectors.sdk.transport.hosts import AbsolutePath, HostOptions, UserName

NamePattern = Annotated[str, Field(min_length=1, max_length=256)]
AccountName = Annotated[str, Field(min_length=1, max_length=64), formatted_like(r"[A-Za-z0-9_.@-]+", "etl")]


class SlurmOptions(HostOptions):
    """`[systems.NAME]` with `kind = "slurm"`. Each host is the login host of one cluster."""

    users: tuple[UserName, ...] = ()
    """Users whose jobs are watched; all if it is left out."""
    accounts: tuple[AccountName, ...] = ()
    """Slurm accounts whose jobs are watched; all if it is left out."""
    partitions: tuple[AccountName, ...] = ()
    """Partitions whose jobs are watched; all if it is left out."""
    jobs: tuple[NamePattern, ...] = ("*",)
    """Job names that are watched: names or patterns ("etl-*"); all if it is left out."""
    ignore: tuple[NamePattern, ...] = ("interactive", "bash", "wrap")
    """Job names that are not: by default those of sessions and of one-liners without a name."""
    varying: Annotated[str, Field(max_length=200)] = ""
    """Regular expression of the part of a name that differs from run to run ("[-_]20[0-9]{6}"): it is cut out, so that
    `load_20261119` and `load_20261120` are one job."""
    bin: AbsolutePath | None = None
    """Folder of Slurm's commands, where a login's own PATH does not have them ("/opt/slurm/bin")."""
    sudo: StrictBool = True
    """Whether `sudo -n -u USER` may be used to submit a job again as its own user, and to read its output."""
    history_hours: Annotated[int, Field(ge=0, le=24 * 366)] = 24 * 7
    """How far back the first poll and each inventory read accounting."""

    @field_validator("varying")
    @classmethod
    def varying_is_an_expression(cls, text: str) -> str:
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(f"varying = {text!r} is not a regular expression: {error}") from None
        return text


class JobSelection:
    def __init__(self, options: SlurmOptions, target: str) -> None:
        self._options, self.target = options, target
        self._varying = re.compile(options.varying) if options.varying else None

    def name_of(self, name: str) -> str:
        """The name less what differs from run to run; the whole name where nothing would be left."""
        return (self._varying.sub("", name) if self._varying else name) or name

    def job_of(self, user: str, name: str) -> str:
        """ "hpc:etl/load_orders": recurring work has one user and one name."""
        return f"{self.target}:{user}/{self.name_of(name)}"

    def parts_of(self, job: str) -> tuple[str, str]:
        """User and name of a job of this target; ("", "") for any other job."""
        target, _, rest = job.partition(":")
        user, _, name = rest.partition("/")
        return (user, name) if target == self.target and name else ("", "")

    def wants(self, name: str) -> bool:
        plain = self.name_of(name)
        return matches_any(plain, self._options.jobs) and not matches_any(plain, self._options.ignore)
