"""The settings of a system of Slurm clusters: a login host of each, how to sign in, which jobs."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator

from connectors.spelling import spelled
from connectors.transport.hosts import AbsolutePath, HostOptions, UserName

NamePattern = Annotated[str, Field(min_length=1, max_length=256)]
AccountName = Annotated[str, Field(min_length=1, max_length=64), spelled(r"[A-Za-z0-9_.@-]+", "etl")]


class SlurmOptions(HostOptions):
    """`[systems.NAME]` with `kind = "slurm"`. Each host is the login host of one cluster."""

    users: tuple[UserName, ...] = ()
    """Whose jobs are watched; those of everybody if it is left out."""
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
    sudo: bool = True
    """Whether `sudo -n -u USER` may be used to submit a job anew as its own user, and to read its output."""
    history_hours: Annotated[int, Field(ge=0, le=24 * 366)] = 24 * 7
    """How far back the first poll and each look at the job names read accounting."""

    @field_validator("varying")
    @classmethod
    def varying_is_an_expression(cls, text: str) -> str:
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(f"varying = {text!r} is no regular expression: {error}") from None
        return text
