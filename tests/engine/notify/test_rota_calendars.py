"""An on-call calendar is outside text: a bad part is left out and named with its line, and reading ends in time."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta

import pytest

from connectors.sdk import parser_process
from connectors.sdk.parser_process import ParserEnded, parse_apart
from console.control.alerts.routing import route_of_person
from console.domain.alert import AlertingSettings, OnCallShift, RotaRule
from console.engine.notify import on_call, rota_calendar
from console.engine.notify.on_call import RotaCalendar, RotaParseError, read_rota
from tests.engine.notify import endless
from tests.rows import each_row

DAY = timedelta(days=1)
BEGIN = datetime(2026, 11, 26, tzinfo=UTC)
ANN = OnCallShift("ann", BEGIN + timedelta(hours=8), BEGIN + timedelta(hours=32))
BOB = OnCallShift("bob", ANN.ends, ANN.ends + DAY)


def component(name: str, *lines: str) -> str:
    return "\n".join([f"BEGIN:{name}", *lines, f"END:{name}"])


def calendar(*parts: str) -> str:
    return component("VCALENDAR", "VERSION:2.0", "PRODID:-//test//rota//EN", *parts) + "\n"


def event(uid: str, *lines: str) -> str:
    return component("VEVENT", f"UID:{uid}", "DTSTAMP:20261101T000000Z", *lines)


ANN_LINES = ("DTSTART:20261126T080000Z", "DTEND:20261127T080000Z")
ANN_EVENT = event("ann-1", *ANN_LINES, "SUMMARY:Ann")
BOB_EVENT = event("bob-1", "DTSTART:20261127T080000Z", "DTEND:20261128T080000Z", "SUMMARY:Bob")


def read(*parts: str) -> RotaCalendar:
    return read_rota(calendar(*parts), ("ann", "bob"), BEGIN, BEGIN + 7 * DAY)


def test_an_impossible_date_is_named_with_its_line_and_the_other_events_are_used() -> None:
    birthday = event("bday", "DTSTART;VALUE=DATE:20230230", "SUMMARY:Team birthday")
    assert RotaCalendar((ANN,), ('event "Team birthday" (line 14): DTSTART: Wrong date format 20230230',)) == read(
        ANN_EVENT, birthday
    )


def test_a_bad_task_is_no_fault_of_the_shifts() -> None:
    task = component("VTODO", "UID:todo", "DTSTAMP:20261101T000000Z", "DUE:soon", "SUMMARY:Order cake")
    assert RotaCalendar((ANN,), ()) == read(ANN_EVENT, task)


def test_a_bad_time_zone_is_named_and_leaves_out_only_events_in_it() -> None:
    """The library reads no definition of a zone that it knows by its name."""
    events = [
        event("b", f"DTSTART;TZID={zone}:20261127T090000", f"DTEND;TZID={zone}:20261128T090000", "SUMMARY:Bob")
        for zone in ("Europe/Berlin", "Office")
    ]
    zones = [component("VTIMEZONE", f"TZID:{zone}", "NONSENSE:1") for zone in ("Europe/Berlin", "Office")]
    shifts, left_out = read(*zones, ANN_EVENT, *events)
    assert ((ANN, BOB), 2) == (shifts, len(left_out))
    assert left_out[0].startswith("a VTIMEZONE (line 8): ")
    assert 'event "Bob" (line 29): DTSTART: unknown time zone "Office"' == left_out[1]


def test_a_bad_alarm_is_no_fault_of_its_event() -> None:
    alarm = component("VALARM", "TRIGGER:rubbish")
    assert RotaCalendar((ANN,), ()) == read(event("a", *ANN_LINES, "SUMMARY:Ann", alarm))


def test_two_calendars_in_one_text_are_read() -> None:
    text = calendar(ANN_EVENT) + calendar(BOB_EVENT)
    assert RotaCalendar((ANN, BOB), ()) == read_rota(text, ("ann", "bob"), BEGIN, BEGIN + 7 * DAY)


def attendee(name: str, answer: str) -> str:
    return f"ATTENDEE;PARTSTAT={answer};CN={name}:mailto:{name.lower()}@example.com"


@each_row(
    "answers, summary, person",
    [
        (("DECLINED", "ACCEPTED"), "On call", "ann"),
        (("NEEDS-ACTION", "ACCEPTED"), "On call", "ann"),
        (("ACCEPTED", "ACCEPTED"), "On call", "bob"),
        (("DECLINED", "TENTATIVE"), "Bob", "ann"),
    ],
)
def test_who_accepted_is_on_call_and_who_declined_is_not(answers: tuple[str, str], summary: str, person: str) -> None:
    attendees = (attendee("Bob", answers[0]), attendee("Ann", answers[1]))
    [shift] = read(event("1", *ANN_LINES, *attendees, f"SUMMARY:{summary}")).shifts
    assert person == shift.person


def test_a_shift_that_everybody_declined_is_a_gap() -> None:
    assert RotaCalendar((), ()) == read(event("1", *ANN_LINES, attendee("Bob", "DECLINED"), "SUMMARY:Bob"))


@each_row(
    "lines, reason",
    [
        (("DTSTART:20261127T080000Z", "DTEND:20261126T080000Z"), "(line 15): DTEND: it ends before it begins"),
        (("DTSTART;TZID=Mars/Base:20261126T080000", "DURATION:PT1H"), '(line 14): DTSTART: unknown time zone "Mars/'),
        ((*ANN_LINES, "RRULE:FREQ=WEEKLY;INTERVAL=0"), "(line 16): RRULE: INTERVAL must be 1 or more"),
        ((*ANN_LINES, "EXDATE:never"), "(line 16): EXDATE: Expected "),
    ],
)
def test_an_event_that_makes_no_sense_is_left_out_and_named(lines: tuple[str, ...], reason: str) -> None:
    shifts, left_out = read(ANN_EVENT, event("x", *lines, "SUMMARY:Bob"))
    assert ((ANN,), True, 1) == (shifts, reason in left_out[0], len(left_out))


@pytest.mark.parametrize(
    "rule",
    [
        "DTSTART:00010101T000000Z\nRRULE:FREQ=HOURLY",
        "DTSTART:20200101T000000Z\nRRULE:FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30",
    ],
)
def test_repetitions_that_take_too_long_to_find_are_left_out(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each took from 9 s to forever, and the rest of the calendar with it."""
    monkeypatch.setattr(on_call, "parse_apart", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(rota_calendar, "SERIES_SECONDS", 0.2)
    shifts, left_out = read(ANN_EVENT, event("x", rule, "DURATION:PT1H", "SUMMARY:Bob"))
    assert ((ANN,), True) == (shifts, "its repetitions take too long to find" in left_out[0])


def test_a_calendar_without_any_readable_event_is_refused() -> None:
    with pytest.raises(RotaParseError, match=r"no event of it can be read: event .Ann. .line 9.: RRULE: INTERVAL"):
        read(event("1", *ANN_LINES, "RRULE:FREQ=WEEKLY;INTERVAL=0", "SUMMARY:Ann"))


def test_days_and_times_without_a_zone_are_of_the_zone_of_the_calendar() -> None:
    midnight = BEGIN + timedelta(hours=5)
    days = event("1", "DTSTART;VALUE=DATE:20261126", "DTEND;VALUE=DATE:20261127", "SUMMARY:Ann")
    times = event("2", "DTSTART:20261127T000000", "DTEND:20261128T000000", "SUMMARY:Bob")
    expected = (OnCallShift("ann", midnight, midnight + DAY), OnCallShift("bob", midnight + DAY, midnight + 2 * DAY))
    assert RotaCalendar(expected, ()) == read("X-WR-TIMEZONE:America/New_York", days, times)
    unknown = read("X-WR-TIMEZONE:Mars/Base", ANN_EVENT, days)
    assert ((ANN,), True) == (unknown.shifts, "X-WR-TIMEZONE is unknown" in unknown.left_out[0])


def test_a_name_is_the_same_with_its_accent_as_one_character_or_two() -> None:
    composed, decomposed = (unicodedata.normalize(form, "Jürgen") for form in ("NFC", "NFD"))
    text = calendar(event("1", *ANN_LINES, f"SUMMARY:{decomposed}"))
    [shift] = read_rota(text, (composed,), BEGIN, BEGIN + 7 * DAY).shifts
    alerting = AlertingSettings(rotas=(RotaRule("primary", ((composed, "phone"),)),))
    assert (composed, "phone") == (shift.person, route_of_person(alerting, "primary", decomposed))


def test_a_process_that_takes_too_long_or_too_much_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser_process, "WALL_SECONDS", 0.1)
    with pytest.raises(ParserEnded, match="took longer than"):
        parse_apart(endless.wait_forever)
    monkeypatch.undo()
    with pytest.raises(ParserEnded, match="needs more than 1024 MiB"):
        parse_apart(endless.take_memory)
