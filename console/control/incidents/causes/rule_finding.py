"""A finding that notifies, and that no red run, failing target or upstream's finding explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.sdk.records import instant_key
from console.control.detection.rule_input import placeholder_run
from console.control.incidents.causes.cause import Cause, Evidence, unambiguous_name
from console.control.incidents.causes.failed_run import RunCause
from console.control.incidents.run_titles import finding_text
from console.control.snapshot.estate_index import EstateIndex
from console.domain.estate import IncidentFacts, RunFacts
from console.domain.finding import Finding, FindingSeverity
from console.domain.incident_record import CauseKind
from console.domain.service import UNMET_PROMISE
from console.domain.text import Part, Tense, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFinding(RunCause):
    """A finding that holds; nothing of it is red."""

    kind = CauseKind.RULE
    root: RunFacts
    """The run that it is about; a placeholder without one."""
    finding: Finding

    @property
    def rule(self) -> str:
        return self.finding.rule.value

    @property
    def rule_text(self) -> str:
        return self.finding.rule.text

    @property
    def subject(self) -> str:
        return self.rule

    @classmethod
    def find(cls, evidence: Evidence, known: Sequence[Cause]) -> list[Cause]:
        """The known causes, and after them one for each job with a finding to notify of; upstreams first."""
        index = evidence.index
        alerts = _alerts(index, evidence.findings)
        jobs = {run.job_id for cause in known for run in cause.red}
        jobs |= {cause.root.job_id for cause in known if cause.root is not None}
        broken = {index.graph.unit(job) for job in jobs}
        sick = {target.id for cause in known for target in cause.targets}
        units = {job.id for job in index.estate.jobs.values() if job.target_id in sick} if sick else set()
        units = {index.graph.unit(unit) for unit in units} | broken
        explained = units.union(*(index.graph.descendants(unit) for unit in units))
        notified = {
            known.cause.job_id for known in index.estate.incidents if known.cause.rule not in ("", UNMET_PROMISE)
        }
        causes = list(known)
        for unit in index.graph.ordered(alerts):
            is_continued = alerts[unit].job_id in notified and unit not in broken
            if unit not in explained or is_continued:
                finding = alerts[unit]
                runs = index.runs.get(finding.job_id, ())
                run = next((run for run in runs if run.period_key == finding.period_key and finding.period_key), None)
                date, since = finding.business_date, finding.since
                root = run or placeholder_run(finding.job_id, finding.period_key, date, since)
                causes.append(RuleFinding(date, since, root=root, finding=finding))
            explained |= index.graph.descendants(unit)
        return causes

    def key(self, index: EstateIndex) -> str:
        at = unambiguous_name(self.root.period_key) or instant_key(self.since)
        return f"rule:{self.rule}:{unambiguous_name(index.job(self.root.job_id).name)}@{at}"

    def title(self, index: EstateIndex) -> tuple[Part, ...]:
        rule = self.finding.rule
        return self.name(index), Tense((f" {rule.predicate}: ", *self.finding.text), f" {rule.past_predicate}")

    def plain_title(self, index: EstateIndex) -> str:
        return f"{self.name(index)} {self.finding.rule.predicate}"

    def reason(self, index: EstateIndex) -> Text:
        return finding_text(index, self.finding)

    def is_same(self, index: EstateIndex, incident: IncidentFacts) -> bool:
        is_same = self.business_date == incident.cause.business_date or self.rule == incident.cause.rule
        return is_same and self._is_about_job(incident)


def _alerts(index: EstateIndex, findings: Sequence[Finding]) -> dict[int, Finding]:
    """The finding to notify of, by job: that of its open incident while it holds, else the first. Otherwise a second
    rule would close the incident of a finding that still holds."""
    notified = {(incident.cause.job_id, incident.cause.rule) for incident in index.estate.incidents}
    alerts: dict[int, Finding] = {}
    for finding in findings:
        if finding.severity is FindingSeverity.ALERT:
            unit = index.graph.unit(finding.job_id)
            before = alerts.setdefault(unit, finding)
            if (finding.job_id, finding.rule) in notified and (before.job_id, before.rule) not in notified:
                alerts[unit] = finding
    return alerts
