"""Each dialect reads an expression as its scheduler does. What the real parsers answer is compared in
tests/lab/test_dialects_real.py where they run; cronie's and Quartz's expectations are those of their documentation."""

from __future__ import annotations

from datetime import UTC, datetime

from connectors.sdk.records import Schedule
from console.timing.schedule import (
    instants,
    is_interval,
    last_instant,
    next_instant,
    schedule_fault,
    schedule_text,
    unreadable_schedules,
)
from tests.rows import each_row

FRIDAY = datetime(2026, 11, 27, tzinfo=UTC)
CRONITER = ("airflow", "dagster", "prefect")


def starts(dialect: str, expression: str, count: int = 3, zone: str = "UTC") -> str:
    """The next starts after Friday 27 November 2026, 00:00 UTC."""
    schedule, at, found = Schedule(dialect, expression, zone), FRIDAY, list[str]()
    while len(found) < count and (following := next_instant(schedule, at)) is not None:
        assert at == FRIDAY or last_instant(schedule, following) == following
        found.append(f"{following:%d.%m. %H:%M:%S}".removesuffix(":00"))
        at = following
    assert found or schedule_fault(schedule) is not None
    return ", ".join(found)


@each_row(
    "expression, expected",
    [
        ("0 3 $ * *", "30.11. 03:00, 31.12. 03:00, 31.01. 03:00"),
        ("0 3 $ * 1", "30.11. 03:00, 07.12. 03:00, 14.12. 03:00"),
        ("0 */2 * * * *", "27.11. 02:00, 27.11. 04:00, 27.11. 06:00"),
        ("0 3 * * * extra", "27.11. 03:00, 28.11. 03:00, 29.11. 03:00"),
        ("0 6 * * 1#1", "30.11. 06:00, 07.12. 06:00, 14.12. 06:00"),
        ("*5 6 * jan-MAR *", "01.01. 06:00, 01.01. 06:01, 01.01. 06:02"),
        ("5,7#,9 6\t* * *", "27.11. 06:05, 27.11. 06:07, 28.11. 06:05"),
        ("@hourly now", "27.11. 01:00, 27.11. 02:00, 27.11. 03:00"),
    ],
)
def test_pg_cron_skips_what_it_does_not_read(expression: str, expected: str) -> None:
    assert expected == starts("pg_cron", expression)


@each_row("expression", ["30 SECONDS", "30 seconds", "30 second", "30Seconds "])
def test_an_interval_of_pg_cron_is_read_in_any_case(expression: str) -> None:
    assert is_interval(Schedule("pg_cron", expression))
    assert "27.11. 00:00:30, 27.11. 00:01" == starts("pg_cron", expression, 2)


@each_row(
    "expression",
    ["0 3 15,$ * *", "0 3 $,15 * *", "0 0 L * *", "0 6 * * 1L", "5/10 * * * *", "5-9/2x * * * *", "0 0 ? * *",
     "@DAILY", "5 4 * *", "5- * * * *", "5, * * * *", "60 seconds", "0 seconds"],
)  # fmt: skip
def test_what_pg_cron_refuses_is_not_read(expression: str) -> None:
    assert schedule_fault(Schedule("pg_cron", expression)) is not None


@each_row("dialect", CRONITER)
@each_row(
    "expression, expected",
    [
        ("0 22-2 * * *", "27.11. 01:00, 27.11. 02:00, 27.11. 22:00"),
        ("0 0 * * fri-sun", "28.11. 00:00, 29.11. 00:00, 04.12. 00:00"),
        ("0 0 L * *", "30.11. 00:00, 31.12. 00:00, 31.01. 00:00"),
        ("0 0 * * L5", "25.12. 00:00, 29.01. 00:00, 26.02. 00:00"),
        ("0 0 * * 5#2", "11.12. 00:00, 08.01. 00:00, 12.02. 00:00"),
        ("0 0 */1 * 5", "28.11. 00:00, 29.11. 00:00, 30.11. 00:00"),
        ("0 0 */2 * 5", "29.11. 00:00, 01.12. 00:00, 03.12. 00:00"),
        ("0 0 1 * 5", "01.12. 00:00, 04.12. 00:00, 11.12. 00:00"),
        ("0 6 * * 5 30", "27.11. 06:00:30, 04.12. 06:00:30, 11.12. 06:00:30"),
        ("@daily", "28.11. 00:00, 29.11. 00:00, 30.11. 00:00"),
    ],
)
def test_croniter_is_asked_what_an_expression_of_airflow_dagster_and_prefect_means(
    dialect: str, expression: str, expected: str
) -> None:
    assert expected == starts(dialect, expression)


