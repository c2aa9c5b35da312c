"""Starts and stops a service: previewed, sent once, looked up by Headway's mark in the journal."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from connectors.sdk.contract import (
    ActionAbsent,
    ActionFound,
    ActionSpec,
    ActionUnknown,
    LookUpResult,
    Preview,
    Receipt,
    check_action_key,
)
from connectors.sdk.errors import AccessRefused, ConnectorError, NotSupported, OutcomeUnknown
from connectors.sdk.fields import masked_head, reference_row
from connectors.sdk.records import RunRef
from connectors.sdk.settle import host_window, unless_in_flight
from connectors.sdk.states import Verb
from connectors.sdk.transport.hosts import sent_once
from connectors.sdk.transport.script_output import ScriptSection, host_now
from connectors.systemd import parse
from connectors.systemd.client import SystemdClient
from connectors.systemd.parse import ServiceUnit

UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,246}\.service")
RUNS_NOW = "the service is started now, with its own settings and user; it gets no date"


def invocation_of(run: RunRef) -> str:
    return str(reference_row(run.native_ref).get("invocation", ""))


class SystemdActions:
    def __init__(self, client: SystemdClient, target: str) -> None:
        self._client, self._target = client, target

    def preview(self, spec: ActionSpec) -> Preview:
        """As the contract says. Raises NotSupported for verbs that systemd lacks."""
        if spec.verb not in (Verb.RERUN, Verb.START, Verb.CANCEL):
            raise NotSupported(f'systemd timers have no "{spec.verb}"; they have: rerun, start, cancel')
        host, _, unit = spec.run.job.partition(":")
        if host != self._target or not UNIT.fullmatch(unit):
            raise NotSupported(f"{spec.run.job}: not a service of {self._target}")
        verb = "stop" if spec.verb == Verb.CANCEL else "start"
        parts = self._client.service(unit)
        service = next((parse.services(part.body).get(unit) for part in parts if part.kind == "SERVICES"), None)
        invocation = invocation_of(spec.run)
        skew = (host_now(parts[0]).now - datetime.now(UTC)).total_seconds()
        refused = self._refused(verb, unit, service, invocation, parts)
        note = RUNS_NOW if verb == "start" else "systemd sends SIGTERM, and SIGKILL after TimeoutStopSec"
        return Preview(
            verb=f"{verb} the service",
            summary=f"{verb} {unit} on {self._target} as {service.user if service else '?'}",
            scope=f"1 run of {spec.run.job}",
            overlap=f"{unit} runs now" if verb == "start" and service and service.is_running else None,
            native_calls=(f"on {self._target}: systemctl {verb} --no-block {unit}",),
            notes=(note,),
            refused=refused,
            plan={"verb": verb, "unit": unit, "invocation": invocation, "skew": skew},
        )

    def _refused(
        self, verb: str, unit: str, service: ServiceUnit | None, invocation: str, parts: list[ScriptSection]
    ) -> str | None:
        if service is None or not service.path:
            return f"{unit} is not known to systemd on {self._target}: removed, or renamed"
        if verb == "start" and service.is_running:
            return f"{unit} runs now ({service.active}): systemd starts a service once at a time"
        if verb == "start" and service.is_alive:  # RemainAfterExit=yes
            return f"{unit} is {service.active} ({service.sub}) and stays so: systemd starts it only once it is stopped"
        if verb == "stop" and not service.is_running:
            return f"{unit} does not run ({service.active})"
        if verb == "stop" and service.invocation != invocation:
            return f"another run of {unit} runs now: refresh it"
        may = {part.fields(3)[1]: part.fields(3)[0] for part in parts if part.kind == "MAY"}
        return None if may.get(verb) == "yes" else sudo_fix(self._client.where, unit)

    def act(self, preview: Preview, key: str) -> Receipt:
        """Sends it once under `key`. Raises OutcomeUnknown when the host was reached and did not answer."""
        check_action_key(key)
        since, latest = host_window(preview.plan)
        verb, unit, invocation = (str(preview.plan[name]) for name in ("verb", "unit", "invocation"))
        values = (verb, unit, key, str(latest), str(since), invocation)
        unknown = f"Whether it was done is looked up by its mark in the journal of {self._target}."
        answer = sent_once(lambda: self._client.act(values)[0], unknown)
        if answer.kind in ("DONE", "EXISTS"):
            return Receipt(key, f"systemctl {verb} {unit} was accepted on {self._target}")
        raise self._error(answer, unit, unknown)

    def _error(self, section: ScriptSection, unit: str, unknown: str) -> ConnectorError:
        if section.kind == "REFUSED":
            return AccessRefused(f"{masked_head(section.rest, 200)}: {sudo_fix(self._client.where, unit)}")
        why = {
            "LATE": "the request came too late and nothing was done. Send it again",
            "RUNS": f"it runs now ({masked_head(section.rest, 40)})",
            "OVER": "it does not run any more",
            "OTHER": "another run of it runs now",
            "NOMARK": "its mark could not be written to the journal (systemd-cat), so nothing was sent to systemd",
        }.get(section.kind)
        if why is None:
            answer = f"{section.kind} {section.rest}".rstrip()
            return OutcomeUnknown(f"{unit}: unknown answer {masked_head(answer, 200)}. {unknown}")
        return NotSupported(f"{unit} on {self._target}: {why}.")

    def look_up(self, preview: Preview, key: str) -> LookUpResult:
        """By Headway's mark in the journal; only time proves its absence."""
        check_action_key(key)
        since, _ = host_window(preview.plan)
        answer = self._client.mark(key, since, str(preview.plan["unit"]))[0]
        if answer.fields(2)[0] == "found":
            return ActionFound(key, f"its mark is in the journal of {self._target}")
        if answer.fields(2)[0] == "silent":
            return ActionUnknown(f"systemd on {self._target} did not answer; see there whether it was done")
        return unless_in_flight(ActionAbsent(), preview)


def sudo_fix(where: str, unit: str) -> str:
    return (
        f"{where}: the login may not start and stop {unit}. Add to its sudoers: NOPASSWD: "
        f"/usr/bin/systemctl start --no-block -- {unit}, /usr/bin/systemctl stop --no-block -- {unit}"
    )
