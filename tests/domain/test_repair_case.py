"""The repair that the estimates of a service assume."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from console.domain.reason import FinishExpected, Reason
from console.domain.service import RepairCase, repair_case

ACT_BY = datetime(2026, 11, 20, 3, 58, tzinfo=UTC)
CONTINUES = FinishExpected(ACT_BY, is_late=False)


@pytest.mark.parametrize(
    "act_by, p_late, reasons, case",
    [
        (None, 0.3, (), None),
        (ACT_BY, 0.62, (), RepairCase.USUAL),
        (ACT_BY, None, (), RepairCase.NOW),
        (ACT_BY, 0.62, (CONTINUES,), None),
    ],
    ids=["no repair", "simulated", "not simulated", "a run that only takes too long"],
)
def test_simulated_estimates_of_a_failed_job_assume_the_usual_repair(
    act_by: datetime | None, p_late: float | None, reasons: tuple[Reason, ...], case: RepairCase | None
) -> None:
    assert case is repair_case(act_by, p_late, reasons)
