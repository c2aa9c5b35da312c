"""Base of option models, and types of option texts: the error shows an example of a valid value, never the regular
expression."""

from __future__ import annotations

import re
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict


class StrictOptions(BaseModel):
    """Options of a kind, or a table of them. Unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _parse_duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"([1-9]\d{0,4})([smhd])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is not a duration; write "90m", "2h" or "1d"')
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


Duration = Annotated[timedelta, BeforeValidator(_parse_duration)]
"""A text such as "90m"."""


def checked_zone(name: str) -> str:
    """The name of a time zone. Raises ValueError, with the near miss."""
    try:
        return ZoneInfo(name).key
    except (ValueError, OSError, KeyError):
        # EST is not meant by CEST, and Etc/GMT+2 is four hours from what people mean by GMT+2
        cities = [zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/")]
        near = get_close_matches(name, cities, n=1)
        hint = f'did you mean "{near[0]}"?' if near else 'write a city of the zone, as in "Europe/Berlin"'
        raise ValueError(f'"{name}" is not a time zone; {hint}') from None


Zone = Annotated[str, AfterValidator(checked_zone)]
"""The name of a time zone."""


def formatted_like(pattern: str, example: str) -> AfterValidator:
    """Validates a text by the whole regular expression `pattern`; the error shows `example`."""
    matches = re.compile(pattern).fullmatch
    if not matches(example):
        raise ValueError(f"{example!r} is not an example of {pattern!r}")

    def checked(text: str) -> str:
        if not matches(text):
            raise ValueError(f"is not written like {example}")
        return text

    return AfterValidator(checked)
