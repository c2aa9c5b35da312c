"""`[rules.NAME]`: thresholds of a detection rule for the estate; `[[rules.NAME.where]]`: overrides for some jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from console.config.document import ConfigDocument, Table, suggestion
from console.config.references import matches_any
from console.config.validation import validate
from console.config.value_types import Pause, StrictSettings
from console.domain.finding import DetectionRule, RuleException, RuleSetting, RuleThresholds

Times = Annotated[float, Field(ge=1, le=1000)]
Share = Annotated[float, Field(gt=0, lt=1)]
Runs = Annotated[int, Field(ge=2, le=60)]
Count = Annotated[int, Field(ge=1)]


class RuleSection(StrictSettings):
    """Settings of every rule."""

    on: bool | None = None
    """false: it finds nothing."""
    notify: bool | None = None
    """Whether a finding opens an incident; default: depends on the rule."""

    def thresholds(self) -> RuleThresholds:
        """Of a rule without thresholds."""
        return RuleThresholds(self.on, self.notify)


class LongSettings(RuleSection):
    """A time that may not be exceeded."""

    threshold: Pause | None = None
    """Fixed threshold instead of one from history."""
    factor: Times | None = None
    """Multiple of the usual value."""
    runs: Runs | None = None
    """The fewest past runs on which a threshold may rest."""

    def thresholds(self) -> RuleThresholds:
        fixed = self.threshold.total_seconds() if self.threshold is not None else None
        return RuleThresholds(self.on, self.notify, fixed, self.factor, self.runs)


class ShortSettings(LongSettings):
    """A time that is the least."""

    factor: Share | None = None


class ManySettings(RuleSection):
    """A number that may not be exceeded."""

    threshold: Count | None = None
    factor: Times | None = None
    runs: Runs | None = None

    def thresholds(self) -> RuleThresholds:
        return RuleThresholds(self.on, self.notify, self.threshold, self.factor, self.runs)


class FewSettings(ManySettings):
    """A number that is the least."""

    factor: Share | None = None


class ConsecutiveRunsSettings(RuleSection):
    """A number of consecutive runs, which cannot come from history."""

    threshold: Annotated[int, Field(ge=2)] | None = None

    def thresholds(self) -> RuleThresholds:
        return RuleThresholds(self.on, self.notify, self.threshold)


class WhereSettings(StrictSettings):
    """Overrides for the jobs that match all selectors."""

    jobs: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    tiers: tuple[Annotated[int, Field(ge=1, le=5)], ...] = ()


SETTINGS_BY_RULE: dict[DetectionRule, type[RuleSection]] = {
    DetectionRule.NOT_STARTED: RuleSection,
    DetectionRule.LATE_START: LongSettings,
    DetectionRule.TOO_LONG: LongSettings,
    DetectionRule.TOO_SHORT: ShortSettings,
    DetectionRule.STUCK_WAITING: LongSettings,
    DetectionRule.TOO_LONG_SINCE_SUCCESS: LongSettings,
    DetectionRule.N_IN_A_ROW: ConsecutiveRunsSettings,
    DetectionRule.OUTPUT_SHRANK: FewSettings,
    DetectionRule.RETRY_STORM: ManySettings,
    DetectionRule.OVERLAP: ManySettings,
    DetectionRule.OVER_BUDGET: RuleSection,
    DetectionRule.DRIFT: RuleSection,
}


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
    settings = validate(SETTINGS_BY_RULE[rule], table, key, reading, also=("where",))
    exceptions = tuple(_exceptions(rule, where, document, reading))
    return RuleSetting(rule, settings.thresholds(), exceptions) if settings is not None else None


def _exceptions(
    rule: DetectionRule, where: list[Table], document: Table, reading: ConfigDocument
) -> Iterator[RuleException]:
    shape = SETTINGS_BY_RULE[rule]
    for number, table in enumerate(where, 1):
        key = ("rules", rule.value, "where", str(number))
        matching = {name: value for name, value in table.items() if name in WhereSettings.model_fields}
        values = {name: value for name, value in table.items() if name not in matching}
        selectors = validate(WhereSettings, matching, key, reading)
        settings = validate(shape, values, key, reading, also=tuple(WhereSettings.model_fields))
        if selectors is None or settings is None:
            continue
        _check_where(selectors, key, list(document.get("systems", {})), reading)
        if not values:
            reading.fault(key, f"sets nothing of the rule. Add one of: {', '.join(shape.model_fields)}.")
        yield RuleException(settings.thresholds(), selectors.jobs, selectors.systems, selectors.tiers)


def _check_where(selectors: WhereSettings, key: tuple[str, ...], systems: list[str], reading: ConfigDocument) -> None:
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
