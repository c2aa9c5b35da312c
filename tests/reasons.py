"""Reasons of a service as a reader in UTC has them."""

from __future__ import annotations

from functools import partial

from console.domain.decision import AffectedServiceVerdict, ServiceDayVerdict
from console.domain.reason import reasons_text
from console.domain.service import ServiceView
from console.timing.formats import zoned_time


def reason_of(day: ServiceDayVerdict | AffectedServiceVerdict | ServiceView, zone: str = "UTC") -> str:
    """All clauses in one line, times near its deadline."""
    return reasons_text(day.reasons, partial(zoned_time, zone=zone, near=day.deadline))
