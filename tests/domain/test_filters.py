"""The filter language: what is typed and what it means; what cannot be read says place, value and fix."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.domain.filter import (
    FILTER_FIELDS,
    FilterError,
    JobFilter,
    argument_terms,
    field_term,
    parse_filter,
    parse_terms,
    parse_typed,
)
from tests.rows import each_row

NOW = datetime(2026, 11, 20, 2, 17, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@each_row(
    "typed,meant",
    [
        ("", {}),
        ("db07 -tmp !old ~xo", {"terms": ("db07",), "without": ("tmp", "old"), "fuzzy": ("xo",)}),
        ("state:failed system:airflow", {"states": ("failed",), "systems": ("airflow",)}),
        ("state:failed,missed -state:lost", {"states": ("failed", "missed"), "not_states": ("lost",)}),
        ("state:time state:timed-out", {"states": ("timed_out", "timed_out")}),
        ("state:ca", {"states": ("cancelling", "cancelled")}),
        ("owner:me -service:supply", {"owners": ("me",), "not_services": ("supply",)}),
        ("tier:<=2", {"tiers": (1, 2)}),
        ("tier:1,>4", {"tiers": (1, 5)}),
        ("age:<2h", {"younger": timedelta(hours=2)}),
        ("age:>1d30m", {"older": timedelta(days=1, minutes=30)}),
        ("since:-2h", {"since": timedelta(hours=2)}),
        ("since:2h business_date:2026-11-19", {"since": timedelta(hours=2), "dates": ("2026-11-19",)}),
        ("since:22:00", {"since": datetime(2026, 11, 19, 22, tzinfo=BERLIN)}),
        ("since:03:00", {"since": datetime(2026, 11, 20, 3, tzinfo=BERLIN)}),
        ("since:2026-11-18", {"since": datetime(2026, 11, 18, tzinfo=BERLIN)}),
        ("db07:extract", {"terms": ("db07:extract",)}),
        ('"state:failed" -"a b"', {"terms": ("state:failed",), "without": ("a b",)}),
        ('owner:"data platform"', {"owners": ("data platform",)}),
        ("STATE:Failed - ~", {"states": ("failed",)}),
    ],
)
def test_what_is_typed_has_one_meaning(typed: str, meant: dict[str, Any]) -> None:
    assert JobFilter(**meant) == parse_filter(typed, NOW, BERLIN)


@each_row(
    "typed,message",
    [
        ("state:faild", 'no state begins with "faild"; did you mean failed?'),
        ("state:odd", 'no state begins with "odd"; there are planned, waiting,'),
        ("state:", "state: wants a value, as in state:failed"),
        ("stat:failed", 'no field "stat:"; did you mean state:? In quotes it is part of a name'),
        ("tier:9", 'tier: "9" is not a tier; there are 1 to 5'),
        ("-tier:1", "-tier: cannot be excluded"),
        ("age:2h", 'age: "2h" is neither younger nor older; write age:<2h or age:>1d'),
        ("age:<2x", 'age: "2x" is not a duration; write 15s, 14m, 1h30m or 2d'),
        ("since:soon", 'since: "soon" is not a time; write since:-2h, since:22:00 or since:2026-11-20'),
        ("since:25:00", 'since: "25:00" is not a time'),
        ("business_date:yesterday", 'business_date: "yesterday" is not a date; write business_date:2026-11-19'),
    ],
)
def test_an_unreadable_filter_is_reported_with_place_value_and_fix_in_one_line(typed: str, message: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(typed, NOW, BERLIN)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_arguments_of_a_shell_mean_the_same_as_a_typed_line() -> None:
    assert parse_filter('owner:"a b" ~x', NOW) == parse_terms(["owner:a b", "~x"], NOW)


def test_every_fields_own_example_can_be_read() -> None:
    for field, text in FILTER_FIELDS.items():
        assert parse_filter(text.partition(",")[0].partition(" ")[0], NOW) != JobFilter(), field


@given(st.text(alphabet='ab:-!~"<>= ,0129state\x00', max_size=30))
def test_whatever_is_typed_is_read_or_refused_in_one_line(typed: str) -> None:
    message = ""
    try:
        parse_filter(typed, NOW)
    except FilterError as error:
        message = str(error)
    assert "\n" not in message


@each_row(
    "typed,counts,message",
    [
        ("state:fail", {"states": ("failed",)}, ""),
        ("state:fail system:", {"states": ("failed",)}, '"system:" is ignored: system: wants a value'),
        ('"a b" age:2h', {"terms": ("a b",)}, '"age:2h" is ignored: age: "2h" is neither'),
        ("stat:x db07", None, 'the filter is not applied: "stat:x": no field "stat:"; did you mean state:?'),
        ("stat:x tier:9", None, 'the filter is not applied: "stat:x": no field "stat:"'),
        (
            "stat:x db07 zz:qq tier:9",
            None,
            (
                'the filter is not applied: "stat:x": no field "stat:"; did you mean state:? '
                'In quotes it is part of a name; "tier:9": tier: "9" is not a tier; there are 1 to 5, '
                "as in tier:1 or tier:<=2, jobs upstream of a service of that tier; "
                '"zz:qq" is not a field, but part of a name'
            ),
        ),
    ],
)
def test_what_is_not_in_force_while_it_is_typed_is_named(
    typed: str, counts: dict[str, Any] | None, message: str
) -> None:
    criteria, text = parse_typed(typed)
    assert criteria == (None if counts is None else JobFilter(**counts))
    assert text.startswith(message)
    assert bool(text) == bool(message)


@each_row(
    "argument,texts",
    [
        ("state:fail system:", ["state:fail", "system:"]),
        ("state:fail db07", ["state:fail", "db07"]),
        ("db07 -state:lost", ["db07", "-state:lost"]),
        ("owner:data platform", ["owner:data platform"]),
        ("since:2026-11-20 22:00", ["since:2026-11-20 22:00"]),
        ("a b", ["a b"]),
        ("", [""]),
    ],
)
def test_an_argument_of_a_command_line_is_one_term_unless_it_plainly_holds_several(
    argument: str, texts: list[str]
) -> None:
    assert texts == argument_terms(argument)


@each_row("text", ["age:<999999999d", "age:>36526d", "since:-999999999d", "since:0001-01-01"])
def test_what_no_date_leads_back_to_is_a_fault_of_the_filter(text: str) -> None:
    """A filter fault is reported as one, not as an unreadable store."""
    with pytest.raises(FilterError, match=r"more than a hundred years|is not a time"):
        parse_filter(text, NOW, BERLIN)


@pytest.mark.parametrize("name", ["daily-revenue", "Täglich 日報", "a:b c"])
def test_the_term_of_a_field_names_exactly_its_value(name: str) -> None:
    assert (name,) == parse_filter(field_term("service", name)).services


@each_row("typed", ["a " * 201, "-a ~b " * 150, "owner:" + ",".join(["a"] * 201)])
def test_a_filter_of_more_words_than_a_database_tests_is_refused(typed: str) -> None:
    """SQLite reads a thousand conditions at most; PostgreSQL tests any number, for every job."""
    with pytest.raises(FilterError) as caught:
        parse_filter(typed, NOW)
    assert caught.value.text('"{}":').endswith(' …": the filter has more than 200 words and values')


def test_two_hundred_words_are_read() -> None:
    assert 200 == len(parse_filter("a " * 200, NOW).terms)
