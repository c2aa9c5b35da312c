"""Every question that there is; loaded when one is asked that the first screens do not need."""

from __future__ import annotations

from console.store.reads.ahead import AheadReads
from console.store.reads.alerts import AlertReads
from console.store.reads.asked import AskedReads
from console.store.reads.audit import AuditReads
from console.store.reads.cadence import CadenceReads
from console.store.reads.checks import CheckReads
from console.store.reads.handover import HandoverReads
from console.store.reads.lineage import LineageReads
from console.store.reads.names import NameReads
from console.store.reads.night import NightReads
from console.store.reads.promises import PromiseReads
from console.store.reads.run_table import RunTableReads


class WholeReads(
    RunTableReads,
    HandoverReads,
    AlertReads,
    AskedReads,
    AuditReads,
    CadenceReads,
    LineageReads,
    NightReads,
    PromiseReads,
    CheckReads,
    NameReads,
    AheadReads,
):
    """All questions. For one thread at a time."""
