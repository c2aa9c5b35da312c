"""Which names may have been meant by one that nothing has."""

from __future__ import annotations

from console.text.suggestions import suggest_names
from tests.rows import each_row

NAMES = ("etl-hosts/db07:extract_orders", "etl-hosts/db08:extract_orders", "dwh/refresh_revenue", "people/sign_off")


@each_row(
    "typed, meant",
    [
        ("sing_off", ("people/sign_off",)),
        ("extarct_orders", NAMES[:2]),
        ("db07:extarct_orders", NAMES[:2]),
        ("dhw/refresh_revenue", ("dwh/refresh_revenue",)),
        ("revenue", ("dwh/refresh_revenue",)),
        ("zzz", ()),
        ("", ()),
    ],
)
def test_a_typo_in_the_own_name_of_a_job_finds_it_whatever_precedes_it(typed: str, meant: tuple[str, ...]) -> None:
    assert meant == suggest_names(typed, NAMES)
