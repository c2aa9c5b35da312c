"""The settings of a system of systemd timers: which hosts, how to sign in, which timers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from connectors.spelling import spelled
from connectors.transport.hosts import HostOptions

UnitPattern = Annotated[
    str, Field(min_length=1, max_length=256), spelled(r"[A-Za-z0-9:_.\\@*?\[\]!-]+", "backup-*.timer")
]


class SystemdOptions(HostOptions):
    """`[systems.NAME]` with `kind = "systemd"`."""

    timers: tuple[UnitPattern, ...] = ("*",)
    """Timers that are watched: names or patterns ("etl-*.timer"); all of the host if it is left out."""
    ignore: tuple[UnitPattern, ...] = (
        "apt-daily*",
        "dpkg-*",
        "e2scrub_*",
        "fstrim.*",
        "man-db.*",
        "systemd-tmpfiles-*",
    )
    """Timers that are not: by default those that the operating system brings itself."""
    sudo: bool = True
    """Whether `sudo -n` may be used to start and stop units (not needed for root)."""
    history_hours: Annotated[int, Field(ge=0, le=24 * 366)] = 24 * 14
    """How far back the first poll reads the journal."""
