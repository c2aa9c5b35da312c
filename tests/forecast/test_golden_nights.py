"""Every figure that is notified of a few whole nights, held as text: whoever moves one sees all that it moves."""

from __future__ import annotations

from tests.forecast.golden_nights import FOLDER, GOLDEN, night_text
from tests.rows import each_row


@each_row("name", GOLDEN)
def test_a_night_is_forecast_as_recorded(name: str) -> None:
    """On purpose? `python -m tests.forecast.golden_nights`, and read what it changed."""
    assert (FOLDER / f"{name}.txt").read_text(encoding="utf-8") == night_text(name)


def test_every_file_is_of_a_night() -> None:
    assert {f"{name}.txt" for name in GOLDEN} == {path.name for path in FOLDER.iterdir()}
