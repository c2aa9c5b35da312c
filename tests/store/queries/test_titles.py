"""Titles are stored as parts: whoever reads one outside of an incident's row has to write it, too."""

from __future__ import annotations

from dataclasses import replace

from console.domain.decision import Decisions, KnownIncident
from console.domain.incident_record import CauseRecord, RootTarget
from console.domain.reason import WorksAgain
from console.domain.text import Tense, Title
from console.store.decisions import apply_decisions
from console.store.queries.reader import Queries
from tests.store.estate import DATE, Estate, at
from tests.store.test_decisions import ROUTES, incident


def test_ended_work_names_a_closed_incident_without_a_job_by_its_title(served: Estate, reads: Queries) -> None:
    """The list of jumps showed the JSON of the parts."""
    title = Title(("etl-hosts/db07", Tense(" does not answer", " did not answer")))
    opened = incident(cause=CauseRecord("target", DATE, RootTarget(1)), title=title, members=())
    for decision in (opened, replace(opened, incident=KnownIncident(1), close_reason=WorksAgain())):
        apply_decisions(served.store, Decisions(incidents=(decision,)), at("03:20"), 1, None, ROUTES)
    [ended] = reads.estate.ended_work()
    assert "present" not in str(ended.title)
