"""What would become of services if one job went otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from console.model.frozen import dataclass


@dataclass(frozen=True, slots=True)
class OddsView:
    """A service's finish in half and in nineteen of twenty cases, and how likely it is late."""

    late: float
    p50: datetime
    p95: datetime


@dataclass(frozen=True, slots=True)
class OtherwiseView:
    """One service day by each way in which the job could go."""

    service: str
    title: str
    zone: str
    deadline: datetime
    ways: tuple[OddsView, ...]
    """As it is, then by each way in the order in which they were asked for."""


def read_otherwise(data: Mapping[str, Any]) -> tuple[OtherwiseView, ...]:
    """The engine's answer to "what if", {"services": […]}, as values."""
    return tuple(
        OtherwiseView(
            str(one["service"]),
            str(one["title"]),
            str(one["zone"]),
            datetime.fromisoformat(one["deadline"]),
            _odds(one["ways"]),
        )
        for one in data["services"]
    )


def _odds(ways: Sequence[Mapping[str, Any]]) -> tuple[OddsView, ...]:
    return tuple(
        OddsView(float(one["late"]), *(datetime.fromisoformat(one[name]) for name in ("p50", "p95"))) for one in ways
    )
