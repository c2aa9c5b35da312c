"""How many runs Dagster lets go at once: of the whole instance, and of runs with a tag. Pure; read without a right of
its own. Pools of ops and assets limit steps, not runs, and are not read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from connectors import fields

ALL_RUNS = "run queue"


@dataclass(frozen=True, slots=True)
class Limit:
    """Of all runs, or of those with a tag."""

    slots: int
    key: str = ""
    value: str | None = None
    """None: of any value."""
    by_value: bool = False
    """Each value has as many."""

    def pool(self, tags: Mapping[str, str]) -> str:
        """The name of what runs with these tags share; empty where it is not theirs."""
        if not self.key:
            return ALL_RUNS
        if self.key not in tags or (self.value is not None and tags[self.key] != self.value):
            return ""
        return f"runs with {self.key}" + (f"={tags[self.key]}" if self.by_value or self.value is not None else "")


def limits(told: Any) -> tuple[Limit, ...]:
    """Of `instance { runQueueConfig }`; none where it has none, or cannot be read."""
    config = told.get("runQueueConfig") if isinstance(told, dict) else None
    if not isinstance(config, dict):
        return ()
    most = config.get("maxConcurrentRuns")
    whole = [Limit(most)] if _is_limit(most) else []
    return (*whole, *_of_tags(config.get("tagConcurrencyLimitsYaml")))


def tightest(known: tuple[Limit, ...], tags: Mapping[str, str]) -> tuple[str, int | None]:
    """Pool and slots of a job whose runs have these tags; ("", None) without a limit."""
    mine = [(one.slots, pool) for one in known if (pool := one.pool(tags))]
    slots, pool = min(mine, default=(None, ""))
    return pool, slots


def _of_tags(text: Any) -> Iterator[Limit]:
    if not isinstance(text, str):
        return
    import yaml  # apprise brings it along

    try:
        rows = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return
    for row in fields.rows(rows):
        if isinstance(row, dict) and isinstance(row.get("key"), str) and _is_limit(row.get("limit")):
            value = row.get("value")
            by_value = isinstance(value, dict) and value.get("applyLimitPerUniqueValue") is True
            yield Limit(row["limit"], row["key"], str(value) if isinstance(value, str | int) else None, by_value)


def _is_limit(slots: Any) -> TypeGuard[int]:
    """False for -1, which Dagster takes for none."""
    return isinstance(slots, int) and not isinstance(slots, bool) and slots >= 1
