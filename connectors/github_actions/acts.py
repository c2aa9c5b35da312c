"""Every act finds its part: by its verb before it is sent, by its plan afterwards."""

from __future__ import annotations

from connectors.contract import Ask, Preview, Verb
from connectors.github_actions.client import GitHubClient
from connectors.github_actions.dispatch import Dispatcher
from connectors.github_actions.hold import Holder
from connectors.github_actions.poll import reference
from connectors.github_actions.rerun import Rerunner
from connectors.planned import Part, PlannedActs


class Acts(PlannedActs[Part]):
    """All that is done to one repository."""

    def __init__(
        self,
        client: GitHubClient,
        rerunner: Rerunner,
        dispatcher: Dispatcher,
        holder: Holder,
        settle_seconds: float,
    ) -> None:
        self._rerunner, self._dispatcher, self._holder = rerunner, dispatcher, holder
        by_plan: dict[str, Part] = {
            "dispatch": dispatcher,
            **dict.fromkeys(("rerun", "rerun_job", "cancel"), rerunner),
            **dict.fromkeys(("hold", "release", "clear"), holder),
        }
        super().__init__("GitHub", client, by_plan, settle_seconds)

    def preview(self, ask: Ask) -> Preview:
        """As the contract says. A run that never came is started."""
        verb = Verb(ask.verb)
        if verb is Verb.START or (verb is Verb.RERUN and reference(ask.run) is None):
            return self._dispatcher.preview(ask)
        return self._holder.preview(ask) if verb in (Verb.HOLD, Verb.RELEASE) else self._rerunner.preview(ask)
