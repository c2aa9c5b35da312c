"""What a person types to say which job is meant: short, and never another one's."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from console.store.names import name_suffixes, shortest_suffix
from tests.store.estate import Estate


def test_an_end_begins_with_a_part_of_the_name() -> None:
    assert ["db07:extract_orders", "extract_orders"] == list(name_suffixes("etl-hosts/db07:extract_orders"))


@pytest.mark.parametrize(
    "name, others, question",
    [
        ("etl-hosts/db07:extract_orders", (), "extract_orders"),
        ("etl-hosts/db07:extract_orders", ("etl-hosts/db07:extract", "airflow/reextract_orders"), "extract_orders"),
        ("etl-hosts/db07:extract_orders", ("etl-hosts/db08:extract_orders",), "db07:extract_orders"),
        ("etl-hosts/db07:load", ("dwh/db07:load", "dwh/db08:load"), "etl-hosts/db07:load"),
        ("airflow/etl/1", (), "etl/1"),
        ("airflow/a", (), "airflow/a"),
        ("x/load", ("a/load", "b/other"), "x/load"),
    ],
)
def test_it_is_the_shortest_that_no_other_job_has(
    served: Estate, name: str, others: Sequence[str], question: str
) -> None:
    with served.store.write(None) as connection:
        ids = [row[0] for row in connection.rows("SELECT id FROM job ORDER BY id")]
        assert len(ids) > len(others)
        names = [name, *others, *(f"elsewhere/{item}x" for item in ids)]
        connection.many("UPDATE job SET name = ? WHERE id = ?", list(zip(names, ids, strict=False)))
        assert question == shortest_suffix(connection, name)
