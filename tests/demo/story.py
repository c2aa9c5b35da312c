"""The incident of the demo: `extract_orders` finds a full disk at 03:12, and everything that reads its file starts
by its own schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.demo.estate import CRON, FLOW, PG, SFN

EXTRACT, LOAD, QUALITY = f"{CRON}/db07:extract_orders", f"{FLOW}/load_orders", f"{FLOW}/orders_quality"
SUPPLY, PLAN = f"{PG}/refresh_supply", f"{FLOW}/supply_plan"
REVENUE, SETTLE = f"{PG}/revenue_mart", f"{SFN}/settle_orders"
WANTS_REASON = "depends on it: give a reason"
"""The console says this of an action that a tier 1 service depends on."""
JOBS = frozenset({EXTRACT, LOAD, QUALITY, SUPPLY, PLAN, REVENUE, SETTLE})

NO_SPACE = """connected to orders-replica.internal as etl_reader
orders since 2026-11-19 00:00 Europe/Berlin: 1,184,226 rows to write
writing /var/spool/etl/orders_20261119.csv.part
  412,000 rows
tail: /var/spool/etl/orders_20261119.csv.part: 2.9 GiB
OSError: [Errno 28] No space left on device: '/var/spool/etl/orders_20261119.csv.part'
df /var/spool/etl: 40G used of 40G (100%), 0 avail
hint: purge_spool runs at 03:15 and removes what is older than two days
extract orders: exit 1"""
STALE_LOAD = """check_file: orders_20261119.csv is not there; newest is orders_20261118.csv (27 h old)
check_file: max_age is 48 h: taking orders_20261118.csv
merge: 0 inserted, 1,172,904 unchanged
done"""
NO_ORDERS = """count_rows: 0 orders of 2026-11-19 in dwh.orders; expected between 900,000 and 1,500,000
AirflowException: orders of 2026-11-19 are missing"""
SETTLE_LOG = """ExecutionStarted
TaskStateEntered: ReadRevenue
TaskFailed: SettlementError: no revenue rows for 2026-11-19
ExecutionFailed"""

STORY_ENDINGS: dict[str, dict[str, Any]] = {
    "good": {},
    "no space": {
        "state": "failed", "exit": 1, "log": NO_SPACE,
        "message": "OSError: [Errno 28] No space left on device: '/var/spool/etl/orders_20261119.csv.part'",
    },
    "old orders": {"fresh": False, "log": STALE_LOAD},
    "no orders": {"state": "failed", "log": NO_ORDERS, "task": "count_rows",
                  "message": "orders of 2026-11-19 are missing"},
    "old supply": {"fresh": False, "message": "CALL"},
    "old plan": {"fresh": False},
    "old revenue": {"fresh": False, "message": "CALL"},
    "nothing to settle": {
        "state": "failed", "log": SETTLE_LOG, "message": "SettlementError: no revenue rows for 2026-11-19",
    },
}  # fmt: skip

OLD_FAILURES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (EXTRACT, "2026-10-07", {"state": "failed", "exit": 1, "message": "OSError: [Errno 28] No space left on device"}),
    (EXTRACT, "2026-11-03", {"state": "failed", "exit": 1, "message": "OSError: [Errno 28] No space left on device"}),
    (f"{CRON}/etl02:fetch_bank", "2026-10-01", {"state": "failed", "exit": 7}),
    (f"{CRON}/etl02:fetch_bank", "2026-10-19", {"state": "failed", "exit": 7}),
    (f"{CRON}/etl02:fetch_bank", "2026-11-10", {"state": "failed", "exit": 28}),
    (f"{CRON}/db07:export_invoices", "2026-11-02", {"state": "failed", "exit": 2, "message": "books are locked"}),
    (f"{FLOW}/load_prices", "2026-10-15", {"state": "failed", "task": "stage", "message": "currency XAU is unknown"}),
    (f"{FLOW}/crm_segments", "2026-10-30", {"state": "failed", "task": "score", "message": "MemoryError"}),
    (f"{PG}/refresh_customers", "2026-11-09", {"state": "failed", "message": "ERROR: deadlock detected"}),
    (f"{SFN}/settle_refunds", "2026-10-28", {"state": "failed", "message": "States.Timeout"}),
    (f"{SFN}/fraud_score", "2026-11-06", {"state": "timed_out", "message": "States.Timeout"}),
)  # fmt: skip
"""Job, local date of its start, how it ended: what has been seen before. None in the last two nights."""

NUMBERS = {name: place for place, name in enumerate(STORY_ENDINGS)}


def endings() -> tuple[list[dict[str, Any]], dict[tuple[str, str], int]]:
    """All endings by number; and (job, local date) -> number, of the old failures."""
    rows = [*STORY_ENDINGS.values(), *(ending for _, _, ending in OLD_FAILURES)]
    first = len(STORY_ENDINGS)
    return rows, {(job, date): first + place for place, (job, date, _) in enumerate(OLD_FAILURES)}


def by_hand(
    failures: dict[tuple[str, str], int], at_date: Callable[[str, str], int]
) -> Iterator[tuple[str, list[int]]]:
    """Somebody ran the extract by hand after it had failed."""
    for job, date in failures:
        if job == EXTRACT:
            yield job, [at_date(date, "03:41:07"), 0, 15 * 60 + 12, 0]


def scripts(at: Callable[[str], int]) -> list[dict[str, Any]]:
    """The night's runs that depend on each other, upstreams first. Minutes as in the table, of this night."""
    return [
        {"job": EXTRACT, "due": at("03:10"), "wait": 1, "first": _takes(2, "no space"), "good": _takes(14, "good")},
        {"job": LOAD, "due": at("04:00"), "wait": 4, "reads": [EXTRACT], "good": _takes(13, "good"),
         "stale": _takes(8, "old orders")},
        {"job": QUALITY, "due": at("04:00"), "after": LOAD, "wait": 1, "reads": [LOAD], "good": _takes(5, "good"),
         "stale": _takes(1, "no orders")},
        {"job": SUPPLY, "due": at("04:40"), "wait": 0, "reads": [LOAD], "good": _takes(23, "good"),
         "stale": _takes(21, "old supply")},
        {"job": REVENUE, "due": at("05:20"), "wait": 0, "reads": [LOAD], "good": _takes(18, "good"),
         "stale": _takes(12, "old revenue")},
        {"job": PLAN, "due": at("05:30"), "wait": 5, "reads": [SUPPLY], "good": _takes(39, "good"),
         "stale": _takes(37, "old plan")},
        {"job": SETTLE, "due": at("06:00"), "wait": 1, "reads": [REVENUE], "good": _takes(14, "good"),
         "stale": _takes(1, "nothing to settle")},
    ]  # fmt: skip


def _takes(minutes: float, ending: str) -> list[int]:
    return [round(minutes * 60), NUMBERS[ending]]
