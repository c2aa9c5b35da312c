"""Settings of the inbound listener: its address, and the jobs that may report through it."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StrictBool, model_validator

from connectors.sdk.option_errors import Duration, StrictOptions, Zone
from connectors.sdk.secrets import FilePath, SecretRef
from connectors.sdk.transport.loopback import checked_listen, listen_address

LISTENER = "listener"
"""Name of the one target, as stores have it."""


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", name):
        raise ValueError(f"{name!a} is not valid: the name is part of URLs. Letters, digits, _ . - (80 at most)")
    return name


class HeartbeatJob(StrictOptions):
    """One `[systems.NAME.jobs.JOB]`."""

    token: SecretRef
    """A reference to the secret that this job alone has: 16 to 128 letters, digits, _ or -. openssl rand -hex 16"""
    title: str = ""
    """A short description."""
    schedule: str = ""
    """When a start is expected: five fields of a crontab. Empty: whenever it comes."""
    lost_after: Duration = timedelta(hours=24)
    """A start whose end has not come for so long is LOST."""
    post_only: StrictBool = False
    """Only POST reports; GET, as of the link preview of a chat, shows how to report."""


class HeartbeatOptions(StrictOptions):
    """One listener, and all jobs that report through it."""

    listen: str = "127.0.0.1:8787"
    """Address and port at which the engine listens."""
    plain_http: StrictBool = False
    """Allows an address that others can reach: tokens cross it unencrypted, so put a proxy with TLS in front."""
    spool: FilePath | None = None
    """File that has every report before it is answered; by default in the user's state folder."""
    zone: Zone = "UTC"
    """In which the schedules of the jobs are meant."""
    jobs: Annotated[dict[Annotated[str, AfterValidator(_check_name)], HeartbeatJob], Field(min_length=1)]
    """Name -> token and expectation."""

    @model_validator(mode="after")
    def is_not_open_to_all(self) -> HeartbeatOptions:
        checked_listen(self.listen, self.plain_http)
        return self

    @cached_property
    def address(self) -> tuple[str, int]:
        return listen_address(self.listen)

    @property
    def spool_file(self) -> Path:
        """Named after the address: only one program of this machine can listen there."""
        if self.spool is not None:
            return self.spool.expanduser()
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return Path(base) / "headway" / f"heartbeat-{re.sub(r'[^0-9a-z]+', '-', self.listen.lower()).strip('-')}.db"
