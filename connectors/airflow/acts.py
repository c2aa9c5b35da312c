"""Every act finds its part: by its verb before it is sent, by its plan afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from connectors.airflow.answer import Answerer
from connectors.airflow.backfill import Backfiller
from connectors.airflow.client import AirflowClient
from connectors.airflow.hold import Holder
from connectors.airflow.preview import Previewer
from connectors.airflow.rerun import Rerunner
from connectors.airflow.start import Starter
from connectors.airflow.states import StateSetter
from connectors.contract import Ask, CannotTell, LookUp, Preview, Verb
from connectors.planned import Part, PlannedActs


class Tidying(Part, Protocol):
    """A part that may leave something half done."""

    def tidy(self, plan: Mapping[str, Any], key: str) -> None:
        """Takes away what it left half done; called once a look-up knows, and nothing is on its way any more."""
        ...


class Acts(PlannedActs[Tidying]):
    """All that is done to one Airflow."""

    def __init__(self, client: AirflowClient, settle_seconds: float) -> None:
        starter, answerer, holder, rerunner = Starter(client), Answerer(client), Holder(client), Rerunner(client)
        states, backfiller = StateSetter(client, answerer), Backfiller(client)
        self._previews = {
            Verb.RERUN: Previewer(client, starter).preview,
            Verb.START: starter.preview,
            **dict.fromkeys((Verb.CANCEL, Verb.MARK_OK, Verb.SKIP), states.preview),
            **dict.fromkeys((Verb.HOLD, Verb.RELEASE), holder.preview),
            Verb.BACKFILL: backfiller.preview,
        }
        by_plan: dict[str, Tidying] = {
            **dict.fromkeys(("clear_run", "clear_tasks", "clear_below"), rerunner),
            "trigger": starter,
            "answer": answerer,
            "backfill": backfiller,
            **dict.fromkeys(("run_state", "task_state"), states),
            **dict.fromkeys(("hold", "release", "clear"), holder),
        }
        super().__init__("Airflow", client, by_plan, settle_seconds)

    def preview(self, ask: Ask) -> Preview:
        """As the contract says."""
        return self._previews[Verb(ask.verb)](ask)

    def look_up(self, preview: Preview, key: str) -> LookUp:
        """As the contract says. Absent needs proof: no such run id, a run or DAG that is as it was."""
        told, part = super().look_up(preview, key), self._part(preview)
        if part is not None and not isinstance(told, CannotTell):
            part.tidy(preview.plan, key)
        return told
