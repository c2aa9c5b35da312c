"""TOML -> checked settings: one file or a folder of files is one estate, and bad config changes nothing.

All faults of an estate are reported at once, each with file, line, key, value and the mend.
"""

from __future__ import annotations

from console.config.edges import find_cycle
from console.config.loading import load_config
from console.config.models import (
    ActingSettings,
    AlertSettings,
    Config,
    DependencySettings,
    EstateSettings,
    JobSettings,
    PermissionSettings,
    RouteSettings,
    ServiceSettings,
    SystemConfig,
    SystemSettings,
)
from console.config.promises import DeadlineSettings, SlaSettings, SloSettings
from console.config.reading import ConfigFaults, Fault, config_files, line_of

__all__ = [
    "ActingSettings",
    "AlertSettings",
    "Config",
    "ConfigFaults",
    "DeadlineSettings",
    "DependencySettings",
    "EstateSettings",
    "Fault",
    "JobSettings",
    "PermissionSettings",
    "RouteSettings",
    "ServiceSettings",
    "SlaSettings",
    "SloSettings",
    "SystemConfig",
    "SystemSettings",
    "config_files",
    "find_cycle",
    "line_of",
    "load_config",
]
