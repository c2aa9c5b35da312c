"""How many runs of a work pool there may be at once."""

from __future__ import annotations

from tests.connectors.prefect.support import ORDERS, STOCK, opened
from tests.fakes.prefect import FakePrefect


def pools(fake: FakePrefect) -> dict[str, tuple[str, int | None]]:
    return {job.native_id: (job.pool, job.slots) for job in opened(fake).inventory("", 5).jobs}


def test_deployments_of_a_work_pool_with_a_limit_take_its_slots() -> None:
    fake = FakePrefect(ORDERS, STOCK)
    fake.deployments[ORDERS]["work_pool_name"] = "heavy"
    fake.deployments[STOCK]["work_pool_name"] = "free"
    fake.work_pools = [{"name": "heavy", "concurrency_limit": 2}, {"name": "free", "concurrency_limit": None}]
    assert {ORDERS: ("heavy", 2), STOCK: ("", None)} == pools(fake)


def test_an_account_without_the_right_to_read_work_pools_reports_no_limit() -> None:
    fake = FakePrefect(ORDERS)
    fake.deployments[ORDERS]["work_pool_name"] = "heavy"
    assert {ORDERS: ("", None)} == pools(fake)


def test_a_pool_that_is_no_text_leaves_out_its_deployment_and_no_other() -> None:
    """It ended the inventory."""
    fake = FakePrefect(ORDERS, STOCK)
    fake.deployments[ORDERS]["work_pool_name"] = ["odd"]
    fake.deployments[STOCK]["work_pool_name"] = "heavy"
    fake.work_pools = [{"name": "heavy", "concurrency_limit": 2}]
    inventory = opened(fake).inventory("", 5)
    assert {STOCK: ("heavy", 2)} == {job.native_id: (job.pool, job.slots) for job in inventory.jobs}
    assert any("work_pool_name" in skip.reason for skip in inventory.skipped)
