"""Settings of systems of tables."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.tables.options import TablesOptions
from tests.rows import each_row

DELTA = {"orders": {"delta": "/lake/orders"}}


def test_the_page_shows_a_system_that_loads() -> None:
    page = (Path(__file__).parents[3] / "docs/connectors/tables.md").read_text(encoding="utf-8")
    system = tomllib.loads(page.partition("```toml\n")[2].partition("```")[0])["systems"]["lakehouse"]
    assert "tables" == system.pop("kind")
    assert ["orders", "stock"] == list(TablesOptions.model_validate(system).tables)


@each_row(
    "given, text",
    [
        ({"tables": {"a": {}}}, "one of delta"),
        ({"tables": {"a": {"delta": "/a", "iceberg": "a.b"}}}, "one of delta"),
        ({"tables": {"a": {"iceberg": "a.b"}}}, "Iceberg tables need their catalog"),
        ({"tables": DELTA, "storage": {"AWS_SECRET_ACCESS_KEY": "x"}}, "AWS_SECRET_ACCESS_KEY is a secret"),
        ({"tables": DELTA, "catalog": {"credential": "id:secret"}}, "credential is a secret"),
        ({"tables": DELTA, "catalog": {"py-catalog-impl": "os.system"}}, "loads code; it is not supported"),
        ({"tables": {"a": {"delta": "/a", "expected": {"at": "25:00"}}}}, r"expected\.at\n.*'25:00'"),
        ({"tables": {"a": {"delta": "/a", "expected": {"at": "04:00", "early": "13h"}}}}, 'write at most "12h"'),
    ],
)
def test_wrong_settings_are_refused_with_an_example(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        TablesOptions.model_validate(given)


def test_an_address_of_a_sign_in_is_no_secret() -> None:
    catalog = {"uri": "https://catalog.example.com", "oauth2-server-uri": "https://sso.example.com/token"}
    assert TablesOptions.model_validate({"tables": DELTA, "catalog": catalog}).catalog
