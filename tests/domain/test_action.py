"""Parameters of an action, as an approver reads them."""

from __future__ import annotations

from typing import Any

from console.domain.action import parameters_text, quoted_text
from tests.rows import each_row


@each_row(
    "value, text",
    [
        ("2026-11-28", "2026-11-28"),
        ("etl/load_orders@v1.2+3", "etl/load_orders@v1.2+3"),
        ("2026-11-2\u0669", '"2026-11-2\\u0669"'),
        ("dr\u043ep", '"dr\\u043ep"'),
        ("\uff12026", '"\\uff12026"'),
        ("1", '"1"'),
        (1, "1"),
        ("1.5", '"1.5"'),
        ("true", '"true"'),
        (True, "true"),
        ("null", '"null"'),
        (None, "null"),
        ("", '""'),
    ],
)
def test_a_text_that_looks_like_another_value_is_quoted(value: Any, text: str) -> None:
    assert text == quoted_text(value)


def test_a_text_cannot_look_like_a_second_parameter() -> None:
    assert 'mode "a, drop yes", "b c" 1' == parameters_text({"mode": "a, drop yes", "b c": 1})
