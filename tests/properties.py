"""How many examples a property is tried on, in each of four measures (HYPOTHESIS_PROFILE)."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "headway")
SHARES = {
    "headway": 0.15,  # the fast part: what is green here is green elsewhere
    "deep": 1.0,  # the whole suite (make test-all)
    "quick": 0.1,  # while one works: fewer examples than the fast part, and not the same ones
    "search": 10.0,  # other examples each time
}
LEAST, USUAL = 8, 60
COMMON = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    derandomize=PROFILE != "search",
)


def examples(number: int, **more: Any) -> settings:
    """So many examples in the whole suite, and a share of them in another measure. `more`: other settings."""
    return settings(COMMON, max_examples=max(LEAST, round(number * SHARES[PROFILE])), **more)


def choose() -> None:
    """The measure of every property that does not say how many it wants."""
    settings.register_profile("headway", examples(USUAL))
    settings.load_profile("headway")
