"""Routes an action to its part: a preview by its verb, `act` and `look_up` by the "how" of its plan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from connectors.sdk.composed import ConnectorClient
from connectors.sdk.contract import (
    ActionAbsent,
    ActionSpec,
    ActionUnknown,
    LookUpResult,
    Preview,
    Receipt,
    check_action_key,
)
from connectors.sdk.errors import ActionRefused, NotSupported
from connectors.sdk.fields import parse_instant
from connectors.sdk.records import RunRef
from connectors.sdk.settle import unless_in_flight, wait_seconds
from connectors.sdk.states import Capability, Verb

Plan = Mapping[str, Any]


class RunPart(Protocol):
    """Previews the actions of some verbs, sends each of their plans once, and queries once whether it arrived.
    `plans`: the "how" of its plans."""

    @property
    def plans(self) -> Collection[str]: ...

    def preview(self, spec: ActionSpec) -> Preview: ...

    def act(self, plan: Plan, key: str) -> Receipt: ...

    def look_up(self, plan: Plan, key: str) -> LookUpResult: ...


class ActionPart(NamedTuple):
    """A `RunPart` of three functions."""

    plans: Collection[str]
    preview: Callable[[ActionSpec], Preview]
    act: Callable[[Plan, str], Receipt]
    look_up: Callable[[Plan, str], LookUpResult]


def run_parts(rerun: RunPart, start: RunPart, cancel: RunPart, hold: RunPart) -> dict[Verb, RunPart]:
    return {Verb.RERUN: rerun, Verb.START: start, Verb.CANCEL: cancel, Verb.HOLD: hold, Verb.RELEASE: hold}


def period_of(spec: ActionSpec) -> datetime | None:
    """The period of a start: the requested one, or that of its run; None for now."""
    return parse_instant(spec.parameters.get("period_at")) or parse_instant(spec.run.period_key)


class ActionRouter:
    """Routes a preview by its verb, `act` and `look_up` by the "how" of the plan. A RERUN of a run without a row at the
    source is a START for its period."""

    def __init__(
        self,
        source: str,
        client: ConnectorClient,
        parts: Mapping[Verb, RunPart],
        missing: Mapping[Capability, str] = MappingProxyType({}),
        settle_seconds: float = 0.0,
        has_run: Callable[[RunRef], object] = bool,
    ) -> None:
        """`source`: its name in messages. `missing`: why it lacks a capability. `settle_seconds`: how long a key must
        stay absent before it counts as never arrived. `has_run`: whether the source has a row of a run."""
        self._source, self._client, self._parts, self._missing = source, client, parts, missing
        self._settle_seconds, self._has_run = settle_seconds, has_run
        self._by_plan = {how: part for part in parts.values() for how in part.plans}

    def preview(self, spec: ActionSpec) -> Preview:
        """The preview of its part; refused for a rerun that has neither a run nor a period."""
        part = self._parts.get(spec.verb)
        if part is None:
            why = self._missing.get(spec.verb.needs, "it has no such call")
            raise NotSupported(f"{self._source} cannot {spec.verb}: {why}")
        if spec.verb is not Verb.RERUN or self._has_run(spec.run):
            return part.preview(spec)
        if period_of(spec) is None:
            missing = f"{self._source} has no run {spec.run.period_key} of {spec.run.job}"
            raise ActionRefused(f"{missing}, which is not a scheduled instant either")
        return self._parts[Verb.START].preview(spec)

    def act(self, preview: Preview, key: str) -> Receipt:
        check_action_key(key)
        part = self._part(preview)
        if preview.refused or part is None:
            raise NotSupported(f"{self._source}: this preview cannot be sent: {preview.refused or 'it has no plan'}")
        return part.act(preview.plan, key)

    def look_up(self, preview: Preview, key: str) -> LookUpResult:
        """As the contract says. An absence is checked for some seconds, since a server may work on a request whose
        sender is gone, or list its result later."""
        part = self._part(preview)
        if part is None:
            return ActionUnknown("the preview has no plan that could be looked up")
        try:
            check_action_key(key)
            answer = look_up_until_settled(lambda: part.look_up(preview.plan, key), self._client, self._settle_seconds)
        except NotSupported as error:
            return ActionUnknown(str(error))
        return unless_in_flight(answer, preview)

    def _part(self, preview: Preview) -> RunPart | None:
        """None for a preview that was refused, or that another version stored."""
        return self._by_plan.get(str(preview.plan.get("how")))


def look_up_until_settled(
    look_up: Callable[[], LookUpResult], client: ConnectorClient, settle_seconds: float
) -> LookUpResult:
    """The answer of `look_up`, repeated while it is ActionAbsent, for `settle_seconds`; the last quarter of the
    client's time is left to the last call."""
    until = max(client.deadline.left / 4, client.deadline.left - settle_seconds)
    while isinstance(answer := look_up(), ActionAbsent) and client.deadline.left > until:
        wait_seconds(min(1.0, settle_seconds, client.deadline.left / 4))
    return answer
