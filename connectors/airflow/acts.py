"""Every act finds its part: by its verb before it is sent, by its plan afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

from connectors.airflow.client import AirflowClient
from connectors.airflow.hold import Holder
from connectors.airflow.preview import Previewer
from connectors.airflow.rerun import Rerunner
from connectors.airflow.start import Starter
from connectors.airflow.states import StateSetter
from connectors.arrival import unless_on_its_way
from connectors.contract import Absent, Ask, CannotTell, LookUp, NotSupported, Preview, Receipt, Verb


class Act(Protocol):
    """What sends one kind of plan and finds it again."""

    def act(self, plan: Mapping[str, Any], key: str) -> Receipt:
        """Sends it once, as `Connector.act`."""
        ...

    def look(self, plan: Mapping[str, Any], key: str) -> LookUp:
        """One look whether it arrived."""
        ...

    def tidy(self, plan: Mapping[str, Any], key: str) -> None:
        """Takes away what it left half done; called once a look-up knows, and nothing is on its way any more."""
        ...


class Acts:
    """All that is done to one Airflow."""

    def __init__(self, client: AirflowClient, settle_seconds: float) -> None:
        self._client = client
        self._settle_seconds = settle_seconds
        starter, states, holder, rerunner = Starter(client), StateSetter(client), Holder(client), Rerunner(client)
        self._previews = {
            Verb.RERUN: Previewer(client, starter).preview,
            Verb.START: starter.preview,
            **dict.fromkeys((Verb.CANCEL, Verb.MARK_OK, Verb.SKIP), states.preview),
            **dict.fromkeys((Verb.HOLD, Verb.RELEASE), holder.preview),
        }
        self._by_plan: dict[str, Act] = {
            **dict.fromkeys(("clear_run", "clear_tasks", "clear_below"), rerunner),
            "trigger": starter,
            **dict.fromkeys(("run_state", "task_state"), states),
            **dict.fromkeys(("hold", "release", "clear"), holder),
        }

    def preview(self, ask: Ask) -> Preview:
        """As the contract says."""
        return self._previews[Verb(ask.verb)](ask)

    def act(self, preview: Preview, key: str) -> Receipt:
        """As the contract says."""
        part = self._by_plan.get(str(preview.plan.get("how")))
        if preview.refused or part is None:
            raise NotSupported(f"Airflow: this preview cannot be sent: {preview.refused or 'it has no plan'}")
        return part.act(preview.plan, key)

    def look_up(self, preview: Preview, key: str) -> LookUp:
        """As the contract says. Absent needs proof: no such run id, a run or DAG that is as it was, and that for some
        seconds, since a server may still work on a request whose sender is gone."""
        part = self._by_plan.get(str(preview.plan.get("how")))
        if part is None:
            return CannotTell("the preview has no plan that could be looked up")
        until = max(0.0, self._client.deadline.left - self._settle_seconds)
        while isinstance(answer := part.look(preview.plan, key), Absent) and self._client.deadline.left > until:
            time.sleep(min(1.0, self._settle_seconds))
        told = unless_on_its_way(answer, preview)
        if not isinstance(told, CannotTell):
            part.tidy(preview.plan, key)
        return told
