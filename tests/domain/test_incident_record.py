"""Values of an incident that its row stores as text."""

from __future__ import annotations

import json

import pytest

from console.domain.alert import JobErrors
from console.domain.incident_record import IncidentFingerprint, KnownFailure
from tests.factories import NIGHT
from tests.rows import each_row

FINGERPRINT = IncidentFingerprint(
    "hosts/extract", frozenset({("plan", NIGHT), ("report", NIGHT)}), closed=True, in_shadow=("lead",), quiet="known",
    errors=(JobErrors("hosts/extract", 2, after_success=True),),
    failures=(KnownFailure("hosts/extract", "failed", 2, "no such table", ""),),
    causes=("warehouse/load",), repaired=True, heals=True, is_stop=True,
)  # fmt: skip


@pytest.mark.parametrize("fingerprint", [FINGERPRINT, IncidentFingerprint()])
def test_a_stored_fingerprint_is_read_as_it_was(fingerprint: IncidentFingerprint) -> None:
    assert fingerprint == IncidentFingerprint.from_json(fingerprint.to_json())


STORED = json.loads(FINGERPRINT.to_json())


@each_row(
    "stored",
    [
        "", "hosts/extract", "null", "3", "[]", json.dumps(["hosts/extract", [["plan", "2026-11-26"]], False]), "{}",
        json.dumps(STORED | {"of_tomorrow": True}), json.dumps(STORED | {"services": [["plan", "tonight"]]}),
        json.dumps(STORED | {"services": ["plan"]}), json.dumps(STORED | {"errors": [["hosts/extract", 2, True]]}),
    ],
)  # fmt: skip
def test_a_fingerprint_of_another_form_is_empty(stored: str) -> None:
    assert IncidentFingerprint() == IncidentFingerprint.from_json(stored)
