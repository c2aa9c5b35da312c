"""The shared conformance tests explain their assertions like tests that lie here."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "connectors.conformance",
    "connectors.conformance_acts",
    "connectors.conformance_holds",
    "connectors.conformance_hooks",
    "connectors.conformance_replies",
    "connectors.conformance_arrival",
    "connectors.conformance_support",
)
