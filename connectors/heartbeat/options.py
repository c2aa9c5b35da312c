"""Settings of the inbound door: where it listens, and which jobs may report through it."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from connectors.secrets import FilePath, SecretRef

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_ADDRESS = re.compile(r"(?:\[([0-9a-fA-F:.]{2,45})\]|([0-9.]{7,15}|localhost)):([1-9]\d{0,4})")


def _pause(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    found = re.fullmatch(r"([1-9]\d{0,4})([smhd])", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f'{value!r} is not a duration; write "90m", "2h" or "1d"')
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", name):
        raise ValueError(f"{name!a} is no name for a job here: it stands in URLs. Letters, digits, _ . - (80 at most)")
    return name


def _address(text: str) -> str:
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found[3]) > 65535:
        raise ValueError(f'{text!r} is no address to listen at; write "127.0.0.1:8787" or "[::1]:8787"')
    return text


class HeartbeatJob(BaseModel):
    """One `[systems.NAME.jobs.JOB]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: SecretRef
    """A reference to the secret that this job alone has: 16 to 128 letters, digits, _ or -. openssl rand -hex 16"""
    title: str = ""
    """What it does, in a few words."""
    schedule: str = ""
    """When a start is expected: five fields of a crontab. Empty: whenever it comes."""
    lost_after: Annotated[timedelta, BeforeValidator(_pause)] = timedelta(hours=24)
    """A start whose end has not come for so long is LOST."""


class HeartbeatOptions(BaseModel):
    """One door, and all jobs that report through it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: Annotated[str, AfterValidator(_address)] = "127.0.0.1:8787"
    """Address and port at which the engine listens."""
    plain_http: bool = False
    """Allows an address that others reach: tokens go over it unencrypted, so a proxy with TLS must stand before it."""
    spool: FilePath | None = None
    """File in which every report stands before it is answered; by default in the user's state folder."""
    zone: str = "UTC"
    """In which the schedules of the jobs are meant."""
    jobs: Annotated[dict[Annotated[str, AfterValidator(_name)], HeartbeatJob], Field(min_length=1)]
    """Name -> token and expectation."""

    @model_validator(mode="after")
    def is_not_open_to_all(self) -> HeartbeatOptions:
        host = self.address[0]
        if not self.plain_http and host != "localhost" and not ip_address(host).is_loopback:
            raise ValueError(
                f"listen = {self.listen!r}: others reach this address, and tokens would cross the network unencrypted."
                " Listen at 127.0.0.1 behind a proxy with TLS, or write plain_http = true"
            )
        return self

    @cached_property
    def address(self) -> tuple[str, int]:
        found = _ADDRESS.fullmatch(self.listen)
        assert found is not None
        return found[1] or found[2], int(found[3])

    @property
    def spool_file(self) -> Path:
        """Named after the address: only one program of this machine can listen there."""
        if self.spool is not None:
            return self.spool.expanduser()
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return Path(base) / "headway" / f"heartbeat-{re.sub(r'[^0-9a-z]+', '-', self.listen.lower()).strip('-')}.db"


def targets(options: HeartbeatOptions) -> list[str]:
    """One: the door."""
    del options
    return ["door"]
