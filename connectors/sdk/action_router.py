"""Routes an action to its part: a preview by its verb, `act` and `look_up` by the "how" of its plan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
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
from connectors.sdk.errors import NotSupported
from connectors.sdk.fields import parse_instant
from connectors.sdk.records import RunRef
from connectors.sdk.settle import unless_in_flight, wait_seconds
from connectors.sdk.states import Capability, Verb

Plan = Mapping[str, Any]


class RoutedAction(Protocol):
    """Sends one kind of plan once, as `Connector.act`, and queries once whether it arrived."""

    def act(self, plan: Plan, key: str) -> Receipt: ...

    def look_up(self, plan: Plan, key: str) -> LookUpResult: ...


class ActionRouter:
    """Sends previews and looks them up. `source`: its name in messages; `settle_seconds`: how long a key must stay
    absent before it counts as never arrived."""

    def __init__(
        self, source: str, client: ConnectorClient, by_plan: Mapping[str, RoutedAction], settle_seconds: float
    ) -> None:
        self._source, self._client, self._by_plan, self._settle_seconds = source, client, by_plan, settle_seconds

    def act(self, preview: Preview, key: str) -> Receipt:
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
        answer = look_up_until_settled(lambda: part.look_up(preview.plan, key), self._client, self._settle_seconds)
        return unless_in_flight(answer, preview)

    def _part(self, preview: Preview) -> RoutedAction | None:
        """None for a preview that was refused, or that another version stored."""
        return self._by_plan.get(str(preview.plan.get("how")))


class RunPart(RoutedAction, Protocol):
    """A `RoutedAction` with its previews."""

    @property
    def plans(self) -> Collection[str]: ...

    def preview(self, spec: ActionSpec) -> Preview: ...


class ActionPart(NamedTuple):
    """A `RunPart` of three functions."""

    plans: Collection[str]
    preview: Callable[[ActionSpec], Preview]
    act: Callable[[Plan, str], Receipt]
    look_up: Callable[[Plan, str], LookUpResult]


def routes(
    parts: Mapping[Verb, RunPart],
) -> tuple[Mapping[Verb, Callable[[ActionSpec], Preview]], Mapping[str, RoutedAction]]:
    """The previews of these parts by verb, and the parts by the "how" of their plans."""
    previews = {verb: part.preview for verb, part in parts.items()}
    return previews, {name: part for part in parts.values() for name in part.plans}


def period_of(spec: ActionSpec) -> datetime | None:
    """The period of a start: the requested one, or that of its run; None for now."""
    return parse_instant(spec.parameters.get("period_at")) or parse_instant(spec.run.period_key)


class RunRouter(ActionRouter):
    """Routes START, and RERUN of a run that never came, to `starter`; HOLD and RELEASE to `holder`; other verbs to
    `changer`. `has_run`: whether the source has a row of the run."""

    def __init__(
        self,
        source: str,
        client: ConnectorClient,
        starter: RunPart,
        changer: RunPart,
        holder: RunPart,
        has_run: Callable[[RunRef], object],
        settle_seconds: float,
    ) -> None:
        parts = dict.fromkeys(Verb, changer) | {Verb.START: starter, Verb.HOLD: holder, Verb.RELEASE: holder}
        self._previews, by_plan = routes(parts)
        super().__init__(source, client, by_plan, settle_seconds)
        self._has_run = has_run

    def preview(self, spec: ActionSpec) -> Preview:
        """The preview of its part; refused for a rerun that has neither a run nor a period."""
        if spec.verb is not Verb.RERUN or self._has_run(spec.run):
            return self._previews[spec.verb](spec)
        if period_of(spec) is None:
            missing = f"{self._source} has no run {spec.run.period_key} of {spec.run.job}"
            return Preview.refusal(str(spec.verb), f"{missing}, which is not a scheduled instant either")
        return self._previews[Verb.START](spec)


class VerbRouter(ActionRouter):
    """Routes previews by their verb as well. NotSupported of a `look_up` is ActionUnknown."""

    def __init__(
        self,
        source: str,
        client: ConnectorClient,
        previews: Mapping[Verb, Callable[[ActionSpec], Preview]],
        by_plan: Mapping[str, RoutedAction],
        missing: Mapping[Capability, str],
        settle_seconds: float = 0.0,
    ) -> None:
        """`missing`: why the source lacks a capability."""
        super().__init__(source, client, by_plan, settle_seconds)
        self._previews, self._missing = previews, missing

    def preview(self, spec: ActionSpec) -> Preview:
        if spec.verb not in self._previews:
            raise NotSupported(f"{self._source} cannot {spec.verb}: {self._missing[spec.verb.needs]}")
        return self._previews[spec.verb](spec)

    def act(self, preview: Preview, key: str) -> Receipt:
        check_action_key(key)
        return super().act(preview, key)

    def look_up(self, preview: Preview, key: str) -> LookUpResult:
        try:
            check_action_key(key)
            return super().look_up(preview, key)
        except NotSupported as error:
            return ActionUnknown(str(error))


def look_up_until_settled(
    look_up: Callable[[], LookUpResult], client: ConnectorClient, settle_seconds: float
) -> LookUpResult:
    """The answer of `look_up`, repeated while it is ActionAbsent, for `settle_seconds`; the last quarter of the
    client's time is left to the last call."""
    until = max(client.deadline.left / 4, client.deadline.left - settle_seconds)
    while isinstance(answer := look_up(), ActionAbsent) and client.deadline.left > until:
        wait_seconds(min(1.0, settle_seconds, client.deadline.left / 4))
    return answer
