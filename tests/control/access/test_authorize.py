"""Who may do what: every door of the table by every role, limits, reasons, approvals, policies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.sdk.states import Verb
from console.control.access.authorization import (
    OPERATIONS,
    AccessGranted,
    AccessRefusal,
    Operation,
    authorize,
    role_of,
    switch_operation,
)
from console.domain.access import ActingRules, ActionSubject, PermissionRule, Person, Role

ALICE = Person("alice", frozenset({"oncall"}))
EXTRACT = ActionSubject("etl-hosts", "etl-hosts/extract", (("supply-plan", 2), ("daily-revenue", 1)), why="it failed")
SCRATCH = ActionSubject("etl-hosts", "etl-hosts/scratch")
ESTATE = ActionSubject()
NO_RULES = ActingRules((), ())


def may(
    door: str,
    subject: ActionSubject,
    *permissions: PermissionRule,
    person: Person = ALICE,
    rules: ActingRules = NO_RULES,
) -> bool:
    return isinstance(authorize(person, door, subject, permissions, rules), AccessGranted)


def reason(door: str, subject: ActionSubject, *permissions: PermissionRule, rules: ActingRules = NO_RULES) -> str:
    found = authorize(ALICE, door, subject, permissions, rules)
    assert isinstance(found, AccessRefusal)
    return found.reason


@pytest.mark.parametrize("role", [Role.NONE, Role.VIEW, Role.ACT, Role.APPROVE, Role.ADMIN], ids=lambda one: one.text)
def test_a_role_permits_its_operations_and_those_of_lower_roles(role: Role) -> None:
    mine = PermissionRule("alice", role) if role else PermissionRule("bob", Role.ADMIN)
    permitted = {name for name, operation in OPERATIONS.items() if role >= operation.role}
    assert permitted == {name for name in OPERATIONS if may(name, EXTRACT, mine)}


def test_without_any_permission_in_config_every_operation_is_permitted() -> None:
    assert set(OPERATIONS) == {name for name in OPERATIONS if may(name, EXTRACT)}


def test_a_person_whom_no_permission_names_may_do_nothing() -> None:
    others = PermissionRule("bob", Role.ADMIN), PermissionRule("group:finance", Role.ADMIN)
    assert set() == {name for name in OPERATIONS if may(name, EXTRACT, *others)}


def test_what_is_in_no_table_is_refused_to_all() -> None:
    assert '"drop tables" is not a known operation' == reason("drop tables", EXTRACT)


def test_looking_needs_view_acting_act_and_letting_loose_admin() -> None:
    wanted = {"preview": Role.VIEW, "freeze on": Role.ACT, "freeze off": Role.ADMIN, "approve": Role.APPROVE}
    assert wanted == {name: OPERATIONS[name].role for name in wanted}
    assert {Operation(Role.ACT, is_action=True)} == {OPERATIONS[verb.value] for verb in Verb}


def test_a_group_and_everybody_are_named_like_a_person() -> None:
    assert may("rerun", EXTRACT, PermissionRule("group:oncall", Role.ACT))
    assert not may("rerun", EXTRACT, PermissionRule("oncall", Role.ACT))
    assert not may("rerun", EXTRACT, PermissionRule("group:alice", Role.ACT))
    assert may("log", EXTRACT, PermissionRule("*", Role.VIEW))


@pytest.mark.parametrize(
    "permission, opens",
    [
        (PermissionRule("alice", Role.ACT, systems=("etl-hosts",)), True),
        (PermissionRule("alice", Role.ACT, systems=("etl-*",)), True),
        (PermissionRule("alice", Role.ACT, systems=("etl",)), False),
        (PermissionRule("alice", Role.ACT, systems=("dwh", "etl-hosts")), True),
        (PermissionRule("alice", Role.ACT, services=("supply-plan",)), False),
        (PermissionRule("alice", Role.ACT, services=("supply-plan", "daily-*")), True),
        (PermissionRule("alice", Role.ACT, tiers=(2, 3, 4, 5)), False),
        (PermissionRule("alice", Role.ACT, tiers=(1,)), True),
        (PermissionRule("alice", Role.ACT, systems=("etl-hosts",), tiers=(2,)), False),
    ],
)
def test_a_limit_holds_for_the_system_for_all_services_and_for_the_most_important(
    permission: PermissionRule, opens: bool
) -> None:
    assert opens == may("rerun", EXTRACT, permission)


def test_a_job_below_which_nothing_is_promised_counts_as_the_least_tier() -> None:
    assert may("rerun", SCRATCH, PermissionRule("alice", Role.ACT, tiers=(4, 5)))
    assert not may("rerun", SCRATCH, PermissionRule("alice", Role.ACT, tiers=(1,)))
    assert not may("rerun", SCRATCH, PermissionRule("alice", Role.ACT, services=("*",)))


def test_what_concerns_the_whole_estate_takes_a_permission_without_limits() -> None:
    assert not may("freeze off", ESTATE, PermissionRule("alice", Role.ADMIN, systems=("*",)))
    assert may("freeze off", ESTATE, PermissionRule("alice", Role.ADMIN))


def test_the_highest_role_counts() -> None:
    several = (
        PermissionRule("*", Role.VIEW),
        PermissionRule("alice", Role.APPROVE),
        PermissionRule("group:oncall", Role.ACT),
    )
    assert Role.APPROVE is role_of(ALICE, EXTRACT, several)


def test_a_refusal_says_what_is_needed_what_there_is_and_whom_to_ask() -> None:
    several = (
        PermissionRule("*", Role.VIEW),
        PermissionRule("carol", Role.ACT),
        PermissionRule("group:ops", Role.ADMIN),
    )
    assert (
        "needs role act on etl-hosts (tier 1 (daily-revenue)); you (alice) have view; ask carol or group:ops"
        == reason("rerun", EXTRACT, *several)
    )
    alone = reason("rerun", SCRATCH, PermissionRule("bob", Role.VIEW))
    assert alone.startswith("needs role act on etl-hosts; you (alice) have no role there; no user has it: add it under")


@pytest.mark.parametrize("why", ["", "  \n"])
def test_a_tier_that_wants_a_reason_gets_one_or_nothing(why: str) -> None:
    rules = ActingRules(reason_tiers=(1,))
    assert "tier 1 (daily-revenue) depends on it: give a reason (--why)" == reason(
        "rerun", replace(EXTRACT, why=why), rules=rules
    )
    assert may("rerun", EXTRACT, rules=rules)
    assert may("rerun", replace(SCRATCH, why=why), rules=rules)
    assert may("log", replace(EXTRACT, why=why), rules=rules)


def test_a_tier_that_wants_an_approval_is_granted_on_condition() -> None:
    rules = ActingRules((), approval_tiers=(1,))
    assert AccessGranted(needs_approval=True) == authorize(ALICE, "rerun", EXTRACT, (), rules)
    assert AccessGranted() == authorize(ALICE, "rerun", SCRATCH, (), rules)
    assert AccessGranted() == authorize(ALICE, "preview", EXTRACT, (), rules)


def test_one_person_asks_for_so_much_an_hour_and_no_more() -> None:
    rules = ActingRules((), (), per_hour=20)
    assert may("rerun", replace(EXTRACT, recent=19), rules=rules)
    assert reason("rerun", replace(SCRATCH, recent=20), rules=rules) == (
        "alice requested 20 actions within the hour, the limit of [acting] per_hour: wait, or raise the limit"
    )
    assert may("log", replace(EXTRACT, recent=20), rules=rules)
    assert may("rerun", replace(EXTRACT, recent=999), rules=ActingRules((), (), per_hour=0))


def test_config_s_modes_ask_for_so_much_an_hour_but_always_let_go() -> None:
    policy, rules = Person("headway", is_policy=True), ActingRules((), (), policy_per_hour=200)
    held = replace(EXTRACT, modes=frozenset({"hold"}), recent=200)
    assert [False, True, False] == [
        may(door, held, person=policy, rules=rules) for door in ("hold", "release", "start")
    ]
    assert may("start", replace(held, held_back=True), person=policy, rules=rules)
    assert may("hold", replace(held, recent=199), person=policy, rules=rules)


@pytest.mark.parametrize(
    "name, value, door",
    [
        ("freeze", "on", "freeze on"),
        ("freeze", "off", "freeze off"),
        ("mode", "live", "shadow off"),
        ("system etl-hosts", "shadow", "shadow on"),
    ],
)
def test_a_switch_is_turned_through_the_door_of_what_it_does(name: str, value: str, door: str) -> None:
    assert (door, True) == (switch_operation(name, value), door in OPERATIONS)


@pytest.mark.parametrize("name, value", [("freeze", "shadow"), ("freeze", "live"), ("mode", "on"), ("mode", "")])
def test_a_switch_has_no_door_to_what_it_cannot_say(name: str, value: str) -> None:
    assert switch_operation(name, value) not in OPERATIONS


def test_nobody_approves_what_they_asked_for() -> None:
    admin = PermissionRule("alice", Role.ADMIN)
    assert "alice requested it: another person must approve it" == reason(
        "approve", replace(EXTRACT, requested_by="alice"), admin
    )
    assert may("approve", replace(EXTRACT, requested_by="bob"), admin)


def test_a_name_in_another_case_is_the_same_person() -> None:
    """A directory may ignore the case of a login, and the proxy hands on what was typed."""
    admin, acts = PermissionRule("alice", Role.ADMIN), PermissionRule("alice", Role.ACT)
    asked = replace(EXTRACT, requested_by="ALICE")
    assert "ALICE requested it: another person must approve it" == reason("approve", asked, admin)
    assert may("withdraw", asked, acts)


def test_who_asked_or_an_admin_takes_it_back_and_nobody_else() -> None:
    acts, admin = PermissionRule("alice", Role.ACT), PermissionRule("alice", Role.ADMIN)
    assert may("withdraw", replace(EXTRACT, requested_by="alice"), acts)
    assert may("withdraw", replace(EXTRACT, requested_by="bob"), admin)
    words = "bob requested it: only they or an admin may withdraw it"
    assert words == reason("withdraw", replace(EXTRACT, requested_by="bob"), acts)
    assert not may("withdraw", replace(EXTRACT, requested_by="alice"), PermissionRule("alice", Role.VIEW))


@pytest.mark.parametrize(
    "door, subject, opens",
    [
        ("hold", replace(EXTRACT, modes=frozenset({"hold"})), True),
        ("start", replace(EXTRACT, modes=frozenset({"trigger"})), True),
        ("hold", replace(EXTRACT, modes=frozenset({"observe"})), False),
        ("release", EXTRACT, True),
        ("start", replace(EXTRACT, held_back=True), True),
        ("start", EXTRACT, False),
        ("rerun", replace(EXTRACT, modes=frozenset({"hold"})), False),
        ("freeze off", ESTATE, False),
    ],
)
def test_a_policy_acts_only_where_config_gives_the_mode(door: str, subject: ActionSubject, opens: bool) -> None:
    """And it is never kept from letting go what it holds, nor from the start that it owes."""
    found = authorize(Person("headway", is_policy=True), door, subject, (PermissionRule("bob", Role.ADMIN),), NO_RULES)
    assert opens == isinstance(found, AccessGranted)


def test_a_person_who_is_called_like_headway_is_a_person() -> None:
    named = Person("headway")
    assert not may("hold", replace(EXTRACT, modes=frozenset({"hold"})), PermissionRule("bob", Role.ACT), person=named)
