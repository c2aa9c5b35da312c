"""What leaves alone and what leaves together, and when what was refused is tried again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from console.control.alerts.digest import LINES, DigestPlan, digest_message, plan_digest
from console.domain.alert import (
    CAUSE_RESOLVED_LABEL,
    CLOSED_LABEL,
    KIND_LABELS,
    REOPENED_LABEL,
    SHADOW_LABEL,
    AlertKind,
    PendingAlert,
)
from console.domain.decision import Notice
from console.domain.message import title_text
from console.domain.message_group import digest_title
from console.engine.notify.backoff import BASE, CAP, MIN_DELAY, RetryDecision, after_failure
from console.engine.notify.mail import as_html
from console.store.outbox import LEAST_REPEAT
from tests.factories import at
from tests.golden.alerts import recorded
from tests.messages import WrittenNotice, message_of, written
from tests.rows import each_row

NOON = at("12:00")
DAY = timedelta(hours=24)


def waiting(
    number: int,
    made: datetime = NOON,
    urgent: bool = False,
    title: str = "",
    body: str = "",
    plain_title: str = "",
    zone_label: str = "",
    **more: Any,
) -> PendingAlert:
    texts = (message_of(title, body, zone_label).to_json(), message_of(plain_title).to_json() if plain_title else "")
    return PendingAlert(number, made, urgent, **{"message": texts[0], "plain": texts[1], **more})


def digest(together: Sequence[PendingAlert], limit: int = 10, zone: str = "UTC", link: str = "") -> WrittenNotice:
    whole, short = (digest_message(together, limit, zone, link, plain=plain) for plain in (False, True))
    return written(Notice(AlertKind.OPENED, "oncall", whole, short))


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def test_up_to_the_limit_each_leaves_alone_and_at_once() -> None:
    assert DigestPlan((1, 2, 3)) == plan_digest([waiting(n) for n in (1, 2, 3)], 0, None, 3, NOON)


def test_over_the_limit_the_oldest_leave_alone_and_the_rest_gathers_first() -> None:
    flood = [waiting(n) for n in range(1, 6)]
    assert DigestPlan((1, 2)) == plan_digest(flood, 0, None, 2, NOON + seconds(4))
    assert DigestPlan((1, 2), tuple(flood[2:])) == plan_digest(flood, 0, None, 2, NOON + seconds(5))


def test_what_left_in_the_last_minute_counts() -> None:
    assert DigestPlan() == plan_digest([waiting(1)], 2, None, 2, NOON)
    assert DigestPlan((1,)) == plan_digest([waiting(1)], 1, None, 2, NOON)


def test_there_is_one_digest_a_minute() -> None:
    flood = [waiting(1), waiting(2)]
    assert DigestPlan() == plan_digest(flood, 2, NOON - seconds(10), 2, NOON + seconds(49))
    assert DigestPlan((), tuple(flood)) == plan_digest(flood, 2, NOON - seconds(10), 2, NOON + seconds(50))


def test_a_single_alert_over_the_limit_is_sent_as_it_is() -> None:
    assert DigestPlan() == plan_digest([waiting(1)], 1, None, 1, NOON + seconds(4))
    assert DigestPlan((1,)) == plan_digest([waiting(1)], 1, None, 1, NOON + seconds(5))


def test_the_next_single_alert_over_the_limit_waits_for_others_or_for_a_minute() -> None:
    assert DigestPlan() == plan_digest([waiting(1)], 2, None, 1, NOON + seconds(59))
    assert DigestPlan((1,)) == plan_digest([waiting(1)], 2, None, 1, NOON + seconds(60))
    pair = [waiting(1), waiting(2)]
    assert DigestPlan((), tuple(pair)) == plan_digest(pair, 2, None, 1, NOON + seconds(5))


def test_the_first_notification_about_a_tier_1_service_ignores_every_limit() -> None:
    flood = [waiting(1), waiting(2, urgent=True)]
    assert DigestPlan((2,)) == plan_digest(flood, 99, NOON, 2, NOON)


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 20), st.integers(1, 20), st.integers(0, 120))
def test_nothing_is_lost_or_notified_twice(urgent: list[bool], let: int, limit: int, later: int) -> None:
    flood = [waiting(number, urgent=value) for number, value in enumerate(urgent)]
    plan = plan_digest(flood, let, None, limit, NOON + seconds(later))
    remaining = [*plan.alone, *(alert.id for alert in plan.together)]
    assert len(set(remaining)) == len(remaining)
    assert {alert.id for alert in flood if alert.urgent} <= set(plan.alone)
    assert max(0, limit - let) + (later >= 5) >= len([number for number in plan.alone if not urgent[number]])
    assert (
        later < 5
        or set(remaining) == {alert.id for alert in flood}
        or (later < 60 and len(flood) - len(remaining) == 1)
    )


def test_a_digest_of_ends_names_no_limit() -> None:
    """They waited for one hour, and no minute had too many alerts."""
    ends = [waiting(number, title=f"Resolved: a (INC-{number})", due_at=NOON) for number in (1, 2)]
    assert "Resolved before a notification was due." in digest(ends).body
    assert "More than 10 alerts in one minute" in digest([*ends, waiting(3, title="b [INC-3]")]).body


def test_a_digest_lists_each_incident_once_with_its_newest_title() -> None:
    text = digest(
        [
            waiting(1, incident="INC-1", title="a failed: secret [INC-1]", plain_title="a failed [INC-1]"),
            waiting(2, incident="INC-2", title="Update: Daily 07:30 at risk: restart b [INC-2]"),
            waiting(3, incident="INC-1", title="Resolved: a recovered (INC-1)", plain_title="Resolved: a (INC-1)"),
        ],
        10,
        "Europe/Berlin",
    )
    assert ("Daily 07:30 at risk, and 1 more alert", "INC-2, and 1 more alert") == (text.title, text.plain_title)
    assert text.body.startswith("Update: Daily 07:30 at risk: restart b [INC-2]\nResolved: a recovered (INC-1)\n")
    assert text.plain_body.startswith("INC-2\nResolved: a (INC-1)\n")
    assert "More than 10 alerts in one minute: these 3 are sent together. Times: CET." in text.body


def test_a_digest_keeps_what_asks_for_a_person_beside_a_later_state_of_its_incident() -> None:
    """ "plan 3 stopped" vanished behind the incident's next update."""
    stopped = waiting(1, incident="INC-1", title="Plan 3 stopped", body="Do  headway plan resume 3", needs_person=True)
    text = digest([stopped, waiting(2, incident="INC-1", title="Update: Daily 07:30 late")], 10, "UTC")
    assert text.body.startswith("Plan 3 stopped\nUpdate: Daily 07:30 late\n")
    assert "\nDo    headway plan resume 3\n" in text.body


