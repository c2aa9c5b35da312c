"""How many runs go at once, as a pool of the jobs whose runs they are."""

from __future__ import annotations

from typing import Any

from connectors.dagster.connector import DagsterConnector
from connectors.dagster.options import DagsterOptions
from connectors.dagster.parse import DagsterLimit, parse_limits, tightest_limit
from tests.fakes.dagster import FakeDagster
from tests.rows import each_row

YAML = """\
- key: database
  limit: 2
  value: redshift
- key: dagster/backfill
  limit: 10
- key: customer
  limit: 1
  value:
    applyLimitPerUniqueValue: true
"""


@each_row(
    "payload, limits",
    [
        (None, ()),
        ({"runQueueConfig": None}, ()),
        ({"runQueueConfig": {"maxConcurrentRuns": -1, "tagConcurrencyLimitsYaml": None}}, ()),
        ({"runQueueConfig": {"maxConcurrentRuns": 0, "tagConcurrencyLimitsYaml": "{"}}, ()),
        ({"runQueueConfig": {"maxConcurrentRuns": 10, "tagConcurrencyLimitsYaml": "[1, {key: 2}]"}},
         (DagsterLimit(10),)),
        ({"runQueueConfig": {"maxConcurrentRuns": 25, "tagConcurrencyLimitsYaml": YAML}},
         (DagsterLimit(25), DagsterLimit(2, "database", "redshift"), DagsterLimit(10, "dagster/backfill"),
          DagsterLimit(1, "customer", by_value=True))),
    ],
)  # fmt: skip
def test_limits_are_those_of_the_instance_and_of_tags(payload: Any, limits: tuple[DagsterLimit, ...]) -> None:
    assert limits == parse_limits(payload)


@each_row("odd", ["!!int ''", "!!bool x", "!!timestamp x", "!!python/name:os.system", "2026-99-99", "~", "-1", "'01'"])
def test_a_value_that_is_no_limit_ends_nothing(odd: str) -> None:
    """YAML that a loader of values raises for, as IndexError or AttributeError."""
    text = f"- key: a\n  limit: {odd}\n- key: b\n  limit: 3\n  value: {odd}\n"
    limits = parse_limits({"runQueueConfig": {"maxConcurrentRuns": 10, "tagConcurrencyLimitsYaml": text}})
    assert ["", "b"] == [limit.key for limit in limits]


def test_merges_that_grow_without_end_are_not_made() -> None:
    lines = ["- &a0 {key: a, limit: 1}"]
    lines += [f"- &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    limits = parse_limits({"runQueueConfig": {"tagConcurrencyLimitsYaml": "\n".join(lines)}})
    assert (DagsterLimit(1, "a"),) == limits


@each_row(
    "tags, pool",
    [
        ({}, ("run queue", 25)),
        ({"database": "oracle"}, ("run queue", 25)),
        ({"database": "redshift"}, ("runs with database=redshift", 2)),
        ({"database": "redshift", "customer": "acme"}, ("runs with customer=acme", 1)),
        ({"dagster/backfill": "x"}, ("runs with dagster/backfill", 10)),
    ],
)
def test_a_job_is_in_the_tightest_pool_that_is_its(tags: dict[str, str], pool: tuple[str, int]) -> None:
    known = parse_limits({"runQueueConfig": {"maxConcurrentRuns": 25, "tagConcurrencyLimitsYaml": YAML}})
    assert pool == tightest_limit(known, tags)
    assert ("", None) == tightest_limit((), tags)


def test_the_inventory_names_the_pool_of_each_job() -> None:
    fake = FakeDagster("load", "stock")
    opened = DagsterConnector(
        DagsterOptions.model_validate({"url": "https://dagster.example.com"}), lambda _: "", fake.transport, 0.0
    )
    assert {("", None)} == {(job.pool, job.slots) for job in opened.inventory("", 10.0).jobs}
    fake.run_queue = {"maxConcurrentRuns": 3, "tagConcurrencyLimitsYaml": YAML}
    fake.tags = {"stock": [{"key": "database", "value": "redshift"}]}
    results = {job.native_id: (job.pool, job.slots) for job in opened.inventory("", 10.0).jobs}
    assert {"lab/load": ("run queue", 3), "lab/stock": ("runs with database=redshift", 2)} == results
