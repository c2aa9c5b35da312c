"""How many runs Dagster lets go at once: of the whole instance, and of runs with a tag. Pure; read without a right of
its own. Pools of ops and assets limit steps, not runs, and are not read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from connectors import fields

ALL_RUNS = "run queue"
COUNT = re.compile("[1-9][0-9]{0,8}")
"""A limit as YAML has it; -1, which Dagster takes for none, is none of these."""
TRUE, NULL = ("true", "True", "TRUE"), ("", "~", "null", "Null", "NULL")


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
        rows = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - texts alone: no tag is obeyed, and no merge grows
    except (yaml.YAMLError, RecursionError):
        return
    for row in fields.rows(rows):
        limit, key = (row.get("limit"), row.get("key")) if isinstance(row, dict) else (None, None)
        if isinstance(key, str) and key and isinstance(limit, str) and COUNT.fullmatch(limit):
            value = row.get("value")
            by_value = isinstance(value, dict) and value.get("applyLimitPerUniqueValue") in TRUE
            told = value if isinstance(value, str) and value not in NULL else None
            yield Limit(int(limit), key, told, by_value)


def _is_limit(slots: Any) -> TypeGuard[int]:
    """False for -1, which Dagster takes for none."""
    return isinstance(slots, int) and not isinstance(slots, bool) and slots >= 1
