"""Who may do what: every action of the table by every role, limits, reasons, approvals, policies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connectors.sdk.states import Verb
from console.control.access.authorization import (
    ACTIONS,
    AccessGranted,
    AccessRefusal,
    approvers,
    authorize,
    role_of,
)
from console.domain.access import ActingRules, ActionSubject, PermissionRule, Person, Role
from console.domain.request import RequestKind
from console.domain.switches import switch_request
from tests.rows import each_row

ALICE = Person("alice", frozenset({"oncall"}))
EXTRACT = ActionSubject("etl-hosts", "etl-hosts/extract", (("supply-plan", 2), ("daily-revenue", 1)), why="it failed")
SCRATCH = ActionSubject("etl-hosts", "etl-hosts/scratch")
ESTATE = ActionSubject()
NO_RULES = ActingRules((), ())
ROLES: dict[Verb | RequestKind, Role] = {**dict.fromkeys(Verb, Role.ACT), **{kind: kind.role for kind in RequestKind}}
"""The role that each operation needs."""


def may(
    verb: Verb | RequestKind,
    subject: ActionSubject,
    *permissions: PermissionRule,
    person: Person = ALICE,
    rules: ActingRules = NO_RULES,
) -> bool:
    return isinstance(authorize(person, verb, subject, permissions, rules), AccessGranted)


def reason(
    verb: Verb | RequestKind, subject: ActionSubject, *permissions: PermissionRule, rules: ActingRules = NO_RULES
) -> str:
    decision = authorize(ALICE, verb, subject, permissions, rules)
    assert isinstance(decision, AccessRefusal)
    return decision.reason


@each_row("role", [Role.NONE, Role.VIEW, Role.ACT, Role.APPROVE, Role.ADMIN], ids=lambda item: item.text)
def test_a_role_permits_its_operations_and_those_of_lower_roles(role: Role) -> None:
    mine = PermissionRule("alice", role) if role else PermissionRule("bob", Role.ADMIN)
    permitted = {name for name, needed in ROLES.items() if role >= needed}
    assert permitted == {name for name in ROLES if may(name, EXTRACT, mine)}


@pytest.mark.parametrize("limit", [{"tiers": (2, 3, 4, 5)}, {"services": ("supply-*",)}], ids=str)
def test_a_whole_system_needs_a_permission_for_all_its_jobs(limit: dict[str, Any]) -> None:
    """The owner of the lower tiers silenced and paused a system with its tier-1 job."""
    system, limited = ActionSubject("etl-hosts"), PermissionRule("alice", Role.ACT, systems=("etl-*",), **limit)
    whole = PermissionRule("alice", Role.ACT, systems=("etl-*",))
    for operation in (RequestKind.ADD_SILENCE, RequestKind.PROBE, RequestKind.PAUSE_POLLING):
        assert (False, True) == (may(operation, system, limited), may(operation, system, whole))


def test_without_any_permission_in_config_every_operation_is_permitted() -> None:
    assert set(ROLES) == {name for name in ROLES if may(name, EXTRACT)}


def test_a_person_without_a_permission_may_do_nothing() -> None:
    others = PermissionRule("bob", Role.ADMIN), PermissionRule("group:finance", Role.ADMIN)
    assert set() == {name for name in ROLES if may(name, EXTRACT, *others)}


def test_viewing_needs_view_acting_act_and_releasing_admin() -> None:
    kinds = RequestKind
    higher = {
        Role.VIEW: {kinds.PREVIEW, kinds.LOG, kinds.COMPARE_LOGS, kinds.WHAT_IF, kinds.PROPOSE_PLAN},
        Role.APPROVE: {kinds.APPROVE},
        Role.ADMIN: {
            kinds.THAW,
            kinds.SHADOW_OFF,
            kinds.RELAX_RERUN_SAFETY,
            kinds.RESTORE,
            kinds.DELETE_AUDIT,
            kinds.RESUME_POLICY,
            kinds.CLOSE_BREAKER,
        },
    }
    acting = {*Verb, *RequestKind}.difference(*higher.values())
    assert higher | {Role.ACT: acting} == {
        role: {name for name, needed in ROLES.items() if needed is role} for role in Role if role
    }
    assert {*Verb, RequestKind.START_PLAN, RequestKind.RELEASE_NATIVELY} == set(ACTIONS)


def test_a_group_and_everybody_are_named_like_a_person() -> None:
    assert may(Verb.RERUN, EXTRACT, PermissionRule("group:oncall", Role.ACT))
    assert not may(Verb.RERUN, EXTRACT, PermissionRule("oncall", Role.ACT))
    assert not may(Verb.RERUN, EXTRACT, PermissionRule("group:alice", Role.ACT))
    assert may(RequestKind.LOG, EXTRACT, PermissionRule("*", Role.VIEW))


@each_row(
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
    assert opens == may(Verb.RERUN, EXTRACT, permission)


def test_a_job_below_which_nothing_is_promised_counts_as_the_least_tier() -> None:
    assert may(Verb.RERUN, SCRATCH, PermissionRule("alice", Role.ACT, tiers=(4, 5)))
    assert not may(Verb.RERUN, SCRATCH, PermissionRule("alice", Role.ACT, tiers=(1,)))
    assert not may(Verb.RERUN, SCRATCH, PermissionRule("alice", Role.ACT, services=("*",)))


def test_what_concerns_the_whole_estate_takes_a_permission_without_limits() -> None:
    assert not may(RequestKind.THAW, ESTATE, PermissionRule("alice", Role.ADMIN, systems=("*",)))
    assert may(RequestKind.THAW, ESTATE, PermissionRule("alice", Role.ADMIN))


def test_the_highest_role_counts() -> None:
    several = (
        PermissionRule("*", Role.VIEW),
        PermissionRule("alice", Role.APPROVE),
        PermissionRule("group:oncall", Role.ACT),
    )
    assert Role.APPROVE is role_of(ALICE, EXTRACT, several)


def test_a_refusal_names_the_needed_role_the_present_one_and_who_can_grant_it() -> None:
    several = (
        PermissionRule("*", Role.VIEW),
        PermissionRule("carol", Role.ACT),
        PermissionRule("group:ops", Role.ADMIN),
    )
    assert (
        "needs role act on etl-hosts (tier 1 (daily-revenue)); you (alice) have view; ask carol or group:ops"
        == reason(Verb.RERUN, EXTRACT, *several)
    )
    by_link = PermissionRule("link", Role.ACT)  # a press of a link in a message with several readers
    assert reason(Verb.RERUN, EXTRACT, *several, by_link).endswith("; ask carol or group:ops")
    outsider = reason(Verb.RERUN, EXTRACT, *several[1:])
    assert outsider.endswith("you (alice) have no role there; ask an admin"), "the logins are not for everybody"
    alone = reason(Verb.RERUN, SCRATCH, PermissionRule("bob", Role.VIEW))
    assert alone.startswith("needs role act on etl-hosts; you (alice) have no role there; no user has it: add it under")


@pytest.mark.parametrize("why", ["", "  \n"])
def test_a_tier_that_wants_a_reason_gets_one_or_nothing(why: str) -> None:
    rules = ActingRules(reason_tiers=(1,))
    assert "tier 1 (daily-revenue) depends on it: give a reason" == reason(
        Verb.RERUN, replace(EXTRACT, why=why), rules=rules
    )
    assert may(Verb.RERUN, EXTRACT, rules=rules)
    assert may(Verb.RERUN, replace(SCRATCH, why=why), rules=rules)
    assert may(RequestKind.LOG, replace(EXTRACT, why=why), rules=rules)


def test_a_tier_that_wants_an_approval_is_granted_on_condition() -> None:
    rules = ActingRules((), approval_tiers=(1,))
    assert AccessGranted(needs_approval=True) == authorize(ALICE, Verb.RERUN, EXTRACT, (), rules)
    assert AccessGranted() == authorize(ALICE, Verb.RERUN, SCRATCH, (), rules)
    assert AccessGranted() == authorize(ALICE, RequestKind.PREVIEW, EXTRACT, (), rules)


def test_a_policy_of_the_config_may_only_rerun_and_approval_tiers_need_a_person_all_the_same() -> None:
    policy, rules = Person("policy retry-refused", is_repair_policy=True), ActingRules((1,), approval_tiers=(1,))
    assert AccessGranted(needs_approval=True) == authorize(policy, Verb.RERUN, EXTRACT, (), rules)
    assert AccessGranted() == authorize(policy, Verb.RERUN, SCRATCH, (), rules)
    assert [*Verb][1:] == [
        verb for verb in Verb if isinstance(authorize(policy, verb, SCRATCH, (), rules), AccessRefusal)
    ]


def test_one_person_may_request_so_much_an_hour_and_no_more() -> None:
    rules = ActingRules((), (), per_hour=20)
    assert may(Verb.RERUN, replace(EXTRACT, recent=19), rules=rules)
    assert reason(Verb.RERUN, replace(SCRATCH, recent=20), rules=rules) == (
        "alice requested 20 actions within the hour, the limit of [acting] per_hour: wait, or raise the limit"
    )
    assert may(RequestKind.LOG, replace(EXTRACT, recent=20), rules=rules)
    assert may(Verb.RERUN, replace(EXTRACT, recent=999), rules=ActingRules((), (), per_hour=0))


def test_config_s_modes_ask_for_so_much_an_hour_but_always_let_go() -> None:
    policy, rules = Person("headway", is_policy=True), ActingRules((), (), policy_per_hour=200)
    held = replace(EXTRACT, modes=frozenset({"hold"}), recent=200)
    assert [False, True, False] == [
        may(verb, held, person=policy, rules=rules) for verb in (Verb.HOLD, Verb.RELEASE, Verb.START)
    ]
    assert may(Verb.START, replace(held, held_back=True), person=policy, rules=rules)
    assert may(Verb.HOLD, replace(held, recent=199), person=policy, rules=rules)


@each_row(
    "name, value, kind, role",
    [
        ("freeze", "on", RequestKind.FREEZE, Role.ACT),
        ("freeze", "off", RequestKind.THAW, Role.ADMIN),
        ("mode", "live", RequestKind.SHADOW_OFF, Role.ADMIN),
        ("system etl-hosts", "shadow", RequestKind.SHADOW_ON, Role.ACT),
    ],
)
def test_a_switch_needs_the_role_of_what_it_does(name: str, value: str, kind: RequestKind, role: Role) -> None:
    request = switch_request(name, value)
    assert (kind, role) == (request, request.role)


@each_row("name, value", [("freeze", "shadow"), ("freeze", "live"), ("mode", "on"), ("mode", "")])
def test_a_switch_grants_no_permission_beyond_its_values(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        switch_request(name, value)


def test_a_requester_cannot_approve_their_own_action() -> None:
    admin = PermissionRule("alice", Role.ADMIN)
    assert "alice requested it: another person must approve it" == reason(
        RequestKind.APPROVE, replace(EXTRACT, requested_by="alice"), admin
    )
    assert may(RequestKind.APPROVE, replace(EXTRACT, requested_by="bob"), admin)


def test_a_name_in_another_case_is_the_same_person() -> None:
    """A directory may ignore the case of a login, and the proxy hands on what was typed."""
    admin, acts = PermissionRule("alice", Role.ADMIN), PermissionRule("alice", Role.ACT)
    subject = replace(EXTRACT, requested_by="ALICE")
    assert "ALICE requested it: another person must approve it" == reason(RequestKind.APPROVE, subject, admin)
    assert may(RequestKind.WITHDRAW, subject, acts)


def test_only_the_requester_or_an_admin_may_withdraw_an_action() -> None:
    acts, admin = PermissionRule("alice", Role.ACT), PermissionRule("alice", Role.ADMIN)
    assert may(RequestKind.WITHDRAW, replace(EXTRACT, requested_by="alice"), acts)
    assert may(RequestKind.WITHDRAW, replace(EXTRACT, requested_by="bob"), admin)
    text = "bob requested it: only they or an admin may withdraw it"
    assert text == reason(RequestKind.WITHDRAW, replace(EXTRACT, requested_by="bob"), acts)
    assert not may(RequestKind.WITHDRAW, replace(EXTRACT, requested_by="alice"), PermissionRule("alice", Role.VIEW))


@each_row(
    "verb, subject, opens",
    [
        (Verb.HOLD, replace(EXTRACT, modes=frozenset({"hold"})), True),
        (Verb.START, replace(EXTRACT, modes=frozenset({"trigger"})), True),
        (Verb.HOLD, replace(EXTRACT, modes=frozenset({"observe"})), False),
        (Verb.RELEASE, EXTRACT, True),
        (Verb.START, replace(EXTRACT, held_back=True), True),
        (Verb.START, EXTRACT, False),
        (Verb.RERUN, replace(EXTRACT, modes=frozenset({"hold"})), False),
        (RequestKind.THAW, ESTATE, False),
    ],
)
def test_a_policy_acts_only_where_config_gives_the_mode(
    verb: Verb | RequestKind, subject: ActionSubject, opens: bool
) -> None:
    """A policy may always release its own hold and make the pending start."""
    decision = authorize(
        Person("headway", is_policy=True), verb, subject, (PermissionRule("bob", Role.ADMIN),), NO_RULES
    )
    assert opens == isinstance(decision, AccessGranted)


def test_a_person_who_is_called_like_headway_is_a_person() -> None:
    named = Person("headway")
    assert not may(
        Verb.HOLD, replace(EXTRACT, modes=frozenset({"hold"})), PermissionRule("bob", Role.ACT), person=named
    )


@each_row(
    "permissions, expected",
    [
        ((), "another person"),
        ((("*", Role.APPROVE), ("anna", Role.ADMIN)), "another person"),
        ((("Alice", Role.ADMIN), ("anna", Role.APPROVE), ("group:dba", Role.ADMIN)), "anna or group:dba"),
        ((("*", Role.VIEW), *((f"p{number}", Role.APPROVE) for number in range(5))), "p0 or p1 or p2 or 2 more"),
        ((("alice", Role.ADMIN),), "another person, once [[permissions]] gives one the role approve"),
    ],
)
def test_approvers_are_named_without_the_requester(permissions: tuple[tuple[str, Role], ...], expected: str) -> None:
    rules = [PermissionRule(*rule) for rule in permissions]
    assert expected == approvers(replace(EXTRACT, requested_by="alice"), rules)
