"""Rights as rows: what config permits, what hangs on a job, and who a person is at this moment."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import text

from console.model.rights import Permission, Person, Role, Rules
from console.store import permissions
from console.store.chain import Run
from console.store.config_sync import sync_config
from console.store.wire import wire
from tests.store.estate import MIDNIGHT, SERVED, Estate

PERMITTED = (
    Permission("alice", Role.ADMIN),
    Permission("group:oncall", Role.ACT, ("etl-*",), ("plan",), (1, 2)),
)


@contextmanager
def looking(estate: Estate) -> Iterator[Run]:
    with estate.store.read() as connection:
        yield wire(connection).rows


def test_what_config_permits_comes_back_as_it_was_written(served: Estate) -> None:
    settings = replace(SERVED, permissions=PERMITTED, rules=Rules((1, 2), (1,), 5, 6))
    assert sync_config(served.store, settings, MIDNIGHT, None).changed
    assert not sync_config(served.store, settings, MIDNIGHT, None).changed
    with served.store.read() as connection:
        assert (list(PERMITTED), Rules((1, 2), (1,), 5, 6)) == permissions.rights_of(wire(connection).rows)
    assert sync_config(served.store, SERVED, MIDNIGHT, None).changed
    with served.store.read() as connection:
        assert ([], Rules()) == permissions.rights_of(wire(connection).rows)


def test_a_store_that_no_config_has_reached_has_no_rules_and_no_permissions(night: Estate) -> None:
    with night.store.write(None) as connection:
        connection.execute(text("DELETE FROM meta WHERE name = 'acting'"))
    with night.store.read() as connection:
        assert ([], Rules((), (), 0, 0, 0.0, ())) == permissions.rights_of(wire(connection).rows)


def test_every_service_below_a_job_hangs_on_it_and_none_above(served: Estate) -> None:
    with looking(served) as run:
        [(name, tier, terminals)] = run("SELECT name, tier, terminals FROM service", ())
        [(upstream, downstream)] = run("SELECT upstream_id, downstream_id FROM dependency", ())
        assert f"[{downstream}]" == terminals
        assert ((name, tier),) == permissions.subject_of_job(run, upstream).services
        assert ((name, tier),) == permissions.subject_of_job(run, downstream).services
        others = [row[0] for row in run("SELECT id FROM job WHERE id NOT IN (?, ?)", (upstream, downstream))]
        assert [()] * len(others) == [permissions.subject_of_job(run, other).services for other in others]


def test_a_task_counts_with_its_whole_dag(served: Estate) -> None:
    """What depends on a task hangs on its sisters too: they are started together."""
    rows = served.rows("SELECT id FROM job ORDER BY id")
    one, other, third = (row[0] for row in rows[:3])
    with served.store.write(None) as connection:
        connection.execute(text("DELETE FROM dependency"))
        connection.execute(
            text("UPDATE job SET parent_id = :p WHERE id IN (:a, :b)"), {"p": one, "a": other, "b": third}
        )
        connection.execute(text("UPDATE service SET terminals = :t"), {"t": f"[{other}]"})
        lines = wire(connection).rows
        assert 1 == len(permissions.subject_of_job(lines, third).services)
        assert 1 == len(permissions.subject_of_job(lines, one).services)


def test_a_long_chain_and_a_ring_of_dependencies_are_walked_to_their_end(served: Estate) -> None:
    with served.store.write(None) as connection:
        lines = wire(connection)
        system, target = lines.rows("SELECT system_id, target_id FROM job LIMIT 1")[0]
        columns = ("id", "system_id", "target_id", "native_id", "source_id", "name", "title", "parent_id")
        more = (
            "definition", "definition_hash", "match_keys", "proof", "run_as", "native_url", "first_seen_us", "owner",
            "notify", "runbook", "rerun", "grace_s", "changed_seq",
        )  # fmt: skip
        rest = ("", "", "[]", "full", "", "", 0, "", "[]", "", "ask", 300.0, 0)
        ids = range(1_000, 2_000)
        rows = [(one, system, target, f"n{one}", f"n{one}", f"s/n{one}", "", None, *rest) for one in ids]
        lines.insert("job", (*columns, *more), rows)
        edges = [(one, one + 1, "learned") for one in ids[:-1]] + [(1_500, 1_000, "learned")]
        lines.insert("dependency", ("upstream_id", "downstream_id", "origin"), edges)
        lines.rows("UPDATE service SET terminals = '[1999]'")
        assert 1 == len(permissions.subject_of_job(lines.rows, 1_000).services)


def test_a_job_that_is_gone_is_nothing(served: Estate) -> None:
    with looking(served) as run:
        assert "" == permissions.subject_of_job(run, 4_711).system


def test_the_modes_that_lead_into_a_job_are_told(served: Estate) -> None:
    with served.store.write(None) as connection:
        connection.execute(text("UPDATE dependency SET mode = 'hold'"))
        lines = wire(connection).rows
        [(upstream, downstream)] = lines("SELECT upstream_id, downstream_id FROM dependency")
        assert {"hold"} == permissions.subject_of_job(lines, downstream).modes
        assert set() == permissions.subject_of_job(lines, upstream).modes


def test_a_person_is_who_the_kernel_says_with_the_groups_of_this_machine(
    served: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "mallory")
    monkeypatch.setenv("LOGNAME", "mallory")
    sync_config(served.store, replace(SERVED, permissions=PERMITTED), MIDNIGHT, None)
    with served.store.read() as connection:
        run = wire(connection).rows
        me = permissions.asker(run, is_postgres=False)
        assert pwd.getpwuid(os.getuid()).pw_name == me.name
        assert me.groups
        assert frozenset() == permissions.person_named(run, "no such person", is_postgres=False).groups


def test_whom_a_proxy_signed_in_has_no_groups_of_an_account_with_the_same_name(
    served: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a proxy calls root is not this machine's root."""
    sync_config(served.store, replace(SERVED, permissions=PERMITTED), MIDNIGHT, None)
    own = permissions.os_user()
    with looking(served) as run:
        assert permissions.asker(run, is_postgres=False).groups
        assert [own] != permissions.my_names(run, is_postgres=False)
        monkeypatch.setattr(permissions, "_spoken_for", own)
        assert Person(own) == permissions.asker(run, is_postgres=False)
        assert [own] == permissions.my_names(run, is_postgres=False)


def test_nobody_is_asked_for_groups_where_no_permission_names_one(served: Estate) -> None:
    with looking(served) as run:
        assert frozenset() == permissions.asker(run, is_postgres=False).groups
