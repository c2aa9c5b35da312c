"""Which runs gave less than they should, beside those that their own source calls partial."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from console.model.findings import Rule
from console.model.values import Estate


def shrunk(estate: Estate) -> Mapping[int, datetime]:
    """Run id -> until when its output is known to be partial, by the findings that are open: what succeeded after that
    is whole."""
    found = (one.finding for one in estate.findings)
    return {each.run_id: each.since for each in found if each.rule is Rule.OUTPUT_SHRANK and each.run_id is not None}