@each_row("expression", ["R 3 * * *", "R(0-3) 3 * * *", "H 3 * * *", "61 * * * *", "0," * 600 + "0 * * * *"])
def test_a_random_or_endless_expression_is_not_expanded(expression: str) -> None:
    assert schedule_fault(Schedule("airflow", expression)) is not None


@each_row(
    "expression, expected",
    [
        ("0 10 3 * * ?", "27.11. 03:10, 28.11. 03:10, 29.11. 03:10"),
        ("30 0/15 8-18 ? * MON-FRI", "27.11. 08:00:30, 27.11. 08:15:30, 27.11. 08:30:30"),
        ("0 0 6 ? * 2-6", "27.11. 06:00, 30.11. 06:00, 01.12. 06:00"),
        ("0 0 6 ? * FRI-SUN", "27.11. 06:00, 28.11. 06:00, 29.11. 06:00"),
        ("0 0 22-2 * * ?", "27.11. 01:00, 27.11. 02:00, 27.11. 22:00"),
        ("0 0 6 1 NOV-FEB ?", "01.12. 06:00, 01.01. 06:00, 01.02. 06:00"),
        ("0 0 6 L * ?", "30.11. 06:00, 31.12. 06:00, 31.01. 06:00"),
        ("0 0 6 LW * ?", "30.11. 06:00, 31.12. 06:00, 29.01. 06:00"),
        ("0 0 6 ? * 6L *", "27.11. 06:00, 25.12. 06:00, 29.01. 06:00"),
        ("0 0 6 ? * fri#3", "18.12. 06:00, 15.01. 06:00, 19.02. 06:00"),
        ("0 0 6 ? * L", "28.11. 06:00, 05.12. 06:00, 12.12. 06:00"),
        ("0/20 * * * * ?", "27.11. 00:00:20, 27.11. 00:00:40, 27.11. 00:01"),
        ("0 0 6 ? * 1,7 *", "28.11. 06:00, 29.11. 06:00, 05.12. 06:00"),
        ("0 0 6 L-3 * ?", "27.11. 06:00, 28.12. 06:00, 28.01. 06:00"),
        ("0 0 6 15W * ?", "15.12. 06:00, 15.01. 06:00, 15.02. 06:00"),
        ("0 0 6 1W 1,5,8 ?", "01.01. 06:00, 03.05. 06:00, 02.08. 06:00"),
        ("0 0 6 31W 1 ?", "29.01. 06:00, 31.01. 06:00, 31.01. 06:00"),
        ("0 0 6 L-2W * ?", "27.11. 06:00, 29.12. 06:00, 29.01. 06:00"),
        ("0 0 6 15,L * ?", "30.11. 06:00, 15.12. 06:00, 31.12. 06:00"),
        ("0 0 6 1-2,15W * ?", "01.12. 06:00, 02.12. 06:00, 15.12. 06:00"),
        ("0 0 6 ? * 2,6L", "27.11. 06:00, 30.11. 06:00, 07.12. 06:00"),
        ("0 0 6 ? * MON#1,MON#3", "07.12. 06:00, 21.12. 06:00, 04.01. 06:00"),
        ("0 0 6 1 1 ? 2027", "01.01. 06:00"),
        ("0 0 6 * * ? 2026-2030", "27.11. 06:00, 28.11. 06:00, 29.11. 06:00"),
        ("0 0 6 31 12 ? 2025,2028/2", "31.12. 06:00, 31.12. 06:00, 31.12. 06:00"),
    ],
)
def test_a_schedule_of_databricks_is_read_as_quartz_documents_it(expression: str, expected: str) -> None:
    assert expected == starts("databricks", expression)


def test_a_schedule_whose_years_are_over_has_past_starts_only() -> None:
    schedule = Schedule("quartz", "0 * * * * ? 2024-2025")
    assert (None, "") == (next_instant(schedule, FRIDAY), schedule_fault(schedule) or "")
    assert datetime(2025, 12, 31, 23, 59, tzinfo=UTC) == last_instant(schedule, FRIDAY)
    later = Schedule("quartz", "0 * * * * ? 2090")
    assert (datetime(2090, 1, 1, tzinfo=UTC), None) == (next_instant(later, FRIDAY), last_instant(later, FRIDAY))


