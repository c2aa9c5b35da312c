"""Settings of cron hosts: their logs, crontabs and the wrapper's records."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictBool

from connectors.sdk.transport.hosts import AbsolutePath, HostOptions, UserName


class CronOptions(HostOptions):
    """`[systems.NAME]` with `kind = "cron"`."""

    logs: Annotated[tuple[AbsolutePath, ...], Field(min_length=1)] = (
        "/var/log/cron.log",
        "/var/log/cron",
        "/var/log/syslog",
        "/var/log/messages",
    )
    """Where cron's log is; the first that is there counts: as rsyslog, cronie's distributions and busybox put it."""
    sudo: StrictBool = True
    """Whether `sudo -n` may be used to read crontabs and to act as other users (not needed for root)."""
    users: tuple[UserName, ...] = ()
    """Users whose jobs are watched. Default: all; where sudo may not list the crontabs, those of uid 0 and 1000
    upwards."""
    spool: AbsolutePath = "/var/spool/headway"
    """Folder on the hosts with the wrapper's records and the marks of what we did."""
    restricted: StrictBool = False
    """True: the key may only read; the host answers through `headway-gate` (`headway connector cron gate`), which takes
    no script of ours. Reruns, cancels and holds are refused."""
