"""The explanation of a hold: the reason given by its holder, then that of its state."""

from __future__ import annotations

from console.domain.hold import HoldReason
from console.domain.ids import utc_minute
from console.domain.text import At, Text, render
from tests.factories import at
from tests.rows import each_row
from tests.tui.fake_reads import hold


@each_row(
    "kind, why, reason, detail, explanation",
    [
        ("reactive", "until a is good", HoldReason.AWAITS_UPSTREAM, ("a is good",), "until a is good"),
        ("person", "disk swap", HoldReason.BY_PERSON, ("mara",), "disk swap"),
        ("trigger", "extract is good", HoldReason.OTHER, (), "extract is good"),
        ("person", "", HoldReason.BY_PERSON, ("mara",), "by mara"),
        (
            "person", "until it is good", HoldReason.OTHER, ("until ", At(at("04:00"))),
            "until it is good; until 2026-11-20 04:00Z",
        ),
        ("person", "its run has started too early", HoldReason.OTHER, ("its run has started",),
         "its run has started too early; its run has started"),
        ("reactive", "until extract is good", HoldReason.RELEASE_FAILED, ("no right",),
         "it cannot be released: no right"),
    ],
)  # fmt: skip
def test_the_reason_of_a_state_follows_unless_its_holder_gave_it(
    kind: str, why: str, reason: HoldReason, detail: Text, explanation: str
) -> None:
    view = hold(kind=kind, why=why, reason=reason, detail=detail)
    assert explanation == render(view.explanation, utc_minute)
