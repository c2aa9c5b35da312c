"""Help, fields of JSON, alerts and schema are those of the golden files."""

from __future__ import annotations

import pytest

from tests.golden.files import differences, dump, stored


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_golden_files_are_up_to_date() -> None:
    text = "\n\n".join(differences(stored(), dump()))
    assert not text, f"{text}\n\nIntended? make golden, and read the diff"
