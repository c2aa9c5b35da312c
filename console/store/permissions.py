"""Who may do what, as the store knows it at this moment: permissions and rules of config, groups, what hangs on a job.

Each function runs plain SQL in its caller's transaction: whoever asks and the engine look with the same eyes.
Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from console.model.rights import Permission, Person, Role, Rules, Subject
from console.store.chain import Run

ACTING = "acting"
"""The row of `meta` that keeps `[acting]`, JSON."""
NO_RULES: dict[str, Any] = {"reason_tiers": (), "per_hour": 0, "policy_per_hour": 0, "valid_for_s": 0.0,
                            "cards": ()}  # fmt: skip
"""Of a store that no config has reached."""
HOUR_US = 3_600_000_000
_AT_ONCE = 400
"""Ids in one statement: well below what either database takes."""


# -- config -> rows --------------------------------------------------------------------------------------------------
def write_rights(run: Run, permissions: Sequence[Permission], rules: Rules) -> bool:
    """Makes the store hold these permissions and rules; True when it held others."""
    wanted = [_row(one) for one in permissions]
    stored = [tuple(row) for row in run("SELECT who, role, systems, services, tiers FROM permission ORDER BY id", ())]
    if stored != wanted:
        run("DELETE FROM permission", ())
        for number, row in enumerate(wanted, 1):
            run(
                "INSERT INTO permission (id, who, role, systems, services, tiers) VALUES (?, ?, ?, ?, ?, ?)",
                (number, *row),
            )
    acting = json.dumps(asdict(rules), sort_keys=True)
    before = run("SELECT value FROM meta WHERE name = ?", (ACTING,))
    if not before or before[0][0] != acting:
        run(
            "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (ACTING, acting),
        )
    return stored != wanted or not before or before[0][0] != acting


def _row(one: Permission) -> tuple[str, ...]:
    return one.who, one.role.word, *(json.dumps(list(each)) for each in (one.systems, one.services, one.tiers))


# -- rows -> what is decided with ------------------------------------------------------------------------------------
def rights_of(run: Run) -> tuple[list[Permission], Rules]:
    """What config permits, and what acting takes besides."""
    rows = run("SELECT who, role, systems, services, tiers FROM permission ORDER BY id", ())
    acting = run("SELECT value FROM meta WHERE name = ?", (ACTING,))
    said: dict[str, Any] = json.loads(acting[0][0]) if acting else NO_RULES
    rules: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
    permitted = [
        Permission(who, Role[role.upper()], *(tuple(json.loads(each)) for each in lists)) for who, role, *lists in rows
    ]
    return permitted, Rules(**rules)


def subject_of_job(run: Run, job_id: int) -> Subject:
    """The job's system and every service below it, whatever the origin of the dependencies."""
    found = run("SELECT s.name, j.name FROM job j JOIN system s ON s.id = j.system_id WHERE j.id = ?", (job_id,))
    if not found:
        return Subject()
    below = _below(run, job_id)
    services = run("SELECT name, tier, terminals FROM service WHERE NOT removed ORDER BY tier, name", ())
    hit = tuple((name, tier) for name, tier, terminals in services if not below.isdisjoint(json.loads(terminals)))
    modes = run("SELECT DISTINCT mode FROM dependency WHERE downstream_id = ?", (job_id,))
    return Subject(found[0][0], found[0][1], hit, modes=frozenset(str(row[0]) for row in modes))


def _below(run: Run, job_id: int) -> set[int]:
    """The job and all that depends on it, directly or not; a task counts with its whole DAG."""
    seen, edge = {job_id}, [job_id]
    while edge:
        found = {row[0] for part in _parts(edge) for row in _next(run, part)}
        edge = [one for one in found if one is not None and one not in seen]
        seen.update(edge)
    return seen


def _next(run: Run, ids: Sequence[int]) -> list[Any]:
    marks = ", ".join("?" * len(ids))
    return run(
        f"SELECT downstream_id FROM dependency WHERE upstream_id IN ({marks})"  # noqa: S608 - question marks
        f" UNION SELECT parent_id FROM job WHERE id IN ({marks}) UNION SELECT id FROM job WHERE parent_id IN ({marks})",
        (*ids, *ids, *ids),
    )