@each_row("expression", ["0 0 6 32W * ?", "0 0 6 L-30 2 ?", "0 0 6 WL * ?", "0 0 6 1 * 2", "0 6 * * *", "nonsense"])
def test_what_quartz_does_not_read_or_never_runs_is_named(expression: str) -> None:
    assert expression in str(schedule_fault(Schedule("databricks", expression)))


@each_row(
    "dialect, expression, expected",
    [
        ("snowflake", "0 3 L * *", "30.11. 03:00, 31.12. 03:00, 31.01. 03:00"),
        ("snowflake", "0 3 * * 5L", "27.11. 03:00, 25.12. 03:00, 29.01. 03:00"),
        ("snowflake", "0 3 * * FRIL", ""),
        ("snowflake", "0 3 L 2 *", "28.02. 03:00, 29.02. 03:00, 28.02. 03:00"),
        ("snowflake", "0 3 L * 5L", "27.11. 03:00, 30.11. 03:00, 25.12. 03:00"),
        ("snowflake", "0 3 1,L * *", "30.11. 03:00, 01.12. 03:00, 31.12. 03:00"),
        ("snowflake", "0 3 1 4/3 *", "01.04. 03:00, 01.07. 03:00, 01.10. 03:00"),
        ("snowflake", "0 3 * * 5#2", ""),
        ("dbt_cloud", "0 3 L * *", "30.11. 03:00, 31.12. 03:00, 31.01. 03:00"),
        ("dbt_cloud", "0 3 * * 5#2", ""),
        ("quartz", "0 0 3 LW * ?", "30.11. 03:00, 31.12. 03:00, 29.01. 03:00"),
        ("quartz", "0 0 3 ? * 6L", "27.11. 03:00, 25.12. 03:00, 29.01. 03:00"),
        ("airflow", "0 3 L * *", "30.11. 03:00, 31.12. 03:00, 31.01. 03:00"),
        ("debian-cron", "0 3 L * *", ""),
        ("debian-cron", "0 3 * * 5L", ""),
        ("cronie", "0 3 * * 5#2", ""),
        ("github", "0 3 L * *", ""),
    ],
)
def test_the_last_days_of_a_month_are_read_where_the_scheduler_documents_them(
    dialect: str, expression: str, expected: str
) -> None:
    assert expected == starts(dialect, expression)


def test_days_of_debian_are_both_wanted_where_one_begins_with_a_star() -> None:
    assert "04.12. 00:00, 11.12. 00:00, 18.12. 00:00" == starts("debian-cron", "0 0 */1 * 5")


def test_an_expression_that_headway_cannot_expand_is_not_called_its_users_fault() -> None:
    [warning] = unreadable_schedules([("etl", Schedule("databricks", "0 0 6 1 * 2"))])
    assert (True, True) == (warning.startswith("etl: "), '"0 0 6 1 * 2" in UTC: ' in warning)
    assert "correct" not in warning


def test_a_schedule_of_each_dialect_is_described() -> None:
    assert "Fri-Sun at 00:00 UTC" == schedule_text(Schedule("airflow", "0 0 * * fri-sun"))
    assert "at minute 0 past every hour from 22 through 2 UTC" == schedule_text(Schedule("airflow", "0 22-2 * * *"))
    assert "every day" == schedule_text(Schedule("airflow", "0 0 */1 * 5", text="every day"))
    assert "0 3 * * L5 UTC" == schedule_text(Schedule("airflow", "0 3 * * L5")), "the last Friday, for croniter alone"
    assert "daily at 03:10 UTC" == schedule_text(Schedule("databricks", "0 10 3 * * ?"))
    assert "30 0 6 * * ?" == schedule_text(Schedule("databricks", "30 0 6 * * ?", text="30 0 6 * * ?"))


def test_a_night_of_airflow_lists_and_steps_the_same() -> None:
    """Listing shares days, stepping seeks the nearest."""
    schedule = Schedule("airflow", "*/30 22-2 * * fri-sun", "Europe/Berlin")
    begin, end = datetime(2026, 10, 23, tzinfo=UTC), datetime(2026, 11, 10, tzinfo=UTC)
    listed, stepped, at = instants(schedule, begin, end), list[datetime](), begin
    while (following := next_instant(schedule, at)) is not None and following <= end:
        stepped.append(following)
        at = following
    assert stepped == listed != []
