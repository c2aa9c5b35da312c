"""What was made of an estate and serves the next look at it as well: whoever looks again holds it, and passes it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from console.control.shape import Shape
from console.control.shared import Red, reds_of
from console.model.values import Estate


@dataclass(frozen=True, slots=True)
class Kept:
    """Of one estate."""

    shape: Shape
    reds: Mapping[int, Red]
    """Its red jobs that are watched."""


def kept_of(estate: Estate, before: Kept | None = None) -> Kept:
    """What is kept of an estate. `before`: of another look, of which all that is the same still is taken over; the
    answer is the same without it."""
    if before is None:
        return Kept(Shape(estate), reds_of(estate, {}))
    shape = before.shape if before.shape.is_of(estate) else Shape(estate)
    return Kept(shape, reds_of(estate, before.reds))
