"""The crontabs of this machine, and how any scheduler is asked that answers at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from connectors.contract import ConnectorError, Inventory, Probe
from connectors.registry import UnknownKind, load
from connectors.secrets import SecretStore
from console.onboarding.finding import Finding, Machine, Ready

SOME = 3
"""So many files that cron ignores are told; `headway check` tells all."""


def crontabs(machine: Machine) -> Iterator[Finding]:
    """The crontabs of this machine that its user may read; nothing where there are none."""
    settings: dict[str, Any] = {"hosts": [{"name": machine.host, "local": True}], "timezone": machine.zone}
    where = "/etc/crontab, /etc/cron.d, crontabs of users"
    found = Finding("cron", "crontabs of this machine", where, Ready.NEEDS, "", None, "cron", "cron", settings)
    try:
        inventory, probe = ask("cron", settings, machine.host, machine.seconds)
    except (ConnectorError, UnknownKind) as error:
        yield replace(found, words=str(error))
        return
    if not inventory.jobs and not inventory.skipped and inventory.complete:
        return
    missing = missing_words(probe)
    spread = Counter(job.run_as or "?" for job in inventory.jobs)
    words = "of " + ", ".join(f"{user} {number}" for user, number in spread.most_common(6))
    words += "".join(f"; {one.where}: {one.reason}" for one in inventory.skipped[:SOME])
    ready = Ready.NEEDS if missing else Ready.NOW
    yield replace(found, ready=ready, words=missing or words, jobs=len(inventory.jobs))


def ask(kind: str, settings: Mapping[str, Any], target: str, seconds: float) -> tuple[Inventory, Probe]:
    """What a target says of its jobs and of our rights. Raises ConnectorError or UnknownKind."""
    found = load(kind)
    options = found.options.model_validate({name: one for name, one in settings.items() if name != "timezone"})
    connector = found.open(options, target, SecretStore())
    try:
        return connector.inventory("", seconds), connector.probe(seconds)
    finally:
        connector.close()


def missing_words(probe: Probe) -> str:
    """What keeps us from seeing what runs there, with the mend; empty for nothing."""
    missing = [right for right in probe.rights if right.held is False and right.needed_for == "view"]
    return "; ".join(f"{right.why}. Mend: {right.mend}" for right in missing)