def _parts(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[at : at + _AT_ONCE // 3] for at in range(0, len(ids), _AT_ONCE // 3))


def asked_lately(run: Run, by: str, before_us: int, key: str) -> int:
    """How many actions this person asked for in the hour before the action `key`, alone or as steps of a plan; refused
    ones aside."""
    to_come = run(
        "SELECT COUNT(*) FROM plan_step s JOIN plan p ON p.id = s.plan_id WHERE p.requested_by = ? AND s.verb <> 'wait'"
        " AND s.state = 'planned' AND p.state IN ('running', 'paused', 'stopped')"
        " AND p.requested_us > ? AND p.requested_us < ?",
        (by, before_us - HOUR_US, before_us),
    )
    done = _lately(run, "origin IN ('person', 'plan') AND requested_by = ?", (by,), before_us, key)
    return done + int(to_come[0][0])


def asked_before_plan(run: Run, by: str, key: str) -> int:
    """As `asked_lately`, before the plan began whose step the action `key` is: what might start then is not cut now."""
    rows = run(f"SELECT p.requested_us {_PLAN_OF} AND p.requested_by = ?", (key, by))
    return asked_lately(run, by, rows[0][0], "") if rows else 0


def plan_of(run: Run, key: str) -> tuple[int, str]:
    """The plan whose step the action `key` is: its number and state; (0, "") where none has it."""
    rows = run(f"SELECT p.id, p.state {_PLAN_OF}", (key,))
    return (int(rows[0][0]), str(rows[0][1])) if rows else (0, "")


_PLAN_OF = "FROM plan p JOIN plan_step s ON s.plan_id = p.id WHERE s.action_key = ?"


def policies_lately(run: Run, before_us: int, key: str) -> int:
    """How many holds and starts config's modes asked for in the hour before the action `key`; refused ones aside."""
    where = "origin IN ('hold', 'trigger') AND verb IN ('hold', 'start')"
    return _lately(run, where, (), before_us, key)


def _lately(run: Run, where: str, values: tuple[str, ...], before_us: int, key: str) -> int:
    rows = run(
        f"SELECT COUNT(*) FROM action WHERE {where} AND state <> 'refused' AND requested_us > ?"  # noqa: S608
        " AND (requested_us < ? OR (requested_us = ? AND key < ?))",
        (*values, before_us - HOUR_US, before_us, before_us, key),
    )
    return int(rows[0][0])


def owes_start(run: Run, key: str) -> bool:
    """True where the action is the one start that a hold of ours owes its job."""
    return bool(run("SELECT 1 FROM hold WHERE start_key = ?", (key,)))


_spoken_for = ""


# -- people ----------------------------------------------------------------------------------------------------------
def asker(run: Run, is_postgres: bool) -> Person:
    """Who this process is: the database login on PostgreSQL, else the OS user by the kernel's word, or the visitor
    whom a proxy has signed in. That one has no groups on a file: an account of this machine with the same name may be
    somebody else's. All that they ask for comes by here first: the engine, which knows the name alone, adds nothing."""
    if is_postgres:
        return person_named(run, str(run("SELECT session_user", ())[0][0]), is_postgres=True)
    return Person(_spoken_for) if _spoken_for else person_named(run, os_user(), is_postgres=False)


def speak_for(name: str) -> None:
    """From now on this process asks for that person, whom a proxy has signed in; an empty name is its own user."""
    global _spoken_for
    _spoken_for = name


def speaks_for_somebody() -> bool:
    """Whether this process asks for a person whom a proxy has signed in."""
    return bool(_spoken_for)


def my_names(run: Run, is_postgres: bool) -> list[str]:
    """Who this process is, and all their groups or roles."""
    name = asker(run, is_postgres).name
    if is_postgres:
        return [name, *_roles(run, name)]
    return [name, *([] if _spoken_for else _os_groups(name))]


def person_named(run: Run, name: str, is_postgres: bool) -> Person:
    """That person with the groups of this moment: roles of the database, else groups of this machine. Where no
    permission names a group, nobody is asked for them: a directory service may be slow."""
    if not run("SELECT 1 FROM permission WHERE substr(who, 1, 6) = 'group:' LIMIT 1", ()):
        return Person(name)
    return Person(name, frozenset(_roles(run, name) if is_postgres else _os_groups(name)))


def os_user() -> str:
    """The OS user by the kernel's word, never by the environment's."""
    import os  # noqa: PLC0415 - with the next: only whoever asks needs them
    import pwd  # noqa: PLC0415

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def _os_groups(name: str) -> Iterable[str]:
    import grp  # noqa: PLC0415
    import os  # noqa: PLC0415
    import pwd  # noqa: PLC0415

    try:
        ids = os.getgrouplist(name, pwd.getpwnam(name).pw_gid)
    except (KeyError, ValueError):
        return
    for number in ids:
        try:
            yield grp.getgrgid(number).gr_name
        except KeyError:
            continue  # a group that has a number and no name


def _roles(run: Run, name: str) -> list[str]:
    """Roles that were granted to the login, directly or not; a superuser has those alone, not all there are."""
    rows = run(
        "WITH RECURSIVE up(id) AS (SELECT oid FROM pg_roles WHERE rolname = ?"
        " UNION SELECT m.roleid FROM pg_auth_members m JOIN up ON m.member = up.id)"
        " SELECT r.rolname FROM pg_roles r JOIN up ON r.oid = up.id",
        (name,),
    )
    return [str(row[0]) for row in rows]
