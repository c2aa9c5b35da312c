"""Actions of an AWS kind: previews by verb, sends and look-ups by the way that a plan names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from connectors.sdk.contract import ACTION_KEY, ActionSpec, ActionUnknown, LookUpResult, Preview, Receipt
from connectors.sdk.errors import NotSupported
from connectors.sdk.settle import looked_up
from connectors.sdk.states import Capability, Verb

Plan = Mapping[str, Any]


class AwsAction(NamedTuple):
    """Sends one way of acting once under a key, and looks it up."""

    send: Callable[[Plan, str], Receipt]
    look_up: Callable[[Plan, str], LookUpResult]


class AwsActions:
    """The actions of one region, as `sdk.composed.ActionHandler`."""

    def __init__(
        self,
        service: str,
        previews: Mapping[Verb, Callable[[ActionSpec], Preview]],
        by_way: Mapping[str, AwsAction],
        missing: Mapping[Capability, str],
    ) -> None:
        """`by_way`: by "way" of the plan. `missing`: why the service lacks a capability."""
        self._service, self._previews, self._by_way, self._missing = service, previews, by_way, missing

    def preview(self, spec: ActionSpec) -> Preview:
        """The call of an action. Inputs, arguments and environments stay in AWS and are read again when it is sent."""
        if spec.verb not in self._previews:
            raise NotSupported(f"{self._service} cannot {spec.verb}: {self._missing[spec.verb.needs]}")
        return self._previews[spec.verb](spec)

    def act(self, preview: Preview, key: str) -> Receipt:
        """Sends it once under our key. Raises NotSupported where nothing was done."""
        if not ACTION_KEY.fullmatch(key):
            raise NotSupported(f'"{key}" is no action key')
        action = self._action(preview)
        if preview.refused or action is None:
            reason = preview.refused or "it has no plan"
            raise NotSupported(f"{self._service}: this preview cannot be sent: {reason}")
        return action.send(preview.plan, key)

    def look_up(self, preview: Preview, key: str) -> LookUpResult:
        """Whether it arrived; unknown where AWS cannot say."""
        action = self._action(preview)
        if action is None:
            return ActionUnknown("the preview has no plan that could be looked up")
        return looked_up(lambda: action.look_up(preview.plan, key), preview)

    def _action(self, preview: Preview) -> AwsAction | None:
        """None for a preview that was refused, or that another version stored."""
        return self._by_way.get(str(preview.plan.get("way")))
