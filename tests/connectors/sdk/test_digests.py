"""Digests are stored: a change of digest is reported as a changed definition."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.fields import digest, short_digest

VALUE = [1, "ä\ud800", {"b": None, "a": (1, 2.5)}, True]


def test_digests_are_those_of_every_release_before() -> None:
    whole = "f8290bf2e53de824d1c60eb752e06d98f20b370c311a3d3683ddfc7f2ed3d1a9"
    assert whole == digest([*VALUE, datetime(2026, 11, 20, tzinfo=UTC)])
    assert "d189317419649841" == short_digest(VALUE)


def test_what_is_not_plain_has_no_short_digest() -> None:
    with pytest.raises(RecordUnreadable, match="not plain JSON"):
        short_digest([object()])
