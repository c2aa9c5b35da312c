"""The first line of every kind of notification, for names of up to 60 characters."""

from __future__ import annotations

import re
from string import ascii_lowercase, digits

from hypothesis import given
from hypothesis import strategies as st

from console.control.alerts.headline import LEAST_NAME
from console.domain.alert import PUSH_LENGTH, AlertKind
from tests.golden.alerts import _ESTATE, NIGHTS, Recorder
from tests.messages import written
from tests.properties import examples

PLAYED = ("repeat and escalate", "not started", "too long, then late", "flapping", "in shadow", "repaired by a rerun")
"""Nights with every kind: opened, repeated, escalated, again, late, missed, shadow and resolved."""
CLOCK = r"\b\d\d:\d\d\b"


def names(first: str) -> st.SearchStrategy[str]:
    """Names of 2 to 60 characters; `first` keeps them apart."""
    return st.text(ascii_lowercase + digits + "_-", min_size=1, max_size=59).map(
        lambda rest: first + rest.rstrip("-") + "q"[: not rest.rstrip("-")]
    )


@examples(12)
@given(st.sampled_from(PLAYED), names("s"), names("x"), names("y"))
def test_a_locked_phone_shows_the_service_and_its_deadline(night: str, service: str, extract: str, load: str) -> None:
    ordered = sorted((*_ESTATE, *NIGHTS[night]), key=lambda line: not line.startswith("estate: "))
    lines = [line if line.startswith(("estate: ", "at ")) else f"at 03:12 {line}" for line in ordered]
    for known, name in (("supply-plan", service), ("extract", extract), ("load", load)):
        lines = [re.sub(rf"(?<![\w-]){known}(?![\w-])", name, line) for line in lines]
    recorder = Recorder(lines, night)
    recorder.play_all()
    assert recorder.notices
    title = service.replace("-", " ").capitalize()[:LEAST_NAME].rstrip()
    for notice in recorder.notices:
        assert re.search(r"(\[\{incident\}\]|\(\{incident\}, [^()]+\))$", written(notice).title), written(notice).title
        assert 1 == written(notice).title.count("{incident}")
        shown = written(notice).title[:PUSH_LENGTH]
        assert title in shown, written(notice).title
        if notice.kind is AlertKind.RECOVERED:
            assert "failed" not in written(notice).title
            assert re.search(" safe$| safe | on time| delivered late| still ", shown), written(notice).title
        else:
            assert re.search(CLOCK, shown), written(notice).title
