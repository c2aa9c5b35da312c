"""`[rules.NAME]`: how a rule judges, estate-wide; `[[rules.NAME.where]]`: and some jobs otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from console.config.checking import check
from console.config.models import Pause, Strict
from console.config.reading import Reading, Table
from console.config.references import fits_any, near
from console.model.findings import Rule
from console.model.rules import RuleException, RuleSaid, RuleSetting

Times = Annotated[float, Field(ge=1, le=1000)]
Share = Annotated[float, Field(gt=0, lt=1)]
Runs = Annotated[int, Field(ge=2, le=60)]
Count = Annotated[int, Field(ge=1)]


class RuleSettings(Strict):
    """What every rule has."""

    on: bool | None = None
    """false: it finds nothing."""
    tell: bool | None = None
    """Whether it opens an incident where none explains it; without it: what the rule does by itself."""

    def said(self) -> RuleSaid:
        """Of a rule without thresholds."""
        return RuleSaid(self.on, self.tell)


class LongSettings(RuleSettings):
    """A time that may not be exceeded."""

    threshold: Pause | None = None
    """Fixed, whatever history says."""
    factor: Times | None = None
    """So many times what is usual."""
    runs: Runs | None = None
    """The fewest past runs on which a threshold may rest."""

    def said(self) -> RuleSaid:
        fixed = self.threshold.total_seconds() if self.threshold is not None else None
        return RuleSaid(self.on, self.tell, fixed, self.factor, self.runs)


class ShortSettings(LongSettings):
    """A time that is the least."""

    factor: Share | None = None


class ManySettings(RuleSettings):
    """A number that may not be exceeded."""

    threshold: Count | None = None
    factor: Times | None = None
    runs: Runs | None = None

    def said(self) -> RuleSaid:
        return RuleSaid(self.on, self.tell, self.threshold, self.factor, self.runs)


class FewSettings(ManySettings):
    """A number that is the least."""

    factor: Share | None = None


class RowSettings(RuleSettings):
    """A number that no history tells."""

    threshold: Annotated[int, Field(ge=2)] | None = None

    def said(self) -> RuleSaid:
        return RuleSaid(self.on, self.tell, self.threshold)


class WhereSettings(Strict):
    """The jobs that are judged otherwise: they fit all that is said here."""

    jobs: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    tiers: tuple[Annotated[int, Field(ge=1, le=5)], ...] = ()


SHAPES: dict[Rule, type[RuleSettings]] = {
    Rule.NOT_STARTED: RuleSettings,
    Rule.LATE_START: LongSettings,
    Rule.TOO_LONG: LongSettings,
    Rule.TOO_SHORT: ShortSettings,
    Rule.STUCK_WAITING: LongSettings,
    Rule.TOO_LONG_SINCE_SUCCESS: LongSettings,
    Rule.N_IN_A_ROW: RowSettings,
    Rule.OUTPUT_SHRANK: FewSettings,
    Rule.RETRY_STORM: ManySettings,
    Rule.OVERLAP: ManySettings,
    Rule.OVER_BUDGET: RuleSettings,
    Rule.DRIFT: RuleSettings,
}


def rules(document: Table, reading: Reading) -> tuple[RuleSetting, ...]:
    """The rules that the document says something of, in the order of `Rule`; faults go into the reading."""
    tables = document.get("rules", {})
    for name in tables:
        if name not in list(Rule):
            reading.fault(("rules", name), f'no rule "{name}". {near(name, list(Rule))}')
    found = [_rule(rule, tables[rule.value], document, reading) for rule in Rule if rule.value in tables]
    return tuple(one for one in found if one is not None)


def _rule(rule: Rule, table: Any, document: Table, reading: Reading) -> RuleSetting | None:
    key, where = ("rules", rule.value), []
    if isinstance(table, dict) and "where" in table:
        where, table = table["where"], {name: value for name, value in table.items() if name != "where"}
        if not isinstance(where, list) or not all(isinstance(one, dict) for one in where):
            reading.fault((*key, "where"), f"is no list of tables. Write [[rules.{rule}.where]] above its keys.")
            where = []
    said = check(SHAPES[rule], table, key, reading, also=("where",))
    exceptions = tuple(_exceptions(rule, where, document, reading))
    return RuleSetting(rule, said.said(), exceptions) if said is not None else None


def _exceptions(rule: Rule, where: list[Table], document: Table, reading: Reading) -> Iterator[RuleException]:
    shape = SHAPES[rule]
    for number, table in enumerate(where, 1):
        key = ("rules", rule.value, "where", str(number))
        matching = {name: value for name, value in table.items() if name in WhereSettings.model_fields}
        saying = {name: value for name, value in table.items() if name not in matching}
        fits = check(WhereSettings, matching, key, reading)
        said = check(shape, saying, key, reading, also=tuple(WhereSettings.model_fields))
        if fits is None or said is None:
            continue
        _check_where(fits, key, list(document.get("systems", {})), reading)
        if not saying:
            reading.fault(key, f"says nothing of the rule. Add one of: {', '.join(shape.model_fields)}.")
        yield RuleException(said.said(), fits.jobs, fits.systems, fits.tiers)


def _check_where(fits: WhereSettings, key: tuple[str, ...], systems: list[str], reading: Reading) -> None:
    """What it is limited to is there: an exception for a name that nothing has would hold for nothing, silently."""
    if not (fits.jobs or fits.systems or fits.tiers):
        words = f"fits every job. Name jobs, systems or tiers, or write its keys in [rules.{key[1]}]"
        reading.fault(key, f"{words}.")
    for name in fits.systems:
        if name not in systems:
            reading.fault((*key, "systems"), f'no system "{name}". {near(name, systems)}')
    for pattern in fits.jobs:
        system, slash, _ = pattern.partition("/")
        if not slash and "*" not in pattern:
            words = f'"{pattern}" fits no job name; write system/native-id, * for any text'
            reading.fault((*key, "jobs"), f"{words}.")
        elif slash and not fits_any(system, systems):
            reading.fault((*key, "jobs"), f'no system fits "{system}" in "{pattern}". {near(system, systems)}')
