"""Starting a service once more, and stopping one that runs: looked at first, sent once, found again by our mark."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from connectors.arrival import SEND_SECONDS, sent_at, time_to_send, unless_on_its_way
from connectors.contract import (
    ACTION_KEY,
    Absent,
    AccessRefused,
    Ask,
    Found,
    LookUp,
    NotSupported,
    OutcomeUnknown,
    Preview,
    Receipt,
    RunRef,
    SystemUnreachable,
    Verb,
)
from connectors.systemd import parse
from connectors.systemd.client import SystemdClient
from connectors.systemd.parse import Service
from connectors.systemd.runs import ALIVE
from connectors.transport.answer import Section, host_now
from connectors.transport.ssh import SshFailed

UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,246}\.service")
RUNS_NOW = "the service is started now, with its own settings and user; it is not told for which date"
BEFORE = timedelta(hours=1)
"""How long before it was sent its mark is looked for: the clocks may differ."""


def unit_of(run: RunRef, target: str) -> str:
    """The service's unit name. NotSupported for a job that is none of this host's."""
    host, _, unit = run.job.partition(":")
    if host != target or not UNIT.fullmatch(unit):
        raise NotSupported(f"{run.job}: not a service of {target}")
    return unit


def reference(run: RunRef) -> dict[str, Any]:
    try:
        value = json.loads(run.native_ref)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


class SystemdActs:
    """The verbs of one host."""

    def __init__(self, client: SystemdClient, target: str) -> None:
        self._client = client
        self._target = target

    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        """What `act` would send. NotSupported for verbs that systemd has not."""
        if ask.verb not in (Verb.RERUN, Verb.START, Verb.CANCEL):
            raise NotSupported(f'systemd timers have no "{ask.verb}"; what they have is: rerun, start, cancel')
        unit = unit_of(ask.run, self._target)
        verb = "stop" if ask.verb == Verb.CANCEL else "start"
        parts = self._client.service(unit, timeout_seconds)
        service = next((parse.services(part.body).get(unit) for part in parts if part.kind == "SERVICES"), None)
        invocation = str(reference(ask.run).get("invocation", ""))
        skew = (host_now(parts[0]).now - datetime.now(UTC)).total_seconds()
        refused = self._refused(verb, unit, service, invocation, parts)
        notes = (RUNS_NOW,) if verb == "start" else ("systemd sends SIGTERM, and SIGKILL after TimeoutStopSec",)
        return Preview(
            verb=f"{verb} the service",
            words=f"{verb} {unit} on {self._target} as {service.user if service else '?'}",
            scope=f"1 run of {ask.run.job}",
            overlap=_overlap(service) if verb == "start" else None,
            native_calls=(f"ssh {self._target}: systemctl {verb} --no-block {unit}",),
            notes=notes,
            refused=refused,
            plan={"verb": verb, "unit": unit, "invocation": invocation, "skew": skew},
        )

    def _refused(
        self, verb: str, unit: str, service: Service | None, invocation: str, parts: list[Section]
    ) -> str | None:
        if service is None or not service.path:
            return f"{unit} is not known to systemd on {self._target}: removed, or renamed"
        alive = service.active in ALIVE and service.sub != "exited"
        if verb == "start" and alive:
            return f"{unit} runs now ({service.active}): systemd starts a service once at a time"
        if verb == "start" and service.active in ALIVE:  # RemainAfterExit=yes
            return f"{unit} is {service.active} ({service.sub}) and stays so: systemd starts it only once it is stopped"
        if verb == "stop" and not alive:
            return f"{unit} does not run ({service.active})"
        if verb == "stop" and service.invocation != invocation:
            return f"another run of {unit} runs now: look at it again"
        may = {part.fields(3)[1]: part.fields(3)[0] for part in parts if part.kind == "MAY"}
        return None if may.get(verb) == "yes" else mend(self._client.where, unit)

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        """Sends it once under `key`. OutcomeUnknown when the host was reached and did not answer."""
        _check_key(key)
        until = monotonic() + time_to_send(preview, timeout_seconds)
        plan = preview.plan
        verb, unit = str(plan["verb"]), str(plan["unit"])
        sent = (sent_at(plan) or datetime.now(UTC)) + timedelta(seconds=float(plan["skew"]))
        latest = int((sent + timedelta(seconds=SEND_SECONDS)).timestamp())
        values = (verb, unit, key, str(latest), str(_since(plan)), str(plan["invocation"]))
        looked_up = f"Whether it was done is looked up by its mark in the journal of {self._target}."
        try:
            said = self._client.act(values, until - monotonic())[0]
        except SshFailed as error:
            if error.touched:
                raise OutcomeUnknown(f"{error} {looked_up}") from error
            raise
        except SystemUnreachable as error:
            raise OutcomeUnknown(f"{error} {looked_up}") from error
        if said.kind in ("DONE", "EXISTS"):
            return Receipt(key, f"systemctl {verb} {unit} was accepted on {self._target}")
        raise self._no(said, verb, unit)

    def _no(self, said: Section, verb: str, unit: str) -> AccessRefused | NotSupported:
        if said.kind == "REFUSED":
            return AccessRefused(f"{said.rest[:200]}: {mend(self._client.where, unit)}")
        why = {
            "LATE": "the request came too late and nothing was done. Ask again",
            "RUNS": f"it runs meanwhile ({said.rest[:40]})",
            "OVER": "it does not run any more",
            "OTHER": "another run of it runs now",
            "NOMARK": "our mark could not be written to the journal (systemd-cat), so nothing was asked of systemd",
        }.get(said.kind, f"unknown answer {said.kind[:40]}")
        return NotSupported(f"{unit} on {self._target}: {why}.")

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        """By our mark in the journal; absence is proved by time alone."""
        _check_key(key)
        said = self._client.mark(key, _since(preview.plan), str(preview.plan["unit"]), timeout_seconds)[0]
        found = said.fields(2)[0] == "found"
        answer: LookUp = Found(key, f"its mark is in the journal of {self._target}") if found else Absent()
        return unless_on_its_way(answer, preview)


def mend(where: str, unit: str) -> str:
    """What the login lacks, and the rule that gives it."""
    return (
        f"{where}: the login may not start and stop {unit}. Add to its sudoers: NOPASSWD: "
        f"/usr/bin/systemctl start --no-block -- {unit}, /usr/bin/systemctl stop --no-block -- {unit}"
    )


def _since(plan: Mapping[str, Any]) -> int:
    sent = sent_at(plan) or datetime.now(UTC) - timedelta(days=1)
    return int((sent - BEFORE + timedelta(seconds=min(0.0, float(plan["skew"])))).timestamp())


def _overlap(service: Service | None) -> str | None:
    if service is not None and service.active in ALIVE and service.sub != "exited":
        return f"{service.unit} runs now"
    return None


def _check_key(key: str) -> None:
    if not ACTION_KEY.fullmatch(key):
        raise NotSupported(f"not an action key of ours: {key[:60]!r}")
