"""Every act finds its part: by its verb before it is sent, by its plan afterwards."""

from __future__ import annotations

from connectors.contract import Ask, Preview, Verb
from connectors.databricks.client import DatabricksClient
from connectors.databricks.hold import Holder
from connectors.databricks.poll import reference
from connectors.databricks.repair import Repairer
from connectors.databricks.start import Starter
from connectors.planned import Part, PlannedActs


class Acts(PlannedActs[Part]):
    """All that is done to one workspace."""

    def __init__(
        self,
        client: DatabricksClient,
        repairer: Repairer,
        starter: Starter,
        holder: Holder,
        settle_seconds: float,
    ) -> None:
        self._repairer, self._starter, self._holder = repairer, starter, holder
        by_plan: dict[str, Part] = {
            "run_now": starter,
            **dict.fromkeys(("repair", "cancel"), repairer),
            **dict.fromkeys(("hold", "release", "clear"), holder),
        }
        super().__init__("Databricks", client, by_plan, settle_seconds)

    def preview(self, ask: Ask) -> Preview:
        """As the contract says. A run that never came is started."""
        verb = Verb(ask.verb)
        if verb is Verb.START or (verb is Verb.RERUN and not reference(ask.run)):
            return self._starter.preview(ask)
        return self._holder.preview(ask) if verb in (Verb.HOLD, Verb.RELEASE) else self._repairer.preview(ask)
