"""Every act finds its part: by its verb before it is sent, by its plan afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

from connectors.arrival import unless_on_its_way
from connectors.contract import Absent, Ask, CannotTell, LookUp, NotSupported, Preview, Receipt, Verb
from connectors.databricks.client import DatabricksClient
from connectors.databricks.hold import Holder
from connectors.databricks.poll import reference
from connectors.databricks.repair import Repairer
from connectors.databricks.start import Starter


class Act(Protocol):
    """What sends one kind of plan and finds it again."""

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """Sends it once, as `Connector.act`."""
        ...

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """One look whether it arrived."""
        ...


class Acts:
    """All that is done to one workspace."""

    def __init__(
        self,
        client: DatabricksClient,
        repairer: Repairer,
        starter: Starter,
        holder: Holder,
        settle_seconds: float,
    ) -> None:
        self._client, self._settle_seconds = client, settle_seconds
        self._repairer, self._starter, self._holder = repairer, starter, holder
        self._by_plan: dict[str, Act] = {
            "run_now": starter,
            **dict.fromkeys(("repair", "cancel"), repairer),
            **dict.fromkeys(("hold", "release", "clear"), holder),
        }

    def preview(self, ask: Ask) -> Preview:
        """As the contract says. A run that never came is started."""
        verb = Verb(ask.verb)
        if verb is Verb.START or (verb is Verb.RERUN and not reference(ask.run)):
            return self._starter.preview(ask)
        return self._holder.preview(ask) if verb in (Verb.HOLD, Verb.RELEASE) else self._repairer.preview(ask)

    def act(self, preview: Preview, key: str) -> Receipt:
        """As the contract says."""
        part = self._by_plan.get(str(preview.plan.get("how")))
        if preview.refused or part is None:
            raise NotSupported(f"Databricks: this preview cannot be sent: {preview.refused or 'it has no plan'}")
        return part.act(preview.plan, key)

    def look_up(self, preview: Preview, key: str) -> LookUp:
        """As the contract says. Absent is looked at for some seconds: a run is listed a moment later."""
        part = self._by_plan.get(str(preview.plan.get("how")))
        if part is None:
            return CannotTell("the preview has no plan that could be looked up")
        until = max(0.0, self._client.deadline.left - self._settle_seconds)
        while isinstance(answer := part.look(preview.plan, key), Absent) and self._client.deadline.left > until:
            time.sleep(min(1.0, self._settle_seconds))
        return unless_on_its_way(answer, preview)
