"""How each rule is to judge each job: the defaults, what config says estate-wide, and its exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from console.control.maintenance import fits_any
from console.control.picture import Picture
from console.model.findings import Rule
from console.model.rules import RuleException, RuleSaid
from console.model.values import JobFacts

ENOUGH_RUNS = 8
"""A threshold from history rests on as many runs: fewer say nothing of a tail."""
_MINUTE, _HOUR = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class Default:
    """How a rule judges where config says nothing."""

    tells: bool = False
    """Whether it opens an incident of its own for a job that feeds a service."""
    factor: float = 1.0
    """The usual times this is the threshold from history, …"""
    floor: float = 0.0
    """… but at least so far from the usual: a job of 3 seconds may take 5."""
    threshold: float | None = None
    """Where there is neither history nor a word in config; None: no verdict then."""


DEFAULTS: Mapping[Rule, Default] = {
    Rule.NOT_STARTED: Default(),
    Rule.LATE_START: Default(floor=2 * _MINUTE),
    Rule.TOO_LONG: Default(tells=True, factor=1.5, floor=2 * _MINUTE),
    Rule.TOO_SHORT: Default(factor=0.5, floor=_MINUTE),
    Rule.STUCK_WAITING: Default(tells=True, factor=2.0, floor=10 * _MINUTE, threshold=30 * _MINUTE),
    Rule.TOO_LONG_SINCE_SUCCESS: Default(tells=True, factor=1.5, floor=_HOUR),
    Rule.N_IN_A_ROW: Default(tells=True, threshold=3),
    Rule.OUTPUT_SHRANK: Default(tells=True, factor=0.5, floor=10),
    Rule.RETRY_STORM: Default(tells=True, factor=2.0, floor=3, threshold=5),
    Rule.OVERLAP: Default(floor=0, threshold=1),
    Rule.OVER_BUDGET: Default(tells=True),
    Rule.DRIFT: Default(),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """How one rule judges one job."""

    on: bool
    tells: bool | None
    """None: as the rule does by itself."""
    factor: float
    floor: float
    runs: int
    declared: float | None
    """A fixed threshold from config."""
    place: str
    """Where config says that."""
    default: float | None


class Wishes:
    """All of them, for one evaluation."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._settings = {one.rule: one for one in picture.estate.declared.rules}
        self._tiers: dict[int, int] | None = None
        self._plain = {rule: _wish(DEFAULTS[rule], RuleSaid(), "") for rule in Rule if rule not in self._settings}

    def of(self, rule: Rule, job: JobFacts) -> Wish:
        plain = self._plain.get(rule)
        return plain if plain is not None else _wish(DEFAULTS[rule], *self._said(rule, job))

    def tells(self, rule: Rule, job: JobFacts) -> bool:
        """Whether a finding of that rule opens an incident for the job."""
        said = self.of(rule, job).tells
        return DEFAULTS[rule].tells and self.tier_of(job.id) is not None if said is None else said

    def tier_of(self, job_id: int) -> int | None:
        """Tier of the most important service that the job feeds; None where it feeds none."""
        if self._tiers is None:
            self._tiers = {}
            for service in sorted(self._picture.estate.services, key=lambda one: -one.tier):
                ends = [each for each in service.terminals if each in self._picture.estate.jobs]
                self._tiers.update(dict.fromkeys(self._picture.graph.members(ends), service.tier))
        return self._tiers.get(self._picture.graph.unit(job_id))

    def _said(self, rule: Rule, job: JobFacts) -> tuple[RuleSaid, str]:
        """What config says of the rule for the job, key by key the last that fits; and where its threshold stands."""
        setting = self._settings.get(rule)
        if setting is None:
            return RuleSaid(), ""
        found, place = setting.said, f"[rules.{rule}]"
        for number, one in enumerate(setting.where, 1):
            if self._fits(one, job):
                found = _over(found, one.said)
                place = f"[[rules.{rule}.where]] {number}" if one.said.threshold is not None else place
        return found, place

    def _fits(self, one: RuleException, job: JobFacts) -> bool:
        if one.systems and job.system not in one.systems:
            return False
        if one.jobs and not fits_any(one.jobs, job.name):
            return False
        return not one.tiers or self.tier_of(job.id) in one.tiers


def _wish(default: Default, said: RuleSaid, place: str) -> Wish:
    return Wish(
        on=said.on is not False,
        tells=said.tell,
        factor=default.factor if said.factor is None else said.factor,
        floor=default.floor,
        runs=ENOUGH_RUNS if said.runs is None else said.runs,
        declared=said.threshold,
        place=place,
        default=default.threshold,
    )


def _over(before: RuleSaid, after: RuleSaid) -> RuleSaid:
    """`after`, and `before` where it says nothing."""
    return RuleSaid(
        on=before.on if after.on is None else after.on,
        tell=before.tell if after.tell is None else after.tell,
        threshold=before.threshold if after.threshold is None else after.threshold,
        factor=before.factor if after.factor is None else after.factor,
        runs=before.runs if after.runs is None else after.runs,
    )
