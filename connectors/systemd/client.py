"""Calls to a host with systemd: fixed scripts.

Values reach a script quoted, on standard input, never in its command.
"""

from __future__ import annotations

from collections.abc import Iterable

from connectors.sdk.transport.hosts import ScriptCall, ScriptClient, scripts_beside
from connectors.sdk.transport.script_output import ScriptSection
from connectors.systemd.options import SystemdOptions

PAGE_BYTES = 4 * 1024 * 1024
"""Of the journal in one poll: about 8,000 entries."""


class SystemdClient(ScriptClient[SystemdOptions]):
    """One host. Each call returns the raw sections."""

    def snapshot(self, cursor: str, since: int, units: Iterable[str]) -> list[ScriptSection]:
        """Clock, timers, their services and `units`, and the journal since its cursor."""
        journal = ("journal", cursor, str(since), str(PAGE_BYTES))
        # The journal first: an end that it lacks is in the manager's answer a moment later.
        return self._ask(["host", "me", journal, ("timers", " ".join(units))])

    def timers(self) -> list[ScriptSection]:
        return self._ask(["host", "me", "timers ''"])

    def service(self, unit: str) -> list[ScriptSection]:
        """Clock, what is known now of one service, and whether we may start and stop it."""
        return self._ask(["host", ("services", unit), ("may", unit)])

    def rights(self, units: Iterable[str]) -> list[ScriptSection]:
        return self._ask(["host", "me", "journal '' \"$(date +%s)\" 4096", *(("may", unit) for unit in units)])

    def output(self, invocation: str, start: int | None, limit: int) -> list[ScriptSection]:
        return self._ask([("output", invocation, str(limit), "tail" if start is None else str(start))])

    def act(self, values: Iterable[str]) -> list[ScriptSection]:
        """Sends once: verb, unit, key, latest second, since, invocation."""
        return self._ask([("act", *values)], once=True)

    def mark(self, key: str, since: int, unit: str) -> list[ScriptSection]:
        return self._ask([("look_for", key, str(since), unit)])

    def _ask(self, calls: Iterable[ScriptCall], once: bool = False) -> list[ScriptSection]:
        scripts, sudo = scripts_beside(__file__, "collect.sh", "act.sh"), "sudo" if self.options.sudo else ""
        return self.run_calls(scripts, f"SUDO={sudo}", calls, once=once)
