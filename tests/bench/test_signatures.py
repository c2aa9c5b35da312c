"""The gate of the signatures: what `python -m tests.bench.signatures` prints may not get worse than this."""

from __future__ import annotations

import pytest

from tests.bench.failure_logs import failure_logs
from tests.bench.signatures import SEED, of_half, purity, signature, split


@pytest.mark.deep
def test_signatures_group_the_failures_of_tools_that_no_rule_was_made_on() -> None:
    held_out = of_half(failure_logs(SEED), "held out")
    assert purity(held_out, signature) >= 0.95
    assert split(held_out, signature) <= 0.10
