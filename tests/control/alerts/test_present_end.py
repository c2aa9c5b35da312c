"""The end of an incident that waited leaves with the service days as they are when it is sent."""

from __future__ import annotations

from dataclasses import replace

from console.control.alerts.present_end import present_end
from console.domain.alert import BUSINESS, CAUSE_RESOLVED_LABEL, TECHNICAL, PresentDay
from console.domain.message import ClockTime, Columns, CommandRef, Facts, Label, Message, body_text, title_text
from console.domain.service import Timeliness
from tests.factories import at
from tests.rows import each_row

DUE = ClockTime("06:30", "UTC")
END = Message(
    (Label(CAUSE_RESOLVED_LABEL), "Supply 06:30 still at risk", " (INC-0001, 2 min)"),
    (
        Facts((("Do", CommandRef("headway recover INC-0002")), ("Open", CommandRef("headway incident INC-0001")))),
        Columns(("Service", "Due", "Status"), (("Supply", DUE, "at risk, act by 06:10"),)),
    ),
)
AT_RISK = PresentDay(
    "supply",
    "Supply",
    TECHNICAL,
    "UTC",
    at("06:30"),
    Timeliness.AT_RISK,
    "at_risk",
    act_by=at("06:10"),
    notified_act_by=at("06:10"),
)


def test_an_end_whose_days_have_not_changed_is_sent_as_it_was_decided() -> None:
    assert END == present_end(END, [AT_RISK], at("06:05"))


@each_row(
    "day, title, status",
    [
        (
            AT_RISK,
            "Cause resolved: Supply 06:30 still at risk, act-by 06:10 has passed (INC-0001, 2 min)",
            "at risk, act-by 06:10 has passed",
        ),
        (
            AT_RISK._replace(timeliness=Timeliness.BREACHED, act_by=None),
            "Cause resolved: Supply 06:30 still breached (INC-0001, 2 min)",
            "breached",
        ),
        (
            AT_RISK._replace(timeliness=Timeliness.MET_LATE, delivered=at("06:36")),
            "Resolved: Supply 06:30 delivered late at 06:36 (INC-0001, 2 min)",
            "delivered late at 06:36",
        ),
        (
            AT_RISK._replace(timeliness=Timeliness.MET, delivered=at("06:29")),
            "Resolved: Supply 06:30 met at 06:29 (INC-0001, 2 min)",
            "met at 06:29",
        ),
        (
            AT_RISK._replace(timeliness=Timeliness.NO_ESTIMATE, act_by=None, is_affected=False),
            "Cause resolved: Supply 06:30 not yet delivered (INC-0001, 2 min)",
            "not yet delivered",
        ),
    ],
)
def test_an_end_that_waited_has_the_present_state_of_its_days(day: PresentDay, title: str, status: str) -> None:
    end = present_end(END, [day], at("06:40"))
    body = body_text(end.blocks).splitlines()
    assert (title, ["Open  headway incident INC-0001"], ["Supply", "06:30", status]) == (
        title_text(end.title),
        body[:1],
        body[-1].split(maxsplit=2),
    )


def test_the_worst_of_several_days_is_in_the_title_with_the_number_of_those_like_it() -> None:
    breached = AT_RISK._replace(timeliness=Timeliness.BREACHED, act_by=None)
    end = present_end(END, [AT_RISK, breached._replace(service="pack", title="Pack"), breached], at("06:40"))
    assert "Cause resolved: Pack 06:30 and 1 more still breached (INC-0001, 2 min)" == title_text(end.title)
    shadow = present_end(replace(END, title=(Label("Shadow: "), *END.title)), [breached], at("06:40"))
    assert "Shadow: Cause resolved: Supply 06:30 still breached (INC-0001, 2 min)" == title_text(shadow.title)


def test_owners_read_of_a_late_service_with_a_row_for_each() -> None:
    days = [
        AT_RISK._replace(service=f"supply #{n}", title=f"supply #{n}", style=BUSINESS, timeliness=Timeliness.BREACHED)
        for n in (1, 2)
    ]
    end = present_end(END, days, at("06:40"))
    rows = body_text(end.blocks).splitlines()
    assert "Cause resolved: supply #1 06:30 and 1 more still late" in title_text(end.title)
    assert ("supply #2", True) == (rows[-1].split("  ")[0], " late" in rows[-1])
