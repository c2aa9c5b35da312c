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


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads a calendar without a process of its own, which takes half a second to start."""
    monkeypatch.setattr(on_call, "parse_apart", lambda function, *arguments: function(*arguments))


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
    "parameters, summary, person",
    [
        ("PARTSTAT=DELEGATED;CN=Bob", "On call", "ann"),
        ("PARTSTAT=DELEGATED;CN=Bob", "Bob", "ann"),
        ("PARTSTAT=ACCEPTED;ROLE=NON-PARTICIPANT;CN=Bob", "On call", "ann"),
        ("PARTSTAT=ACCEPTED;ROLE=OPT-PARTICIPANT;CN=Bob", "On call", "bob"),
        ("PARTSTAT=ACCEPTED;CUTYPE=ROOM;CN=Bob", "On call", "ann"),
        ("PARTSTAT=ACCEPTED;CUTYPE=RESOURCE;CN=Bob", "On call", "ann"),
        ("PARTSTAT=ACCEPTED;CUTYPE=GROUP;CN=Bob", "On call", "bob"),
    ],
)
def test_only_people_who_take_part_and_did_not_delegate_are_on_call(parameters: str, summary: str, person: str) -> None:
    attendees = (f"ATTENDEE;{parameters}:mailto:bob@example.com", attendee("Ann", "NEEDS-ACTION"))
    [shift] = read(event("1", *ANN_LINES, *attendees, f"SUMMARY:{summary}")).shifts
    assert person == shift.person


def test_a_person_who_is_not_configured_is_on_call_and_never_the_room() -> None:
    room = "ATTENDEE;CUTYPE=ROOM;PARTSTAT=ACCEPTED;CN=War room:mailto:room@example.com"
    [shift] = read(event("1", *ANN_LINES, room, attendee("Zoe", "NEEDS-ACTION"), "SUMMARY:On call")).shifts
    assert "Zoe" == shift.person
    assert RotaCalendar((ANN,), ()) == read(event("1", *ANN_LINES, room, "SUMMARY:Ann"))


def test_a_cancelled_calendar_has_no_shift() -> None:
    text = calendar("METHOD:CANCEL", ANN_EVENT) + calendar("METHOD:PUBLISH", BOB_EVENT)
    assert RotaCalendar((BOB,), ()) == read_rota(text, ("ann", "bob"), BEGIN, BEGIN + 7 * DAY)


@pytest.mark.usefixtures("in_process")
@each_row(
    "lines, reason",
    [
        (("DTSTART:20261127T080000Z", "DTEND:20261126T080000Z"), "(line 15): DTEND: it ends before it begins"),
        (("DTSTART;TZID=Mars/Base:20261126T080000", "DURATION:PT1H"), '(line 14): DTSTART: unknown time zone "Mars/'),
        ((*ANN_LINES, "RRULE:FREQ=WEEKLY;INTERVAL=0"), "(line 16): RRULE: INTERVAL must be 1 or more"),
        ((*ANN_LINES, "EXDATE:never"), "(line 16): EXDATE: Expected "),
        ((*ANN_LINES, "EXDATE;TZID=Mars/Base:20261127T080000"), '(line 16): EXDATE: unknown time zone "Mars/Base"'),
        ((*ANN_LINES, "RDATE;TZID=Mars/Base:20261127T080000"), '(line 16): RDATE: unknown time zone "Mars/Base"'),
        ((*ANN_LINES, "EXRULE:FREQ=WEEKLY"), "(line 16): EXRULE: it is not supported; write EXDATE"),
        ((*ANN_LINES, "RRULE:FREQ=DAILY;UNTILL=20261127"), '(line 16): RRULE: "UNTILL" is not known; use FREQ, UNTIL'),
        ((*ANN_LINES, "RRULE:FREQ=DAILY; UNTIL=20261127"), '(line 16): RRULE: " UNTIL" is not known; use FREQ, UNTIL'),
        ((*ANN_LINES, "RRULE:FREQ=DAILY;UNTIL=20261127,20261128"), "(line 16): RRULE: UNTIL has several values"),
        ((*ANN_LINES, "RRULE:FREQ=DAILY;UNTIL=2026-11-27"), "(line 16): RRULE: Expected datetime, date, or time. Got"),
        ((*ANN_LINES, "RRULE:FREQ=DAILY;UNTIL=20261125"), "(line 16): RRULE: UNTIL=20261125 is before DTSTART; name a"),
        (("DTSTART:20261126T080000Z",), "DTEND: it has no duration; add a DTEND or DURATION"),
        (("DTSTART:20261126T080000Z", "DURATION:PT0S"), "(line 15): DURATION: it has no duration; add a DTEND or"),
        (("DTSTART;TZID=Europe/Berlin:00010101T000000", "DURATION:PT1H"), "(line 14): DTSTART: its time is out of ran"),
    ],
)
def test_an_event_that_makes_no_sense_is_left_out_and_named(lines: tuple[str, ...], reason: str) -> None:
    shifts, left_out = read(ANN_EVENT, event("x", *lines, "SUMMARY:Bob"))
    assert ((ANN,), True, 1) == (shifts, reason in left_out[0], len(left_out))


def test_an_event_without_a_name_is_left_out_by_its_line() -> None:
    shifts, left_out = read(ANN_EVENT, event("x", *ANN_LINES))
    assert ((ANN,), ("an event (line 11): SUMMARY: it has no name; add a SUMMARY or ATTENDEE",)) == (shifts, left_out)


BERLIN = ("DTSTART;TZID=Europe/Berlin:20261126T080000", "DURATION:PT8H")
NEW_YORK = ("DTSTART;TZID=America/New_York:20261126T220000", "DURATION:PT8H")
IN_UTC = ("DTSTART:20261126T080000Z", "DURATION:PT8H")
FLOATING = ("DTSTART:20261126T080000", "DURATION:PT8H")
DAYS = ("DTSTART;VALUE=DATE:20261126", "DURATION:P1D")


@pytest.mark.usefixtures("in_process")
@each_row(
    "series, zone, until, last",
    [
        # a day that is named counts whole, in the zone of the start
        (BERLIN, "", "20261128", "28T07"),
        (NEW_YORK, "", "20261128", "29T03"),
        (IN_UTC, "", "20261128", "28T08"),
        (FLOATING, "", "20261128", "28T08"),
        (FLOATING, "America/New_York", "20261128", "28T13"),
        (DAYS, "", "20261128", "28T00"),
        (DAYS, "Europe/Berlin", "20261128", "27T23"),
        # an instant
        (BERLIN, "", "20261128T070000Z", "28T07"),
        (BERLIN, "", "20261128T065959Z", "27T07"),
        (NEW_YORK, "", "20261129T030000Z", "29T03"),
        (IN_UTC, "", "20261128T075959Z", "27T08"),
        (FLOATING, "Europe/Berlin", "20261128T070000Z", "28T07"),
        (FLOATING, "Europe/Berlin", "20261128T065959Z", "27T07"),
        (DAYS, "Europe/Berlin", "20261127T230000Z", "27T23"),
        (DAYS, "America/New_York", "20261129T045959Z", "28T05"),
        # a day of a series of days, written as its first or last second in UTC
        (DAYS, "America/New_York", "20261128T000000Z", "28T05"),
        (DAYS, "Europe/Berlin", "20261128T235959Z", "27T23"),
        # a time without a zone is of that of the start
        (BERLIN, "", "20261128T080000", "28T07"),
        (BERLIN, "", "20261128T075959", "27T07"),
        (IN_UTC, "", "20261128T080000", "28T08"),
        (FLOATING, "America/New_York", "20261128T080000", "28T13"),
        (FLOATING, "America/New_York", "20261128T075959", "27T13"),
        (DAYS, "Europe/Berlin", "20261128T120000", "27T23"),
        # for ever
        (NEW_YORK, "", "99991231", "02T03"),
        (DAYS, "Asia/Tokyo", "99991231T225959Z", "02T15"),
    ],
)
def test_the_last_shift_that_until_names_counts_in_every_form(
    series: tuple[str, ...], zone: str, until: str, last: str
) -> None:
    """The library takes a date for midnight UTC: on the last day nobody was on call."""
    head = [f"X-WR-TIMEZONE:{zone}"] if zone else []
    shifts, left_out = read(*head, event("1", *series, f"RRULE:FREQ=DAILY;UNTIL={until}", "SUMMARY:Ann"))
    assert (last, ()) == (f"{shifts[-1].begins:%dT%H}", left_out)


@pytest.mark.usefixtures("in_process")
@each_row(
    "zone, until, last",
    [
        ("W. Europe Standard Time", "20261127T230000Z", "27T23"),
        ("Europe/Berlin", "20261128T225959Z", "27T23"),
        ("America/New_York", "20261129T045959Z", "28T05"),
        ("Office", "20261128T235959Z", "27T23"),
    ],
)
def test_the_days_of_a_calendar_whose_only_zone_is_that_of_its_times_are_days_there(
    zone: str, until: str, last: str
) -> None:
    """Exchange writes the last day as its first instant in UTC, and names the zone by a VTIMEZONE alone."""
    rule = component("STANDARD", "DTSTART:16010101T000000", "TZOFFSETFROM:+0100", "TZOFFSETTO:+0100")
    series = event("1", *DAYS, f"RRULE:FREQ=DAILY;UNTIL={until}", "SUMMARY:Ann")
    shifts, left_out = read(component("VTIMEZONE", f"TZID:{zone}", *rule.split("\n")), series)
    assert (last, ()) == (f"{shifts[-1].begins:%dT%H}", left_out)


def test_until_counts_in_each_of_several_rules_and_on_a_weekly_one() -> None:
    rules = ("RRULE:FREQ=WEEKLY;BYDAY=TH,SA;UNTIL=20261128", "RRULE:FREQ=DAILY;UNTIL=20261127")
    shifts, left_out = read(event("1", *BERLIN, *rules, "SUMMARY:Ann"))
    assert (["26", "27", "28"], ()) == ([f"{shift.begins:%d}" for shift in shifts], left_out)


def test_a_date_that_names_one_shift_of_a_series_of_times_means_that_shift() -> None:
    """Both were on call, and the added shift began at midnight."""
    rule = ("RRULE:FREQ=DAILY;COUNT=2", "RDATE;VALUE=DATE:20261129")
    series = event("1", *BERLIN, *rule, "SUMMARY:Ann")
    moved = event("1", "RECURRENCE-ID;VALUE=DATE:20261127", *IN_UTC[1:], "DTSTART:20261127T100000Z", "SUMMARY:Bob")
    shifts, left_out = read(series, moved)
    assert ([("ann", "26T07"), ("bob", "27T10"), ("ann", "29T07")], ()) == (
        [(shift.person, f"{shift.begins:%dT%H}") for shift in shifts], left_out,
    )  # fmt: skip


@pytest.mark.parametrize(
    "rule",
    [
        "DTSTART:00010101T000000Z\nRRULE:FREQ=HOURLY",
        "DTSTART:20200101T000000Z\nRRULE:FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30",
    ],
)
@pytest.mark.usefixtures("in_process")
def test_repetitions_that_take_too_long_to_find_are_left_out(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each took from 9 s to forever, and the rest of the calendar with it."""
    monkeypatch.setattr(rota_calendar, "SERIES_SECONDS", 0.2)
    shifts, left_out = read(ANN_EVENT, event("x", rule, "DURATION:PT1H", "SUMMARY:Bob"))
    assert ((ANN,), True) == (shifts, "its repetitions take too long to find" in left_out[0])


@pytest.mark.usefixtures("in_process")
def test_a_calendar_of_many_slow_repetitions_is_refused_within_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 300 took 30 s at each refresh, and the other rotas waited."""
    monkeypatch.setattr(rota_calendar, "CALENDAR_SECONDS", 0.2)
    lines = ("DTSTART:20220101T000000Z", "DURATION:PT1H", "RRULE:FREQ=HOURLY")
    slow = [event(str(number), *lines, f"SUMMARY:Ann {number}") for number in range(300)]
    with pytest.raises(RotaParseError, match=r"its repetitions take over 0.2 s to find; the slowest: event .Ann \d+. "):
        read(*slow)


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
