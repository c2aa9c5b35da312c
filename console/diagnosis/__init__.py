"""The checks of an installation: `headway check` runs those of the config and of its targets, --installation all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from console.diagnosis import config, machine, store, targets

if TYPE_CHECKING:
    from console.diagnosis.installation import Installation, Problem

Check: TypeAlias = "Callable[[Installation], Iterable[Problem]]"

STORE_CHECKS: tuple[Check, ...] = (store.access, store.config_in_use, store.unverified_server)
CONFIG_CHECKS: tuple[Check, ...] = (
    config.job_names,
    config.schedules,
    config.schedule_faults,
    config.patterns,
    config.calendars,
    config.preferences,
    config.open_permissions,
    config.clock_changes,
    config.cutoffs,
    config.unverified_names,
    config.unencrypted_transport,
    config.machine_bound_targets,
)
"""Those of a valid config."""
TARGET_CHECKS: tuple[Check, ...] = (targets.answers,)
"""Those of what the systems of a valid config answer."""
INSTALLATION_CHECKS: tuple[Check, ...] = (
    machine.connector_kinds,
    machine.terminal,
    machine.time_zone_data,
    config.faults,
    store.file,
    store.clock,
    store.engine,
    store.stopped_actions,
    targets.clocks,
)
"""The rest, which `--installation` adds; also for an invalid config."""