def test_a_digest_has_the_command_of_each_incident() -> None:
    together = [waiting(n, incident=f"INC-{n}", title=f"s{n}", body=f"Do  headway recover INC-{n}") for n in (1, 2)]
    text = digest(together, 10, "UTC")
    assert "\nDo    headway recover INC-1\nDo    headway recover INC-2\nOpen  headway incident\n" in text.body


def test_a_digest_has_one_zone_or_the_zone_beside_each_alert() -> None:
    title = "Daily 07:30 at risk: restart a by 07:00 [INC-1]"
    berlin = waiting(1, incident="INC-1", title=title, zone_label="CET")
    lisbon = waiting(2, incident="INC-2", title="Stock 08:00 late [INC-2]", zone_label="WET")
    assert "Daily 07:30 at risk: restart a by 07:00 [INC-1]\n" in digest([berlin], 10, "Europe/Berlin").body
    body = digest([berlin, lisbon], 10, "Europe/Berlin").body
    assert [["ALERT", "TIMES"], [title, "CET"], ["Stock 08:00 late [INC-2]", "WET"]] == [
        re.split(" {2,}", line) for line in body.splitlines()[:3]
    ]


def test_a_limit_of_one_is_one_alert() -> None:
    text = digest([waiting(1), waiting(2)], 1, "UTC")
    assert "More than 1 alert in one minute: these 2 are sent together. Times: " in text.body


def digest_title_of(*titles: str) -> str:
    return title_text(digest_title([message_of(title).title for title in titles]))


LABELS = {*KIND_LABELS.values(), REOPENED_LABEL, CLOSED_LABEL, CAUSE_RESOLVED_LABEL}


@each_row("shadow", ["", SHADOW_LABEL])
@each_row("label", sorted(LABELS - {KIND_LABELS[AlertKind.RECOVERED]}))
def test_a_digest_title_has_the_problem_and_no_label(shadow: str, label: str) -> None:
    resolved = f"{shadow}Resolved: Supply plan safe (INC-1)"
    problem = f"{shadow}{label}Daily 07:30 at risk: restart b [INC-2]"
    assert "Daily 07:30 at risk, and 1 more alert" == digest_title_of(resolved, problem)


