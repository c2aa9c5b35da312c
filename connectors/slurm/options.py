"""Settings of Slurm clusters: the login host of each, how to sign in, which submissions form a job."""

from __future__ import annotations

import re
from collections.abc import Iterable
from re import _constants as re_constants  # type: ignore[attr-defined]
from re import _parser as re_parser  # type: ignore[attr-defined]
from typing import Annotated, Any

from pydantic import Field, StrictBool, field_validator

from connectors.sdk.fields import matches_any
from connectors.sdk.option_errors import formatted_like
from connectors.sdk.transport.hosts import AbsolutePath, HostOptions, UserName

LONGEST_NAME = 128
"""Characters of a name from which it is taken whole."""
MAX_TRIES = (LONGEST_NAME + 1) ** 3
"""The ways in which an expression may match one name, at most 0.1 s: two repeats without a bound."""
REPEATS = (re_constants.MAX_REPEAT, re_constants.MIN_REPEAT, re_constants.POSSESSIVE_REPEAT)
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
            tries = LONGEST_NAME * _tries(re_parser.parse(text))
        except re.error as error:
            raise ValueError(f"varying = {text!r} is not a regular expression: {error}") from None
        if tries > MAX_TRIES:
            raise ValueError(
                f"varying = {text!r} may take too long on a name: its repeats can match in too many ways. Fix: write"
                ' two + or * at most, none inside another, and bounded repeats otherwise: "[0-9]{1,12}"'
            )
        return text


def _tries(pattern: Iterable[tuple[Any, Any]]) -> int:
    """The most ways in which a parsed expression can match at one position of a name. re may try each of them."""
    tries = 1
    for operator, argument in pattern:
        if operator in REPEATS:
            least, most, repeated = argument
            most = min(most, LONGEST_NAME)
            inner = _tries(repeated)
            tries *= max(1, most - least + 1) * (inner**most if inner > 1 else 1)
        elif operator is re_constants.BRANCH:
            tries *= sum(map(_tries, argument[1]))
        else:  # a group, a condition, an assertion
            parts = argument if isinstance(argument, tuple | list) else (argument,)
            for part in parts:
                tries *= _tries(part) if isinstance(part, re_parser.SubPattern) else 1
        tries = min(tries, MAX_TRIES + 1)
    return tries


class JobSelection:
    def __init__(self, options: SlurmOptions, target: str) -> None:
        self._options, self.target = options, target
        self._varying = re.compile(options.varying) if options.varying else None

    def name_of(self, name: str) -> str:
        """The name less what differs from run to run; the whole name where nothing would be left."""
        return (self._varying.sub("", name) if self._varying and len(name) <= LONGEST_NAME else name) or name

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
