"""`[[policies]]`: the failures that Headway repairs, or would in shadow, in the order in which they are tried."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from connectors.sdk.option_errors import formatted_like
from console.config.document import ConfigDocument, Table
from console.config.validation import TableOf, extended_table, table_of, validate_list
from console.config.value_types import Pause, Tier
from console.domain.policy import Policy, PolicyCondition, PolicyLimits, PolicyMatch
from console.timing.maintenance import matches_any

Signature = Annotated[str, formatted_like(r"[0-9a-f]{8}", "3f9a02c1")]
COMMANDS = ("close", "list", "pause", "report", "resume", "suggest", "test")
"""Words after `headway policy` that cannot be names."""
Share = Annotated[float, Field(gt=0, le=1, strict=True)]
Count = Annotated[int, Field(ge=1, le=1000, strict=True)]


class NamedPolicy(TableOf[Policy]):
    name: Annotated[str, formatted_like(r"[A-Za-z0-9_-]{1,64}", "retry-refused")]


def _pattern_of_failure(pattern: str) -> str:
    if not any(part in pattern for part in ("*", ", task ", " of ")):
        raise ValueError(f'"{pattern}" fits no failure; write "*{pattern}*": a failure is "failed: …, task … of …"')
    return pattern


_Pattern = Annotated[str, Field(min_length=1)]
_Error = Annotated[_Pattern, AfterValidator(_pattern_of_failure)]
_Attempts = Annotated[int, Field(ge=2, le=1000, strict=True)]
_some = Field(min_length=1)
POLICY = extended_table(
    NamedPolicy,
    Policy,
    do=Literal["rerun"],
    match=table_of(
        PolicyMatch,
        signatures=Annotated[tuple[Signature, ...], _some],
        errors=Annotated[tuple[_Error, ...], _some],
        jobs=Annotated[tuple[_Pattern, ...], _some],
        services=Annotated[tuple[_Pattern, ...], _some],
        tiers=Annotated[tuple[Tier, ...], _some],
    ),
    when=table_of(
        PolicyCondition,
        attempts_below=_Attempts | None,
        p_late=Share | None,
        act_by_within=Pause | None,
    ),
    limits=table_of(PolicyLimits, per_run=Count, per_job_and_day=Count, per_hour=Count),
    mode=Literal["shadow", "active"],
    approval=Literal["none", "one", "two"],
    notify=Literal["failure", "always"],
    breaker=Count,
)


def policies(document: Table, reading: ConfigDocument) -> tuple[Policy, ...]:
    """The policies of the document, less those with faults. A name that is there twice is a fault, and a policy that
    would never decide: after one whose `match` covers its own."""
    tables = validate_list(POLICY, document, "policies", reading)
    counts = Counter(table.name for table in tables.values())
    for number, table in tables.items():
        if counts[table.name] > 1:
            problem = f'"{table.name}" is the name of another policy too. Rename one of them'
            reading.fault(("policies", str(number), "name"), f"{problem}.")
        if table.name in COMMANDS:
            reading.fault(
                ("policies", str(number), "name"), f'"{table.name}" is a command of `headway policy`. Rename it.'
            )
    values = {number: table.domain_value() for number, table in tables.items()}
    for number, policy in values.items():
        earlier = (known for before, known in values.items() if before < number)
        if wider := next((known for known in earlier if _covers(known.match, policy.match)), None):
            problem = f'"{wider.name}" before it matches every failure that this one does, so that it never decides'
            reading.fault(("policies", str(number), "match"), f"{problem}. Move it before that, or remove it.")
    return tuple(values.values())


def _covers(wider: PolicyMatch, match: PolicyMatch) -> bool:
    """True if each key of the wider one is in the other too, and has all of its values or patterns for them."""
    pairs = ((getattr(wider, key.name), getattr(match, key.name)) for key in fields(PolicyMatch))
    return all(
        not patterns or (values and all(matches_any(map(str, patterns), str(value)) for value in values))
        for patterns, values in pairs
    )
