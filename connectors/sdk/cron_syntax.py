"""Cron expressions for cronsim, the library that steps them, where its reading differs from that of the schedulers."""

from __future__ import annotations

import re

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {
    **{name: str(number) for number, name in enumerate(MONTHS, 1)},
    **{name: str(number or "") for number, name in enumerate(DAYS)},
}
"""Numbers of months and weekdays without leading zeros: Sunday is "", as 0 is."""
_SINGLE_STEP = re.compile(r"(?<![^\s,])([0-9a-z]{1,9})-([0-9a-z]{1,9})/0*[1-9]\d*(?![^\s,])", re.IGNORECASE | re.ASCII)


def single_steps(expression: str) -> str:
    """The expression with `5-5/2` as `5`: a range of one value has no further ones. cronsim reads it as `5/2`."""

    def single(match: re.Match[str]) -> str:
        first, last = (_NAMES.get(text.lower(), text.lstrip("0")) for text in match.groups())
        return match[1] if first == last else match[0]

    return _SINGLE_STEP.sub(single, expression)
