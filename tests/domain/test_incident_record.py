"""Values of an incident that its row stores as text."""

from __future__ import annotations

import json

import pytest

from console.domain.alert import IncidentPhase, JobErrors, NotifiedDay, NotifiedIncident
from console.domain.incident_record import IncidentFingerprint, KnownFailure, Withheld
from tests.factories import NIGHT
from tests.rows import each_row

FINGERPRINT = IncidentFingerprint(
    NotifiedIncident(
        "hosts/extract", IncidentPhase.HEALS, (JobErrors("hosts/extract", 2, after_success=True),), ("warehouse/load",),
        (NotifiedDay("plan", NIGHT, ""), NotifiedDay("report", NIGHT, "")),
    ),
    quiet=Withheld.CHANGES, failures=(KnownFailure("hosts/extract", "failed", 2, "no such table", ""),), is_stop=True,
    left_by="nightly", came_back=True,
)  # fmt: skip


@pytest.mark.parametrize("fingerprint", [FINGERPRINT, IncidentFingerprint()])
def test_a_stored_fingerprint_is_read_as_it_was(fingerprint: IncidentFingerprint) -> None:
    assert fingerprint == IncidentFingerprint.from_json(fingerprint.to_json())


STORED = json.loads(FINGERPRINT.to_json())


@each_row(
    "stored",
    [
        "", "hosts/extract", "null", "3", "[]", json.dumps(["hosts/extract", [["plan", "2026-11-26"]], False]), "{}",
        json.dumps(STORED | {"notified": ["hosts/extract"]}), json.dumps(STORED | {"failures": [["hosts/extract", 2]]}),
    ],
)  # fmt: skip
def test_a_fingerprint_of_another_form_is_empty(stored: str) -> None:
    assert IncidentFingerprint() == IncidentFingerprint.from_json(stored)
