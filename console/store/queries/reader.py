"""The queries of all contexts over one open store."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from console.store.db.read_connection import ReadConnection
from console.store.queries.base import ReadStore
from console.store.queries.estate import EstateQueries
from console.store.queries.services import MemberQueries, ServiceQueries

if TYPE_CHECKING:
    from console.domain.settings import RetentionRules
    from console.store.db.retention import TableSize
    from console.store.queries.actions import ActionQueries
    from console.store.queries.alerts import AlertQueries
    from console.store.queries.audit import ApprovalQueries, AuditQueries
    from console.store.queries.checks import CheckQueries
    from console.store.queries.failures import FailureQueries
    from console.store.queries.findings import FindingQueries
    from console.store.queries.handover import HandoverQueries
    from console.store.queries.holds import HoldQueries
    from console.store.queries.incidents import IncidentQueries
    from console.store.queries.jobs import JobQueries
    from console.store.queries.lineage import LineageQueries
    from console.store.queries.names import NameQueries
    from console.store.queries.plans import PlanQueries
    from console.store.queries.policies import PolicyQueries
    from console.store.queries.reports import ReportQueries
    from console.store.queries.run_table import RunTableQueries
    from console.store.queries.runs import RunQueries
    from console.store.queries.service_days import ServiceDayQueries
    from console.store.queries.warnings import WarningQueries


class Queries(ReadStore):
    """One object per context, for one thread at a time. The first screen's are loaded at once, the others with their
    first query: 40 ms less to start."""

    def __init__(self, link: ReadConnection) -> None:
        super().__init__(link)
        self.members = MemberQueries(self)
        self.services = ServiceQueries(self, self.members)
        self.estate = EstateQueries(self, self.services)

    def table_sizes(self, rules: RetentionRules) -> list[TableSize]:
        """Every table of the store, largest first, with what the rules would free; reads the whole store."""
        from console.store.db.retention import table_sizes

        return table_sizes(self.link, rules, self.now())

    # ruff: noqa: PLC0415 - loaded with the first query

    @cached_property
    def actions(self) -> ActionQueries:
        from console.store.queries.actions import ActionQueries

        return ActionQueries(self)

    @cached_property
    def alerts(self) -> AlertQueries:
        from console.store.queries.alerts import AlertQueries

        return AlertQueries(self)

    @cached_property
    def approvals(self) -> ApprovalQueries:
        from console.store.queries.audit import ApprovalQueries

        return ApprovalQueries(self)

    @cached_property
    def audit(self) -> AuditQueries:
        from console.store.queries.audit import AuditQueries

        return AuditQueries(self)

    @cached_property
    def checks(self) -> CheckQueries:
        from console.store.queries.checks import CheckQueries

        return CheckQueries(self)

    @cached_property
    def failures(self) -> FailureQueries:
        from console.store.queries.failures import FailureQueries

        return FailureQueries(self)

    @cached_property
    def findings(self) -> FindingQueries:
        from console.store.queries.findings import FindingQueries

        return FindingQueries(self)

    @cached_property
    def handover(self) -> HandoverQueries:
        from console.store.queries.handover import HandoverQueries

        return HandoverQueries(self, self.incidents, self.estate, self.actions, self.holds, self.alerts)

    @cached_property
    def holds(self) -> HoldQueries:
        from console.store.queries.holds import HoldQueries

        return HoldQueries(self, self.jobs, self.members)

    @cached_property
    def incidents(self) -> IncidentQueries:
        from console.store.queries.incidents import IncidentQueries

        return IncidentQueries(self, self.actions, self.findings, self.failures)

    @cached_property
    def jobs(self) -> JobQueries:
        from console.store.queries.jobs import JobQueries

        return JobQueries(self, self.runs, self.services, self.members, self.findings)

    @cached_property
    def lineage(self) -> LineageQueries:
        from console.store.queries.lineage import LineageQueries

        return LineageQueries(self)

    @cached_property
    def names(self) -> NameQueries:
        from console.store.queries.names import NameQueries

        return NameQueries(self)

    @cached_property
    def plans(self) -> PlanQueries:
        from console.store.queries.plans import PlanQueries

        return PlanQueries(self)

    @cached_property
    def policies(self) -> PolicyQueries:
        from console.store.queries.policies import PolicyQueries

        return PolicyQueries(self)

    @cached_property
    def reports(self) -> ReportQueries:
        from console.store.queries.reports import ReportQueries

        return ReportQueries(self, self.members)

    @cached_property
    def run_table(self) -> RunTableQueries:
        from console.store.queries.run_table import RunTableQueries

        return RunTableQueries(self, self.jobs)

    @cached_property
    def runs(self) -> RunQueries:
        from console.store.queries.runs import RunQueries

        return RunQueries(self, self.incidents, self.actions, self.findings)

    @cached_property
    def service_days(self) -> ServiceDayQueries:
        from console.store.queries.service_days import ServiceDayQueries

        return ServiceDayQueries(self, self.services, self.jobs)

    @cached_property
    def warnings(self) -> WarningQueries:
        from console.store.queries.warnings import WarningQueries

        return WarningQueries(self, self.estate, self.jobs)
