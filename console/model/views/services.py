"""What is told of services beyond tonight."""

from __future__ import annotations

from dataclasses import dataclass

from console.model.attainment import Attainment


@dataclass(frozen=True, slots=True)
class AttainmentView:
    """How often one service kept its promise."""

    service: str
    title: str
    tier: int
    attainment: Attainment