def test_every_label_of_a_title_is_one_that_a_digest_leaves_out() -> None:
    titles = (written(notice).title.removeprefix(SHADOW_LABEL) for _, night in recorded() for notice in night.notices)
    labels = {found[0] for title in titles if (found := re.match(r"[A-Z][a-z]+(?: resolved)?: ", title))}
    assert {"Reopened: ", "Cause resolved: ", "Reminder: ", "Resolved: ", "Update: "} <= labels <= LABELS


def test_a_digest_of_resolved_incidents_counts_them() -> None:
    assert "Resolved: 2 incidents" == digest_title_of("Resolved: Daily safe (INC-1)", "Shadow: Resolved: b (INC-2)")
    assert "Resolved: 1 incident" == digest_title_of("Resolved: Daily safe (INC-1)")


def test_titles_with_blanks_in_a_row_are_no_table_in_a_digest() -> None:
    together = [waiting(number, incident=f"INC-{number}", title=f"load  {number} failed") for number in (1, 2)]
    assert "<p>load  1 failed<br>load  2 failed</p>" in as_html(digest_message(together, 10, "UTC"))


@each_row(
    "link, opened",
    [
        ("", "headway incident"),
        ("https://ops.example/headway/", "https://ops.example/headway/"),
        ("https://ops.example/headway/{incident}", "https://ops.example/headway/"),
        ("https://ops.example/?incident={incident}&x=1", "https://ops.example/"),
    ],
)
def test_a_digest_opens_the_page_of_the_config(link: str, opened: str) -> None:
    text = digest([waiting(1, incident="INC-1", title="t")], 10, "UTC", link)
    assert f"\nOpen  {opened}\n" in text.body
    assert f"\nOpen  {opened}\n" in text.plain_body


def test_a_long_digest_counts_what_it_does_not_list() -> None:
    text = digest([waiting(n, incident=f"INC-{n}", title="t") for n in range(LINES + 7)], 10, "UTC")
    assert "\nand 7 more\n" in text.body


@each_row("tries, longest", [(1, BASE), (2, 2 * BASE), (4, 8 * BASE), (30, CAP), (3000, CAP)])
def test_the_pause_is_even_between_nothing_and_a_doubling_limit(tries: int, longest: timedelta) -> None:
    assert MIN_DELAY == after_failure(tries, 0, seconds(0), 0.0).wait
    assert longest / 2 == after_failure(tries, 0, seconds(0), 0.5).wait


def test_what_may_have_arrived_is_repeated_after_a_pause_that_grows_fast() -> None:
    """Four mails came 27 times within 146 s, while the answers were lost."""
    waits = [after_failure(tries, 0, seconds(0), 0.0, maybe_arrived=True).wait for tries in range(1, 7)]
    assert [LEAST_REPEAT * 4**number for number in range(3)] == waits[:3]
    assert [CAP / 2] * 3 == waits[3:]
    assert 2 * LEAST_REPEAT == after_failure(1, 0, seconds(0), 1.0, maybe_arrived=True).wait


def test_a_refusal_for_good_is_believed_the_third_time() -> None:
    assert after_failure(2, 2, seconds(0), 0.5).wait
    assert RetryDecision(None, "refused permanently 3 times") == after_failure(3, 3, seconds(0), 0.5)


def test_what_was_not_accepted_in_time_is_given_up_and_tried_once_more_right_before() -> None:
    assert RetryDecision(None, "not accepted within 1d") == after_failure(9, 0, DAY, 0.5)
    assert seconds(10) == after_failure(9, 0, DAY - seconds(10), 0.99).wait


def test_a_retry_comes_before_the_act_by_of_the_alert() -> None:
    """The third lost answer waited for up to 320 s, and the act-by passed."""
    waits = [
        after_failure(3, 0, seconds(0), 1.0, maybe_arrived=True, until_act_by=seconds(left)).wait
        for left in (3600, 190, 30, 0, -60)
    ]
    assert [seconds(320), seconds(95), 2 * LEAST_REPEAT, seconds(320), seconds(320)] == waits
    assert BASE == after_failure(8, 0, seconds(0), 1.0, until_act_by=seconds(4)).wait
