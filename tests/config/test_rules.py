"""What config says of the rules: read whole, every fault with its place, value and fix."""

from __future__ import annotations

from pathlib import Path

from console.config.loading import load_config
from console.config.rules import TABLES
from console.control.detection.rule_input import DEFAULTS
from console.control.detection.rules import RULES
from console.domain.finding import DetectionRule, RuleException, RuleSetting, RuleThresholds
from console.store.config_documents import _DECLARED, declared_json
from tests.config.test_config import GOOD, faults
from tests.rows import each_row

RULES_TEXT = """
[rules.too_long]
factor = 2.0
runs = 12
[[rules.too_long.where]]
jobs = ["dwh/*"]
tiers = [1]
threshold = "45m"
notify = false
[[rules.too_long.where]]
systems = ["dwh"]
on = false
[rules.retry_storm]
threshold = 4
[rules.drift]
notify = true
"""


def test_rules_are_read_with_their_exceptions_in_order(tmp_path: Path) -> None:
    file = tmp_path / "headway.toml"
    file.write_text(GOOD + RULES_TEXT)
    declared = load_config(file).declared
    where = (
        RuleException(RuleThresholds(notify=False, threshold=2700.0), jobs=("dwh/*",), tiers=(1,)),
        RuleException(RuleThresholds(on=False), systems=("dwh",)),
    )
    assert (
        RuleSetting(DetectionRule.TOO_LONG, RuleThresholds(factor=2.0, runs=12), where),
        RuleSetting(DetectionRule.RETRY_STORM, RuleThresholds(threshold=4)),
        RuleSetting(DetectionRule.DRIFT, RuleThresholds(notify=True)),
    ) == declared.rules
    assert declared.rules == _DECLARED.validate_json(declared_json(declared)).rules


@each_row(
    "text, expected",
    [
        ("[rules.too_lang]", 'rules.too_lang: no rule "too_lang". Did you mean "too_long"?'),
        ("[rules.too_long]\nfaktor = 2", 'rules.too_long.faktor: unknown key. Did you mean "factor"?'),
        ("[rules.too_long]\nfactor = 0.5", "rules.too_long.factor: 0.5 is too small: "),
        ("[rules.too_long]\nthreshold = 90", "rules.too_long.threshold: 90 is "),
        ("[rules.too_long]\nruns = 1", "rules.too_long.runs: 1 is too small: "),
        ("[rules.too_short]\nfactor = 1.5", "rules.too_short.factor: 1.5 is too large: "),
        ("[rules.drift]\nthreshold = 3", "rules.drift.threshold: unknown key."),
        ("[rules.n_in_a_row]\nthreshold = 1", "rules.n_in_a_row.threshold: 1 is too small: "),
        ("[rules.overlap]\non = 2", "rules.overlap.on: 2 is "),
        ('[rules.overlap]\non = "no"', "rules.overlap.on: 'no' is "),
        ("[rules.overlap]\nnotify = 1", "rules.overlap.notify: 1 is "),
        (
            "[rules.too_long]\nwhere = 3",
            "rules.too_long.where: is not a list of tables. Write [[rules",
        ),
        (
            "[[rules.too_long.where]]\nnotify = true",
            "rules.too_long.where.1: fits every job. Name jobs",
        ),
        (
            '[[rules.too_long.where]]\njobs = ["dwh/*"]',
            "where.1: sets nothing of the rule. Add one of: on",
        ),
        ('[[rules.drift.where]]\nsystems = ["dhw"]\non = false', 'systems: no system "dhw". Did you mean "dwh"?'),
        (
            '[[rules.drift.where]]\njobs = ["dhw/*"]\non = false',
            'no system fits "dhw" in "dhw/*". Did you mean "dwh"?',
        ),
        ('[[rules.drift.where]]\njobs = ["load"]\non = false', '"load" fits no job name; write system/native-id'),
        ("[[rules.drift.where]]\ntiers = [6]\non = false", "rules.drift.where.1.tiers.1: 6 is too large: at most 5."),
        ('rules = "off"', "rules: is not a table of names. Write [rules.NAME] with its keys below."),
    ],
)
def test_an_error_names_place_value_and_fix(tmp_path: Path, text: str, expected: str) -> None:
    (fault,) = faults(tmp_path, text + "\n" + GOOD if text.startswith("rules") else GOOD + text)
    assert expected in fault


def test_every_rule_has_a_place_in_the_list_a_default_and_a_shape_in_config() -> None:
    assert set(DetectionRule) == {entry.rule for entry in RULES} == set(DEFAULTS) == set(TABLES)
    assert len(RULES) == len(DetectionRule)


def test_a_fault_in_an_exception_names_its_line(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, GOOD + "[[rules.drift.where]]\ntiers = [6]\non = false\n")
    assert fault.startswith(f"headway.toml:{GOOD.count(chr(10)) + 2}: rules.drift.where.1.tiers.1: ")
