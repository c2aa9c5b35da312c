"""Every act finds its part: by its verb before it is sent, by its plan afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

from connectors.arrival import unless_on_its_way
from connectors.contract import Absent, Ask, CannotTell, LookUp, NotSupported, Preview, Receipt, Verb
from connectors.prefect.client import PrefectClient
from connectors.prefect.hold import Holder
from connectors.prefect.references import reference
from connectors.prefect.start import Starter
from connectors.prefect.states import StateSetter


class Act(Protocol):
    """What sends one kind of plan and finds it again."""

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """Sends it once, as `Connector.act`."""
        ...

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """One look whether it arrived."""
        ...


class Acts:
    """All that is done to one Prefect."""

    def __init__(self, client: PrefectClient, settle_seconds: float) -> None:
        self._client = client
        self._settle_seconds = settle_seconds
        self._starter, self._states, self._holder = Starter(client), StateSetter(client), Holder(client)
        self._by_plan: dict[str, Act] = {
            "create": self._starter,
            "state": self._states,
            **dict.fromkeys(("hold", "release", "clear"), self._holder),
        }

    def preview(self, ask: Ask) -> Preview:
        """As the contract says. A run that never came is started."""
        verb = Verb(ask.verb)
        if verb is Verb.START or (verb is Verb.RERUN and reference(ask.run) is None):
            return self._starter.preview(ask)
        return self._holder.preview(ask) if verb in (Verb.HOLD, Verb.RELEASE) else self._states.preview(ask)

    def act(self, preview: Preview, key: str) -> Receipt:
        """As the contract says."""
        part = self._by_plan.get(str(preview.plan.get("how")))
        if preview.refused or part is None:
            raise NotSupported(f"Prefect: this preview cannot be sent: {preview.refused or 'it has no plan'}")
        return part.act(preview.plan, key)

    def look_up(self, preview: Preview, key: str) -> LookUp:
        """As the contract says. Absent is looked at for some seconds, since a server may still work on a request whose
        sender is gone."""
        part = self._by_plan.get(str(preview.plan.get("how")))
        if part is None:
            return CannotTell("the preview has no plan that could be looked up")
        until = max(0.0, self._client.deadline.left - self._settle_seconds)
        while isinstance(answer := part.look(preview.plan, key), Absent) and self._client.deadline.left > until:
            time.sleep(min(1.0, self._settle_seconds))
        return unless_on_its_way(answer, preview)
