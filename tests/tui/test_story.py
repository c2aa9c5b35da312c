"""The words of an incident's story where there is little to say."""

from __future__ import annotations

import dataclasses
from typing import Any

from console.model.views import IncidentView
from console.tui.before import last_time
from console.tui.story import lines
from tests.tui.fake_reads import NOW, incident
from tests.tui.test_durations import look


def told(view: IncidentView) -> str:
    return "\n".join("".join(text for text, _ in row.cells) for row in lines(view, look(), 120))


def of(**changes: Any) -> IncidentView:
    view = incident()
    return dataclasses.replace(view, row=dataclasses.replace(view.row, **changes))


def test_a_root_without_followers_is_not_told_as_nothing_red() -> None:
    assert "2 runs left red or stale" in told(of())
    assert "left red or stale" not in told(of(hurt=0))


def test_an_incident_that_is_over_has_no_clocks_that_nobody_knows() -> None:
    view = of(closed=NOW, act_by=None)
    over = tuple(dataclasses.replace(one, act_by=None, green_by=None) for one in view.services)
    said = told(dataclasses.replace(view, services=over))
    assert ("act by" in said, "green by" in said) == (False, False)


def test_what_worked_before_is_what_worked() -> None:
    view = incident()
    stayed = tuple(dataclasses.replace(one, how="", by="", took_s=None) for one in view.repairs)
    first = dataclasses.replace(view, repairs=(stayed[0], *view.repairs[1:]))
    worked = next(one for one in view.repairs[1:] if one.how)
    assert f"{worked.how}" in last_time(first, look())
    assert "it stayed red" not in last_time(first, look())
    assert "nothing worked before: it stayed red 3 times" == last_time(
        dataclasses.replace(view, repairs=stayed), look()
    )
