"""Which job a submission belongs to, and whether it is watched."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from connectors.slurm.options import SlurmOptions


class Choice:
    """What the settings say of names."""

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
        """User and name of a job of this target; ("", "") for one that is none of ours."""
        target, _, rest = job.partition(":")
        user, _, name = rest.partition("/")
        return (user, name) if target == self.target and name else ("", "")

    def wants(self, name: str) -> bool:
        """Whether jobs of that name are watched."""
        plain = self.name_of(name)
        return any(fnmatchcase(plain, one) for one in self._options.jobs) and not any(
            fnmatchcase(plain, one) for one in self._options.ignore
        )
