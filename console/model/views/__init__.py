"""What screens and commands read: frozen rows from `store.reads`, cleaned, instants as aware UTC datetimes.

Imports nothing heavy: the console's first paint goes through here.
"""

from __future__ import annotations

from console.model.views.acts import ActionView, ClockView, GateView, HoldView, PastRun, UpstreamView
from console.model.views.alerting import AlertDelivery, DeliveryView, HeldView, RotaView, SilenceView
from console.model.views.estate import DriftView, EngineView, HeaderView, TargetView
from console.model.views.findings import FindingView
from console.model.views.incidents import (
    EventView,
    HurtService,
    IncidentRow,
    IncidentView,
    Looker,
    MemberView,
    ServiceView,
)
from console.model.views.jobs import AttemptView, CardView, JobRow, JobView, RunRow, RunView

__all__ = [
    "ActionView",
    "AlertDelivery",
    "AttemptView",
    "CardView",
    "ClockView",
    "DeliveryView",
    "DriftView",
    "EngineView",
    "EventView",
    "FindingView",
    "GateView",
    "HeaderView",
    "HeldView",
    "HoldView",
    "HurtService",
    "IncidentRow",
    "IncidentView",
    "JobRow",
    "JobView",
    "Looker",
    "MemberView",
    "PastRun",
    "RotaView",
    "RunRow",
    "RunView",
    "ServiceView",
    "SilenceView",
    "TargetView",
    "UpstreamView",
]
