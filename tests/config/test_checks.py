"""`[checks.NAME]`: its keys, and each fault with file, key, value and fix."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from connectors.sdk.secrets import LITERAL_REFUSED
from console.config.document import ConfigFaults
from console.config.loading import load_config
from console.domain.check import CheckCriteria, Comparator, Comparison, RowCountBand
from tests.rows import each_row

GOOD = """
[systems.dwh]
kind = "pg_cron"
dsn = { env = "DWH" }
[systems.hosts]
kind = "cron"
hosts = ["db07"]
key = "/etc/headway/key"
[services.s]
delivered_by = ["dwh/a"]
deadline = "06:30"
timezone = "Europe/Berlin"
ready = ["supply-rows"]
[checks.supply-rows]
kind = "sql"
system = "dwh"
table = "supply.rows"
where = "day = {business_date}"
rows = "band"
fresh = { column = "loaded_at", within = "2h" }
unique = ["id", ["order_id", "line"]]
not_null = ["sku"]
columns = { id = "bigint" }
"""


def faults(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "h.toml"
    file.write_text(GOOD + text)
    with pytest.raises(ConfigFaults) as raised:
        load_config(file)
    return [str(fault).removeprefix(f"{tmp_path}/h.toml:").partition(": ")[2] for fault in raised.value.faults]


def test_a_check_becomes_what_decisions_see(tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    file.write_text(GOOD)
    [check] = load_config(file).declared.checks
    assert ("supply-rows", "sql", "table supply.rows on dwh") == (check.name, check.kind, check.about)
    check_criteria = CheckCriteria(
        band=RowCountBand(), fresh=timedelta(hours=2), unique=(("id",), ("order_id", "line")), not_null=("sku",),
        columns=(("id", "bigint"),),
    )  # fmt: skip
    assert check_criteria == check.asks
    assert (timedelta(minutes=5), "Europe/Berlin") == (check.every, check.zone)


def test_values_are_compared_as_written(tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    more = '[checks.q]\nkind = "sql"\nsystem = "dwh"\nquery = "SELECT 1"\nexpect = { is_not = true, at_most = 3 }\n'
    file.write_text(GOOD + more)
    comparisons = load_config(file).declared.checks[1].asks.value
    assert (Comparison(Comparator.NOT, True), Comparison(Comparator.AT_MOST, 3)) == comparisons
    assert isinstance(comparisons[0].to, bool)


@each_row(
    "text, expected",
    [
        ('[checks.x]\ntable = "t"', 'checks.x: has no kind. Add kind = "…", one of: sql, file, http, object.'),
        ('[checks.x]\nkind = "sqll"', 'checks.x.kind: no kind "sqll". Did you mean "sql"?'),
        (
            '[checks.x]\nkind = "sql"\nsystem = "dwh"\ntable = "t"',
            "checks.x: the check of the table has no condition: add rows, fresh, unique, not_null or columns.",
        ),
        (
            '[checks.x]\nkind = "sql"\nsystem = "dw"\ntable = "t"\nrows = { min = 1 }',
            'checks.x.system: no system "dw". Did you mean "dwh"?',
        ),
        (
            '[checks.x]\nkind = "sql"\nsystem = "hosts"\ntable = "t"\nrows = { min = 1 }',
            'checks.x.system: "hosts" is of kind "cron"; a check of kind "sql" uses a system of kind pg_cron.',
        ),
        (
            '[checks.x]\nkind = "sql"\nsystem = "dwh"\nquery = "SELECT {business_date:%Y}"\nexpect = { equals = 1 }',
            "checks.x: the date is bound, and takes no format here: write to_char({business_date}, 'YYYYMMDD').",
        ),
        (
            '[checks.x]\nkind = "sql"\ndsn = "postgresql://u:p@h/d"\ntable = "t"\nrows = { min = 1 }',
            f"checks.x.dsn: {LITERAL_REFUSED}",
        ),
        (
            '[checks.x]\nkind = "file"\npath = "/data/{day}.csv"',
            'checks.x.path: "{day}" is not a business date; write {business_date} or {business_date:%Y%m%d}',
        ),
        (
            '[checks.x]\nkind = "file"\npath = "/data/x"\nsystem = "hosts"\ntarget = "db08"',
            'checks.x.target: "hosts" has no "db08". Did you mean "db07"?',
        ),
        (
            '[checks.x]\nkind = "http"\nurl = "http://dwh.internal/x"\ntoken = { env = "T" }',
            "checks.x: http:// to dwh.internal would send the credentials unencrypted: use https://",
        ),
        ('[checks.x]\nkind = "object"\nbucket = "lake"', "checks.x: either key or prefix is needed."),
        (
            '[services.t]\ndelivered_by = ["dwh/b"]\ndeadline = "07:00"\ntimezone = "UTC"\nready = ["suply-rows"]',
            'services.t.ready: no check "suply-rows". Did you mean "supply-rows"?',
        ),
    ],
)  # fmt: skip
def test_invalid_check_settings_are_reported_with_their_fix(tmp_path: Path, text: str, expected: str) -> None:
    assert any(fault.startswith(expected) for fault in faults(tmp_path, text)), faults(tmp_path, text)


CHECK = '[checks.x]\nkind = "sql"\nsystem = "dwh"\n'


@each_row(
    "text, expected",
    [
        (f'{CHECK}table = "t"\nrows = {{ min = 5, max = 1 }}',
         "checks.x.rows: min 5 is more than max 1, so that nothing fits; swap them."),
        (f'{CHECK}table = "t"\nrows = {{}}', "checks.x.rows: has no limit: write min, max or both."),
        (f'{CHECK}table = "supply."\nrows = "band"', 'checks.x.table: "supply." is not a table; write "supply.rows"'),
        (f'{CHECK}table = "t"\nunique = [[]]', "checks.x.unique.1: is an empty list. Name at least one."),
        (f'{CHECK}table = "t"\nrows = "band"\nwhere = "WHERE day = {{business_date}}"',
         "checks.x.where: begins with WHERE, which is added already; leave it out"),
        (f'{CHECK}table = "t"\nrows = "band"\nwhere = " "',
         "checks.x.where: is empty; leave it out to ask of all rows"),
        (f'{CHECK}table = "t"\nrows = "band"\nwhere = "a) OR (b"',
         "checks.x.where: has a bracket that is never opened; each needs the other"),
        (f'{CHECK}query = ""\nexpect = {{ equals = 1 }}', "checks.x.query: is empty; write a SELECT of one value"),
        (f'{CHECK}query = "-- all\\nDELETE FROM t"\nexpect = {{ equals = 1 }}',
         'checks.x.query: begins with "DELETE"; a check only reads: write one SELECT'),
        (f'{CHECK}query = "SELECT 1; SELECT 2"\nexpect = {{ equals = 1 }}',
         'checks.x.query: holds a ";": a check asks one statement; keep the one, without it'),
        (f"{CHECK}query = \"SELECT count(*) FROM t WHERE day = '{{business_date}}'\"\nexpect = {{ equals = 1 }}",
         "checks.x.query: {business_date} is in quotes, where no date is bound; write it without them"),
        (f'{CHECK}query = "SELECT \'a"\nexpect = {{ equals = 1 }}', "checks.x.query: has a quote that does not end"),
        (f'{CHECK}query = "SELECT 1 /* a"\nexpect = {{ equals = 1 }}',
         "checks.x.query: has a comment that does not end"),
        (f'{CHECK}query = "SELECT $a$ {{business_date}} $a$"\nexpect = {{ equals = 1 }}',
         "checks.x.query: {business_date} is in quotes, where no date is bound; write it without them"),
        (f'{CHECK}query = "SELECT 1"\nexpect = {{ at_least = 5, at_most = 1 }}',
         "checks.x.expect: at_least 5 is more than at_most 1, so that nothing fits; swap them."),
        (f'{CHECK}query = "SELECT 1"\nexpect = {{ equals = 3, at_most = 1 }}',
         "checks.x.expect: equals 3 contradicts the other conditions, so that nothing fits; keep equals."),
        (f'{CHECK}query = "SELECT 1"\nexpect = {{ equals = true, at_most = 1 }}',
         "checks.x.expect: equals true is not a number, which at_least and at_most need; keep one of them."),
        (f'{CHECK}query = "SELECT 1"\nexpect = {{ at_most = nan }}',
         "checks.x.expect: at_most = nan is never so; write a number."),
        ('[checks.x]\nkind = "file"\npath = "/x"\nage = "-5m"', 'checks.x.age: "-5m" is a time below 0; write 15s'),
        ('[checks.x]\nkind = "file"\npath = "/x"\nage = "0s"',
         "checks.x.age: must be longer than zero; write 15s, for example (it is '0s')."),
        ('[checks.x]\nkind = "file"\npath = "/x"\ntimeout = "0s"', "checks.x.timeout: must be longer than zero"),
        ('[checks.x]\nkind = "file"\npath = "/x"\nsize = { min = 2, max = 1 }',
         "checks.x.size: min 2 is more than max 1"),
    ],
)  # fmt: skip
def test_what_no_data_can_pass_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    assert any(fault.startswith(expected) for fault in faults(tmp_path, text)), faults(tmp_path, text)


@each_row(
    "query",
    [
        "SELECT count(*) FROM orders WHERE day = {business_date};",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "(SELECT 1)",
        "-- how many; and since when\nSELECT count(*) FROM \"odd;name\" WHERE note <> 'it''s; (' /* ( */",
        "SELECT E'it\\'s;'",
        "SELECT $tag$;($tag$",
        "VALUES (1)",
    ],
)
def test_a_valid_query_is_accepted_unchanged(tmp_path: Path, query: str) -> None:
    file = tmp_path / "h.toml"
    file.write_text(f"{GOOD}{CHECK}expect = {{ equals = 1 }}\nquery = '''{query}'''\n")
    assert query == load_config(file).checks["x"].query
