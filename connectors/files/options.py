"""Settings of a files system: hosts with their folders, and the files that are expected there."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from connectors.sdk.daily_time import JobName
from connectors.sdk.file_arrivals import FileOptions
from connectors.sdk.option_errors import Zone
from connectors.sdk.transport.hosts import HostOptions


class FilesOptions(HostOptions):
    """Hosts by SFTP, or this machine with what it mounts; each file is expected on every host."""

    zone: Zone = "UTC"
    """In which dates and times of the files are meant."""
    files: Annotated[dict[JobName, FileOptions], Field(min_length=1)]
    """The expected files, by name."""
