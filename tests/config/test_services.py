"""Services in config: their keys, and the error for each wrong value."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from console.config.loading import load_config
from console.domain.promise import DeadlineRule, ServiceAgreement, ServiceObjective
from tests.config.test_config import faults
from tests.rows import each_row

HEAD = (
    '[systems.dwh]\nkind = "pg_cron"\ndsn = { env = "DWH" }\n[services.s]\ndelivered_by = ["dwh/b"]\ntimezone = "UTC"\n'
)


def test_a_promise_is_read_in_each_of_its_forms(tmp_path: Path) -> None:
    more = 'slo = { objective = 0.99, over = "90d" }\nsla = { time = "08:00", misses = 2 }\n'
    deadline_rules = {
        '"06:30"': DeadlineRule(),
        '{ time = "06:30", day = 2 }': DeadlineRule(day=2),
        '{ after_start = "90m", of = "dwh/a" }': DeadlineRule(after_start=timedelta(minutes=90), of="dwh/a"),
    }
    for written, rule in deadline_rules.items():
        file = tmp_path / "headway.toml"
        file.write_text(f"{HEAD}deadline = {written}\n{more}")
        read = load_config(file).services["s"].promise
        assert (rule, ServiceObjective(0.99, 90)) == (read.deadline, read.slo)
        assert isinstance(read.sla, ServiceAgreement)
        assert (2, 30) == (read.sla.misses, read.sla.days)


@each_row(
    "written, expected",
    [
        ('deadline = "25:00"', "headway.toml:7: services.s.deadline: '25:00' "),
        ("deadline = { day = 1 }", "headway.toml:7: services.s.deadline: says one of these: a time"),
        ('deadline = { time = "06:30", day = 8 }', "services.s.deadline.day: 8 is too large: at most 7."),
        ('deadline = { after_start = "90m", day = 1 }', "day belongs to a time"),
        ('deadline = { time = "06:30", of = "dwh/a" }', "of names whose start counts"),
        ('deadline = { after_start = "3d" }', "it is longer than 48h"),
        ('deadline = { after_start = "90m", of = "dhw/a" }', 'no system "dhw" in "dhw/a". Did you mean "dwh"?'),
        (
            'deadline = "06:30"\nslo = { objective = 99 }',
            "services.s.slo.objective: 99 is too large: less than 1.",
        ),
        ('deadline = "06:30"\nslo = { objective = 0.9, over = "7d" }', "'7d' is not one of '30d' or '90d'"),
        ('deadline = "06:30"\nsla = { misses = -1 }', "services.s.sla.misses: -1 is too small"),
        ('deadline = "06:30"\nslo = 0.99', "services.s.slo: "),
    ],
)
def test_an_invalid_promise_names_place_value_and_fix(tmp_path: Path, written: str, expected: str) -> None:
    results = faults(tmp_path, f"{HEAD}{written}\n")
    assert any(expected in result for result in results), results


@pytest.mark.parametrize(
    "written, expected",
    [
        ("{ cost = 0 }", 'jobs."dwh/a".budget.cost: '),
        ('{ time = "0s" }', 'jobs."dwh/a".budget.time: must be '),
        ('{ money = "5" }', 'jobs."dwh/a".budget.money: unknown key.'),
    ],
)
def test_an_invalid_budget_names_place_value_and_fix(tmp_path: Path, written: str, expected: str) -> None:
    text = f'{HEAD}deadline = "06:30"\n[jobs."dwh/a"]\nbudget = {written}\n'
    assert any(expected in fault for fault in faults(tmp_path, text))
