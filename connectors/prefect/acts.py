"""Every act finds its part: by its verb before it is sent, by its plan afterwards."""

from __future__ import annotations

from connectors.contract import Ask, Preview, Verb
from connectors.planned import Part, PlannedActs
from connectors.prefect.client import PrefectClient
from connectors.prefect.hold import Holder
from connectors.prefect.references import reference
from connectors.prefect.start import Starter
from connectors.prefect.states import StateSetter


class Acts(PlannedActs[Part]):
    """All that is done to one Prefect."""

    def __init__(self, client: PrefectClient, settle_seconds: float) -> None:
        self._starter, self._states, self._holder = Starter(client), StateSetter(client), Holder(client)
        by_plan: dict[str, Part] = {
            "create": self._starter,
            "state": self._states,
            **dict.fromkeys(("hold", "release", "clear"), self._holder),
        }
        super().__init__("Prefect", client, by_plan, settle_seconds)

    def preview(self, ask: Ask) -> Preview:
        """As the contract says. A run that never came is started."""
        verb = Verb(ask.verb)
        if verb is Verb.START or (verb is Verb.RERUN and reference(ask.run) is None):
            return self._starter.preview(ask)
        return self._holder.preview(ask) if verb in (Verb.HOLD, Verb.RELEASE) else self._states.preview(ask)
