"""`[[policies]]`: what config says, and every fault with its place and fix."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from console.config.loading import load_config
from console.config.references import job_patterns, unmatched_patterns
from console.domain.policy import Policy, PolicyCondition, PolicyLimits, PolicyMatch
from console.store.config_documents import declared_json, parse_declared
from tests.config.test_config import GOOD, faults
from tests.rows import each_row

TEXT = """
[[policies]]
name = "retry-refused"
match = { errors = ["*Connection refused*"], jobs = ["dwh/*"], services = ["nightly-*"], tiers = [1, 2] }
when = { attempts_below = 3, p_late = 0.5, act_by_within = "30m" }
do = "rerun"
limits = { per_run = 2, per_hour = 4 }

[[policies]]
name = "second"
match = { signatures = ["3f9a02c1"] }
do = "rerun"
"""


def test_policies_are_read_in_their_order_and_stored(tmp_path: Path) -> None:
    file = tmp_path / "headway.toml"
    file.write_text(GOOD + TEXT)
    config = load_config(file)
    first = Policy(
        "retry-refused",
        "rerun",
        PolicyMatch((), ("*Connection refused*",), ("dwh/*",), ("nightly-*",), (1, 2)),
        PolicyCondition(3, 0.5, timedelta(minutes=30)),
        PolicyLimits(per_run=2, per_hour=4),
    )
    second = Policy("second", "rerun", PolicyMatch(("3f9a02c1",)))
    assert (first, second) == config.declared.policies == parse_declared(declared_json(config.declared)).policies
    assert "dwh/*" in job_patterns(config)
    assert any(line.startswith('policies 1: match.services = "nightly-*"') for line in unmatched_patterns(config))


@each_row(
    "table, problem",
    [
        ('do = "rerun"', "policies.1.name: is missing. Add it"),
        ('name = "a"', 'policies.1.do: is missing. Add it: do = "rerun".'),
        ('name = "a b"\ndo = "rerun"', "policies.1.name"),
        ('name = "report"\ndo = "rerun"', 'policies.1.name: "report" is a command of `headway policy`. Rename it.'),
        ('name = "a"\ndo = "restart"', "policies.1.do: 'restart' is not one of 'rerun'."),
        ('name = "a"\ndo = "rerun"\nmatch = { signatures = ["odd"] }', "policies.1.match.signatures.1"),
        ('name = "a"\ndo = "rerun"\nmatch = { jobs = ["odd"] }', 'policies.1.match.jobs: "odd" '),
        ('name = "a"\ndo = "rerun"\nmatch = { services = ["odd"] }', 'policies.1.match.services: no service "odd"'),
        ('name = "a"\ndo = "rerun"\nwhen = { p_late = 2 }', "policies.1.when.p_late: 2 is too large: at most 1"),
        ('name = "a"\ndo = "rerun"\nlimits = { per_run = 0 }', "policies.1.limits.per_run: 0 is too small"),
        ('name = "a"\ndo = "rerun"\nlimits = { per_run = true }', "policies.1.limits.per_run: true is "),
        ('name = "a"\ndo = "rerun"\nwhen = { p_late = true }', "policies.1.when.p_late: true is not a number."),
        ('name = "a"\ndo = "rerun"\nmatch = { tiers = [true] }', "policies.1.match.tiers.1: true is "),
        ('name = "a"\ndo = "rerun"\nmatch = { jobs = [] }', "policies.1.match.jobs: is "),
        ('name = "a"\ndo = "rerun"\nmatch = { errors = ["disk full"] }', 'fits no failure; write "*disk full*"'),
        ('name = "a"\ndo = "rerun"\nwhen = { attempts_below = 1 }', "attempts_below: 1 is too small: "),
        ('name = "a"\ndo = "rerun"\nlimit = { per_run = 1 }', 'policies.1.limit: unknown key. Did you mean "limits"?'),
    ],
)
def test_a_wrong_policy_is_a_fault(tmp_path: Path, table: str, problem: str) -> None:
    assert problem in str(faults(tmp_path, f"{GOOD}\n[[policies]]\n{table}\n"))


@pytest.mark.parametrize("text", ["failed: Connection refused, task load of airflow", "failed, task load of cron"])
def test_the_text_of_a_failure_is_a_pattern(tmp_path: Path, text: str) -> None:
    file = tmp_path / "headway.toml"
    file.write_text(f'{GOOD}\n[[policies]]\nname = "a"\ndo = "rerun"\nmatch = {{ errors = ["{text}"] }}\n')
    assert (text,) == load_config(file).declared.policies[0].match.errors


def test_two_policies_of_one_name_are_a_fault(tmp_path: Path) -> None:
    twice = '\n[[policies]]\nname = "a"\ndo = "rerun"\n' * 2
    assert 'policies.2.name: "a" is the name of another policy too. Rename one of them.' in str(
        faults(tmp_path, GOOD + twice)
    )


@pytest.mark.parametrize(
    "wider, match, is_covered",
    [
        ("", 'jobs = ["dwh/*"]', True),
        ('jobs = ["dwh/*"]', 'jobs = ["dwh/*"]', True),
        ('jobs = ["dwh/*"]', 'jobs = ["dwh/load_*"], errors = ["*refused*"]', True),
        ('errors = ["*refused*"]', 'errors = ["*Connection refused*"]', True),
        ("tiers = [1, 2]", "tiers = [2]", True),
        ("tiers = [2]", "tiers = [1, 2]", False),
        ('jobs = ["dwh/load_*"]', 'jobs = ["dwh/*"]', False),
        ('jobs = ["dwh/*"]', 'errors = ["*refused*"]', False),
        ('jobs = ["dwh/*"], tiers = [1]', 'jobs = ["dwh/*"]', False),
    ],
)
def test_a_policy_that_would_never_decide_is_a_fault(tmp_path: Path, wider: str, match: str, is_covered: bool) -> None:
    file = tmp_path / "headway.toml"
    tables = (f'[[policies]]\nname = "{name}"\ndo = "rerun"\nmatch = {{ {keys} }}\n' for name, keys in
              (("first", wider), ("second", match)))  # fmt: skip
    text = f"{GOOD}\n{''.join(tables)}"
    if is_covered:
        problem = (
            'policies.2.match: "first" before it matches every failure that this one does, so that it never decides'
        )
        assert f"{problem}. Move it before that, or remove it." in str(faults(tmp_path, text))
    else:
        file.write_text(text)
        assert 2 == len(load_config(file).declared.policies)
