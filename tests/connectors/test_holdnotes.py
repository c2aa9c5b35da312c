"""What an ask for a hold becomes: the plan's notes, the mark as it is shown, and why there is none."""

from __future__ import annotations

import pytest

from connectors.contract import Ask, NotSupported, RunRef, State, Verb
from connectors.holdnotes import asked_hold, asked_release, must_mark, shown, unwritable

KEY = "headway-0123456789"


def ask(verb: Verb, **parameters: str) -> Ask:
    return Ask(verb, RunRef("job", "", "", ""), State.PLANNED, parameters)


def test_a_hold_notes_who_and_until_when_and_shows_its_mark() -> None:
    plan = asked_hold(ask(Verb.HOLD, by="alice", until="2026-11-21T07:30:00+01:00", why="x"))
    assert {"by": "alice", "until": "2026-11-21T07:30:00+01:00"} == plan
    assert "headway-hold id=<key> by=alice until=2026-11-21T06:30:00Z" == shown(plan)
    assert unwritable(plan) is None
    assert KEY == must_mark(plan, KEY).id


@pytest.mark.parametrize("parameters", [{}, {"by": "alice"}, {"by": "a b", "until": "2026-11-21T06:30:00Z"}])
def test_what_makes_no_mark_is_told_by_its_words(parameters: dict[str, str]) -> None:
    plan = asked_hold(ask(Verb.HOLD, **parameters))
    words = f'a hold by "{plan["by"]}" until "{plan["until"]}" cannot be written down at its source'
    assert ("", words) == (shown(plan), unwritable(plan))
    with pytest.raises(NotSupported) as caught:
        must_mark(plan, KEY)
    assert words == str(caught.value)


@pytest.mark.parametrize(
    "parameters, expected",
    [({"hold": KEY}, (KEY, True)), ({"hold": KEY, "enable": "no"}, (KEY, False)), ({}, ("", True))],
)
def test_a_release_names_its_hold_and_whether_it_enables(
    parameters: dict[str, str], expected: tuple[str, bool]
) -> None:
    assert expected == asked_release(ask(Verb.RELEASE, **parameters))
