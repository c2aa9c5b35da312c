"""The notes of a preview: instants are values from the connector to the reader's screen, and UTC in documents."""

from __future__ import annotations

from datetime import timedelta, timezone

from connectors.sdk.contract import Preview
from console.domain.action import displayed_preview, preview_notes
from console.domain.text import At
from console.engine.actions.previews import preview_from_json, preview_to_json
from tests.factories import at

NOTED = Preview("resume", "resume load", "all runs", notes=("nothing else", ("its next run is due ", at("04:00"))))


def test_the_instants_of_a_note_stay_values_for_each_reader() -> None:
    stored = preview_to_json(NOTED, str.upper)
    assert (("NOTHING ELSE",), ("ITS NEXT RUN IS DUE ", At(at("04:00")))) == preview_notes(stored)
    assert ["NOTHING ELSE", "ITS NEXT RUN IS DUE 2026-11-20 04:00Z"] == displayed_preview(stored)["notes"]


def test_a_stored_note_is_read_as_the_connector_wrote_it() -> None:
    notes = preview_from_json(preview_to_json(NOTED, str)).notes
    assert (("nothing else",), ("its next run is due ", at("04:00"))) == notes


def test_a_note_in_another_zone_is_the_same_instant() -> None:
    local = at("04:00").astimezone(timezone(timedelta(hours=1)))
    stored = preview_to_json(Preview("resume", "resume load", "all runs", notes=(("due ", local),)), str)
    assert (("due ", At(at("04:00"))),) == preview_notes(stored)
