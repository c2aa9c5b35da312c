"""Settings of hosts with systemd timers: which timers are watched."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictBool

from connectors.sdk.option_errors import formatted_like
from connectors.sdk.transport.hosts import HostOptions

UnitPattern = Annotated[
    str, Field(min_length=1, max_length=256), formatted_like(r"[A-Za-z0-9:_.\\@*?\[\]!-]+", "backup-*.timer")
]


class SystemdOptions(HostOptions):
    """`[systems.NAME]` with `kind = "systemd"`."""

    timers: tuple[UnitPattern, ...] = ("*",)
    """Timers that are watched: names or patterns ("etl-*.timer"); default: all."""
    ignore: tuple[UnitPattern, ...] = (
        "apt-daily*", "dpkg-*", "e2scrub_*", "fstrim.*", "man-db.*", "systemd-tmpfiles-*",
    )  # fmt: skip
    """Timers that are not watched: by default those of the operating system."""
    sudo: StrictBool = True
    """Whether `sudo -n` may be used to start and stop units (not needed for root)."""
