"""Values of which an estate has hundreds of thousands: frozen to the type checker, quick to make at run time.

A frozen dataclass sets each field through `object.__setattr__`, which costs four times as much as a plain one; who
assigns to a field of these is stopped by mypy instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:
    from dataclasses import dataclass

    def value(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        return dataclass(slots=slots, unsafe_hash=frozen)


__all__ = ["value"]
