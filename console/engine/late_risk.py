"""What is shipped for P(late): learned over the recorded nights of many estates by `tests/bench/train_risk.py`."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from console.control.forecast.calibration.learned import Learned, learned


@cache
def shipped() -> Learned:
    return learned(json.loads((files("console.engine") / "late_risk.json").read_text(encoding="utf-8")))
