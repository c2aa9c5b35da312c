"""Every act finds its part: by its verb before it is sent, by its plan afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from connectors.arrival import unless_on_its_way
from connectors.contract import Ask, CannotTell, LookUp, NotSupported, Preview, Receipt, Verb
from connectors.kubernetes.cancel import Canceller
from connectors.kubernetes.client import KubernetesClient
from connectors.kubernetes.hold import Holder
from connectors.kubernetes.start import Starter

NO_MARK = "nobody sets the result of a Job; Headway asserts it itself"


class Act(Protocol):
    """What sends one kind of plan and finds it again."""

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """Sends it once, as `Connector.act`."""
        ...

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """One look whether it arrived: the API server's answer is what is stored, so one look is enough."""
        ...


class Acts:
    """All that is done to one target."""

    def __init__(self, client: KubernetesClient, holder: Holder) -> None:
        self._starter, self._canceller, self._holder = Starter(client), Canceller(client), holder
        self._by_plan: dict[str, Act] = {
            "create": self._starter,
            "cancel": self._canceller,
            **dict.fromkeys(("hold", "release", "clear"), holder),
        }

    def preview(self, ask: Ask) -> Preview:
        """As the contract says. A run that never came is started."""
        verb = Verb(ask.verb)
        if verb in (Verb.START, Verb.RERUN):
            return self._starter.preview(ask)
        if verb in (Verb.HOLD, Verb.RELEASE):
            return self._holder.preview(ask)
        if verb is Verb.CANCEL:
            return self._canceller.preview(ask)
        raise NotSupported(f"Kubernetes: {NO_MARK}")

    def act(self, preview: Preview, key: str) -> Receipt:
        """As the contract says."""
        part = self._by_plan.get(str(preview.plan.get("how")))
        if preview.refused or part is None:
            raise NotSupported(f"Kubernetes: this preview cannot be sent: {preview.refused or 'it has no plan'}")
        return part.act(preview.plan, key)

    def look_up(self, preview: Preview, key: str) -> LookUp:
        """As the contract says."""
        part = self._by_plan.get(str(preview.plan.get("how")))
        if part is None:
            return CannotTell("the preview has no plan that could be looked up")
        return unless_on_its_way(part.look(preview.plan, key), preview)
