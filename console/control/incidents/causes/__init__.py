"""The kinds of causes, in the order in which they are found: each sees what the ones before it explain."""

from __future__ import annotations

from collections.abc import Sequence

from console.control.detection.rules import current_findings
from console.control.incidents.causes.cause import Cause, Evidence
from console.control.incidents.causes.failed_check import FailedCheck
from console.control.incidents.causes.failed_run import FailedRun
from console.control.incidents.causes.lost_day import LostDay
from console.control.incidents.causes.rule_finding import RuleFinding
from console.control.incidents.causes.shared_resource import SharedResource
from console.control.incidents.causes.target_down import TargetDown
from console.control.snapshot.estate_index import EstateIndex
from console.domain.estate import IncidentFacts, RunFacts
from console.domain.finding import Finding
from console.forecast.finish_times import ServiceForecast

__all__ = [
    "CAUSES", "Cause", "Evidence", "FailedCheck", "FailedRun", "LostDay", "RuleFinding", "SharedResource",
    "TargetDown", "cause_of_incident", "find_causes",
]  # fmt: skip
CAUSES: list[type[Cause]] = [TargetDown, FailedRun, SharedResource, RuleFinding, FailedCheck, LostDay]


def find_causes(
    index: EstateIndex, findings: Sequence[Finding] | None = None, days: Sequence[ServiceForecast] = ()
) -> list[Cause]:
    """All causes, those of red runs first, oldest first. `findings`: the current ones, if known; `days`: those whose
    checks count."""
    evidence = Evidence(index, current_findings(index).findings if findings is None else findings, days)
    causes: list[Cause] = []
    for kind in CAUSES:
        causes = kind.find(evidence, causes)
    return causes


def cause_of_incident(index: EstateIndex, incident: IncidentFacts, red: Sequence[RunFacts]) -> Cause:
    """The cause of an open incident that was not found again. `red`: red runs that are left of it."""
    kind = next((known for known in CAUSES if known.kind == incident.cause.kind), FailedRun)
    return kind.of_incident(index, incident, tuple(red))
