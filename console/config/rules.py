"""`[rules.NAME]`: thresholds of a detection rule for the estate; `[[rules.NAME.where]]`: overrides for some jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StrictBool

from console.config.document import ConfigDocument, Table, suggestion
from console.config.references import matches_any
from console.config.validation import TableOf, table_of, validate
from console.config.value_types import Pause, Tier
from console.domain.finding import DetectionRule, RuleException, RuleSetting, RuleThresholds

Seconds = Annotated[Pause, AfterValidator(timedelta.total_seconds)]
Times = Annotated[float, Field(ge=1, le=1000)]
Share = Annotated[float, Field(gt=0, lt=1)]
Runs = Annotated[int, Field(ge=2, le=60)]
Count = Annotated[int, Field(ge=1)]


def _rule_table(**limits: Any) -> type[TableOf[RuleThresholds]]:
    """The table of a rule that has these limits, each optional."""
    shapes = {name: limits[name] | None if name in limits else None for name in ("threshold", "factor", "runs")}
    return table_of(RuleThresholds, on=StrictBool | None, notify=StrictBool | None, **shapes)


PLAIN = _rule_table()
TIME_ABOVE = _rule_table(threshold=Seconds, factor=Times, runs=Runs)
NUMBER_ABOVE = _rule_table(threshold=Count, factor=Times, runs=Runs)
TABLES: Mapping[DetectionRule, type[TableOf[RuleThresholds]]] = {
    DetectionRule.NOT_STARTED: PLAIN,
    DetectionRule.LATE_START: TIME_ABOVE,
    DetectionRule.TOO_LONG: TIME_ABOVE,
    DetectionRule.TOO_SHORT: _rule_table(threshold=Seconds, factor=Share, runs=Runs),
    DetectionRule.STUCK_WAITING: TIME_ABOVE,
    DetectionRule.TOO_LONG_SINCE_SUCCESS: TIME_ABOVE,
    DetectionRule.N_IN_A_ROW: _rule_table(threshold=Annotated[int, Field(ge=2)]),
    DetectionRule.OUTPUT_SHRANK: _rule_table(threshold=Count, factor=Share, runs=Runs),
    DetectionRule.RETRY_STORM: NUMBER_ABOVE,
    DetectionRule.OVERLAP: NUMBER_ABOVE,
    DetectionRule.OVER_BUDGET: PLAIN,
    DetectionRule.DRIFT: PLAIN,
}
WHERE = table_of(RuleException, said=None, tiers=tuple[Tier, ...])


def rules(document: Table, reading: ConfigDocument) -> tuple[RuleSetting, ...]:
    """The rules that the document configures, in the order of `DetectionRule`; faults go into `reading`."""
    tables = document.get("rules", {})
    for name in tables:
        if name not in list(DetectionRule):
            reading.fault(("rules", name), f'no rule "{name}". {suggestion(name, list(DetectionRule))}')
    settings = [_rule(rule, tables[rule.value], document, reading) for rule in DetectionRule if rule.value in tables]
    return tuple(setting for setting in settings if setting is not None)


def _rule(rule: DetectionRule, table: Any, document: Table, reading: ConfigDocument) -> RuleSetting | None:
    key, where = ("rules", rule.value), []
    if isinstance(table, dict) and "where" in table:
        where, table = table["where"], {name: value for name, value in table.items() if name != "where"}
        if not isinstance(where, list) or not all(isinstance(entry, dict) for entry in where):
            reading.fault((*key, "where"), f"is not a list of tables. Write [[rules.{rule}.where]] above its keys.")
            where = []
    settings = validate(TABLES[rule], table, key, reading, also=("where",))
    exceptions = tuple(_exceptions(rule, where, document, reading))
    return RuleSetting(rule, settings.domain_value(), exceptions) if settings is not None else None


def _exceptions(
    rule: DetectionRule, where: list[Table], document: Table, reading: ConfigDocument
) -> Iterator[RuleException]:
    shape = TABLES[rule]
    for number, table in enumerate(where, 1):
        key = ("rules", rule.value, "where", str(number))
        matching = {name: value for name, value in table.items() if name in WHERE.model_fields}
        values = {name: value for name, value in table.items() if name not in matching}
        selectors = validate(WHERE, matching, key, reading)
        settings = validate(shape, values, key, reading, also=tuple(WHERE.model_fields))
        if selectors is None or settings is None:
            continue
        exception = selectors.domain_value(said=settings.domain_value())
        _check_where(exception, key, list(document.get("systems", {})), reading)
        if not values:
            reading.fault(key, f"sets nothing of the rule. Add one of: {', '.join(shape.model_fields)}.")
        yield exception


def _check_where(selectors: RuleException, key: tuple[str, ...], systems: list[str], reading: ConfigDocument) -> None:
    """An exception limited to an unknown name would silently never apply."""
    if not (selectors.jobs or selectors.systems or selectors.tiers):
        problem = f"fits every job. Name jobs, systems or tiers, or write its keys in [rules.{key[1]}]"
        reading.fault(key, f"{problem}.")
    for name in selectors.systems:
        if name not in systems:
            reading.fault((*key, "systems"), f'no system "{name}". {suggestion(name, systems)}')
    for pattern in selectors.jobs:
        system, slash, _ = pattern.partition("/")
        if not slash and "*" not in pattern:
            problem = f'"{pattern}" fits no job name; write system/native-id, * for any text'
            reading.fault((*key, "jobs"), f"{problem}.")
        elif slash and not matches_any(system, systems):
            reading.fault((*key, "jobs"), f'no system fits "{system}" in "{pattern}". {suggestion(system, systems)}')
