"""Rights as rows: what config permits, what hangs on a job, and who a person is at this moment."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from console.domain.access import ActingRules, PermissionRule, Person, Role
from console.store import access
from console.store.config_sync import sync_config
from console.store.db.session import Session
from tests.store.estate import MIDNIGHT, SERVED, Estate

PERMITTED = (
    PermissionRule("alice", Role.ADMIN),
    PermissionRule("group:oncall", Role.ACT, ("etl-*",), ("plan",), (1, 2)),
)


@contextmanager
def reading_session(estate: Estate) -> Iterator[Session]:
    with estate.store.read() as connection:
        yield connection


def test_what_config_permits_comes_back_as_it_was_written(served: Estate) -> None:
    settings = replace(SERVED, permissions=PERMITTED, rules=ActingRules((1, 2), (1,), 5, 6))
    assert sync_config(served.store, settings, MIDNIGHT, None).changed
    assert not sync_config(served.store, settings, MIDNIGHT, None).changed
    with served.store.read() as connection:
        assert (list(PERMITTED), ActingRules((1, 2), (1,), 5, 6)) == access.load_permissions(connection)
    assert sync_config(served.store, SERVED, MIDNIGHT, None).changed
    with served.store.read() as connection:
        assert ([], ActingRules()) == access.load_permissions(connection)


def test_a_store_that_no_config_has_reached_has_no_rules_and_no_permissions(night: Estate) -> None:
    with night.store.write(None) as connection:
        connection.rows("DELETE FROM meta WHERE name = 'acting'")
    with night.store.read() as connection:
        assert ([], ActingRules((), (), 0, 0, ())) == access.load_permissions(connection)


def test_every_service_below_a_job_hangs_on_it_and_none_above(served: Estate) -> None:
    with reading_session(served) as run:
        [(name, tier, terminals)] = run.rows("SELECT name, tier, terminals FROM service")
        [(upstream, downstream)] = run.rows("SELECT upstream_id, downstream_id FROM dependency")
        assert f"[{downstream}]" == terminals
        assert ((name, tier),) == access.action_subject(run, upstream).services
        assert ((name, tier),) == access.action_subject(run, downstream).services
        others = [row[0] for row in run.rows("SELECT id FROM job WHERE id NOT IN (?, ?)", (upstream, downstream))]
        assert [()] * len(others) == [access.action_subject(run, other).services for other in others]


def test_a_task_counts_with_its_whole_dag(served: Estate) -> None:
    """What depends on a task hangs on its sisters too: they are started together."""
    rows = served.rows("SELECT id FROM job ORDER BY id")
    item, other, third = (row[0] for row in rows[:3])
    with served.store.write(None) as connection:
        connection.rows("DELETE FROM dependency")
        connection.rows("UPDATE job SET parent_id = ? WHERE id IN (?, ?)", (item, other, third))
        connection.rows("UPDATE service SET terminals = ?", (f"[{other}]",))
        lines = connection
        assert 1 == len(access.action_subject(lines, third).services)
        assert 1 == len(access.action_subject(lines, item).services)


def test_a_long_chain_and_a_ring_of_dependencies_are_walked_to_their_end(served: Estate) -> None:
    with served.store.write(None) as connection:
        lines = connection
        system, target = lines.rows("SELECT system_id, target_id FROM job LIMIT 1")[0]
        columns = ("id", "system_id", "target_id", "native_id", "source_id", "name", "title", "parent_id")
        more = (
            "definition", "definition_hash", "match_keys", "proof", "run_as", "native_url", "first_seen_us", "owner",
            "notify", "runbook", "rerun", "grace_s", "changed_seq",
        )  # fmt: skip
        rest = ("", "", "[]", "full", "", "", 0, "", "[]", "", "ask", 300.0, 0)
        ids = range(1_000, 2_000)
        rows = [(number, system, target, f"n{number}", f"n{number}", f"s/n{number}", "", None, *rest) for number in ids]
        lines.insert("job", (*columns, *more), rows)
        edges = [(number, number + 1, "learned") for number in ids[:-1]] + [(1_500, 1_000, "learned")]
        lines.insert("dependency", ("upstream_id", "downstream_id", "origin"), edges)
        lines.rows("UPDATE service SET terminals = '[1999]'")
        assert 1 == len(access.action_subject(lines, 1_000).services)


def test_a_removed_job_has_no_effect_on_access(served: Estate) -> None:
    with reading_session(served) as run:
        assert "" == access.action_subject(run, 4_711).system


def test_the_modes_that_apply_to_a_job_are_listed(served: Estate) -> None:
    with served.store.write(None) as connection:
        connection.rows("UPDATE dependency SET mode = 'hold'")
        lines = connection
        [(upstream, downstream)] = lines.rows("SELECT upstream_id, downstream_id FROM dependency")
        assert {"hold"} == access.action_subject(lines, downstream).modes
        assert set() == access.action_subject(lines, upstream).modes


def test_a_person_is_who_the_kernel_says_with_the_groups_of_this_machine(
    served: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "mallory")
    monkeypatch.setenv("LOGNAME", "mallory")
    sync_config(served.store, replace(SERVED, permissions=PERMITTED), MIDNIGHT, None)
    with served.store.read() as connection:
        run = connection
        me = access.current_person(run, is_postgres=False)
        assert pwd.getpwuid(os.getuid()).pw_name == me.name
        assert me.groups
        assert frozenset() == access.person_by_name(run, "no such person", is_postgres=False).groups


def test_a_user_signed_in_by_a_proxy_has_no_groups_of_an_account_with_the_same_name(
    served: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a proxy calls root is not this machine's root."""
    sync_config(served.store, replace(SERVED, permissions=PERMITTED), MIDNIGHT, None)
    own = access.os_user()
    with reading_session(served) as run:
        assert access.current_person(run, is_postgres=False).groups
        assert [own] != access.own_names(run, is_postgres=False)
        monkeypatch.setattr(access, "_acting_for", own)
        assert Person(own, is_visitor=True) == access.current_person(run, is_postgres=False)
        assert [own] == access.own_names(run, is_postgres=False)


def test_groups_are_not_looked_up_where_no_permission_names_one(served: Estate) -> None:
    with reading_session(served) as run:
        assert frozenset() == access.current_person(run, is_postgres=False).groups
