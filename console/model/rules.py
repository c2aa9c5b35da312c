"""What config says of the rules: estate-wide, and for some jobs otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from console.model.findings import Rule


@dataclass(frozen=True, slots=True)
class RuleSaid:
    """What one place of config says of a rule. None: not said there."""

    on: bool | None = None
    tell: bool | None = None
    threshold: float | None = None
    """Seconds, a count, or a share, as the rule counts; fixed, whatever history says."""
    factor: float | None = None
    runs: int | None = None
    """The fewest past runs on which a threshold may rest."""


@dataclass(frozen=True, slots=True)
class RuleException:
    """One `[[rules.NAME.where]]`. What is empty limits nothing; a job must fit all that is said."""

    said: RuleSaid
    jobs: tuple[str, ...] = ()
    """Patterns of "system/native-id"; * for any text."""
    systems: tuple[str, ...] = ()
    tiers: tuple[int, ...] = ()
    """Of the most important service that the job feeds."""


@dataclass(frozen=True, slots=True)
class RuleSetting:
    """One `[rules.NAME]` with its exceptions; of those that fit the later wins."""

    rule: Rule
    said: RuleSaid = RuleSaid()
    where: tuple[RuleException, ...] = ()
