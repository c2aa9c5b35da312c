"""Permissions and rules of config, groups, and the services below a job, as of this transaction.

Each function runs plain SQL in its caller's transaction, so that clients and the engine judge in the same way.
Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from console.domain.access import ActingRules, ActionSubject, PermissionRule, Person, Role
from console.store.db.session import Session
from console.store.meta import get_meta, set_meta

ACTING_KEY = "acting"
"""The row of `meta` that keeps `[acting]`, JSON."""
DEFAULT_RULES: dict[str, Any] = {"reason_tiers": (), "per_hour": 0, "policy_per_hour": 0, "valid_for_s": 0.0,
                            "cards": ()}  # fmt: skip
"""Of a store that no config has reached."""
HOUR_US = 3_600_000_000
_MAX_IDS = 400
"""Ids in one statement: well below what either database takes."""


# -- config -> rows --------------------------------------------------------------------------------------------------
def write_permissions(session: Session, permissions: Sequence[PermissionRule], rules: ActingRules) -> bool:
    """Makes the store hold these permissions and rules; True when it held others."""
    wanted = [_permission_row(one) for one in permissions]
    stored = session.rows("SELECT who, role, systems, services, tiers FROM permission ORDER BY id")
    if stored != wanted:
        session.rows("DELETE FROM permission", ())
        for number, row in enumerate(wanted, 1):
            session.rows(
                "INSERT INTO permission (id, who, role, systems, services, tiers) VALUES (?, ?, ?, ?, ?, ?)",
                (number, *row),
            )
    acting = json.dumps(asdict(rules), sort_keys=True)
    is_changed = stored != wanted or get_meta(session, ACTING_KEY) != acting
    set_meta(session, {ACTING_KEY: acting})
    return is_changed


def _permission_row(one: PermissionRule) -> tuple[str, ...]:
    return one.who, one.role.text, *(json.dumps(list(each)) for each in (one.systems, one.services, one.tiers))


# -- rows -> what is decided with ------------------------------------------------------------------------------------
def load_permissions(session: Session) -> tuple[list[PermissionRule], ActingRules]:
    """The permissions and the rules for actions that config has."""
    rows = session.rows("SELECT who, role, systems, services, tiers FROM permission ORDER BY id", ())
    acting = get_meta(session, ACTING_KEY)
    said: dict[str, Any] = json.loads(acting) if acting is not None else DEFAULT_RULES
    rules: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
    permitted = [
        PermissionRule(who, Role[role.upper()], *(tuple(json.loads(each)) for each in lists))
        for who, role, *lists in rows
    ]
    return permitted, ActingRules(**rules)


def action_subject(session: Session, job_id: int) -> ActionSubject:
    """The job's system and every service below it, whatever the origin of the dependencies."""
    found = session.rows(
        "SELECT s.name AS system, j.name AS job FROM job j JOIN system s ON s.id = j.system_id WHERE j.id = ?",
        (job_id,),
    )
    if not found:
        return ActionSubject()
    below = _below(session, job_id)
    services = session.rows("SELECT name, tier, terminals FROM service WHERE NOT removed ORDER BY tier, name", ())
    hit = tuple((name, tier) for name, tier, terminals in services if not below.isdisjoint(json.loads(terminals)))
    modes = session.rows("SELECT DISTINCT mode FROM dependency WHERE downstream_id = ?", (job_id,))
    return ActionSubject(found[0].system, found[0].job, hit, modes=frozenset(row.mode for row in modes))


def _below(session: Session, job_id: int) -> set[int]:
    """The job and all that depends on it, directly or not; a task counts with its whole DAG."""
    seen, edge = {job_id}, [job_id]
    while edge:
        found = {row.id for part in _parts(edge) for row in _next(session, part)}
        edge = [one for one in found if one is not None and one not in seen]
        seen.update(edge)
    return seen


def _next(session: Session, ids: Sequence[int]) -> list[Any]:
    marks = ", ".join("?" * len(ids))
    return session.rows(
        f"SELECT downstream_id AS id FROM dependency WHERE upstream_id IN ({marks})"  # noqa: S608 - question marks
        f" UNION SELECT parent_id FROM job WHERE id IN ({marks}) UNION SELECT id FROM job WHERE parent_id IN ({marks})",
        (*ids, *ids, *ids),
    )


def _parts(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[at : at + _MAX_IDS // 3] for at in range(0, len(ids), _MAX_IDS // 3))


def recent_actions(session: Session, by: str, before_us: int, key: str) -> int:
    """How many actions this person requested in the hour before the action `key`, alone or as steps of a plan; refused
    ones aside."""
    to_come = session.rows(
        "SELECT COUNT(*) FROM plan_step s JOIN plan p ON p.id = s.plan_id WHERE p.requested_by = ? AND s.verb <> 'wait'"
        " AND s.state = 'planned' AND p.state IN ('running', 'paused', 'stopped')"
        " AND p.requested_us > ? AND p.requested_us < ?",
        (by, before_us - HOUR_US, before_us),
    )
    done = _count_recent(session, "origin IN ('person', 'plan') AND requested_by = ?", (by,), before_us, key)
    return done + int(to_come[0][0])


def recent_actions_before_plan(session: Session, by: str, key: str) -> int:
    """As `recent_actions`, before the plan started whose step the action `key` is: what might start then, still may."""
    rows = session.rows(f"SELECT p.requested_us {_PLAN_OF} AND p.requested_by = ?", (key, by))
    return recent_actions(session, by, rows[0].requested_us, "") if rows else 0


def plan_of(session: Session, key: str) -> tuple[int, str]:
    """The plan whose step the action `key` is: its number and state; (0, "") where none has it."""
    rows = session.rows(f"SELECT p.id, p.state {_PLAN_OF}", (key,))
    return (int(rows[0].id), str(rows[0].state)) if rows else (0, "")


_PLAN_OF = "FROM plan p JOIN plan_step s ON s.plan_id = p.id WHERE s.action_key = ?"


def recent_policy_actions(session: Session, before_us: int, key: str) -> int:
    """How many holds and starts config's modes requested in the hour before the action `key`; refused ones aside."""
    where = "origin IN ('hold', 'trigger') AND verb IN ('hold', 'start')"
    return _count_recent(session, where, (), before_us, key)


def _count_recent(session: Session, where: str, values: tuple[str, ...], before_us: int, key: str) -> int:
    rows = session.rows(
        f"SELECT COUNT(*) FROM action WHERE {where} AND state <> 'refused' AND requested_us > ?"  # noqa: S608
        " AND (requested_us < ? OR (requested_us = ? AND key < ?))",
        (*values, before_us - HOUR_US, before_us, before_us, key),
    )
    return int(rows[0][0])


def is_start_of_hold(session: Session, key: str) -> bool:
    """True where the action is the one start that follows a hold of ours."""
    return bool(session.rows("SELECT 1 FROM hold WHERE start_key = ?", (key,)))


_acting_for = ""


# -- people ----------------------------------------------------------------------------------------------------------
def current_person(session: Session, is_postgres: bool) -> Person:
    """The person of this process: the database login on PostgreSQL, else the OS user as the kernel reports it, or the
    visitor that a proxy has signed in. A visitor has no groups on SQLite: an account of this machine with the same
    name may be another person's. Each of their requests passes here; the engine, which knows the name alone, adds
    nothing."""
    if is_postgres:
        return person_by_name(session, str(session.rows("SELECT session_user", ())[0][0]), is_postgres=True)
    return Person(_acting_for) if _acting_for else person_by_name(session, os_user(), is_postgres=False)


def act_for(name: str) -> None:
    """From now on this process acts for that person, signed in by a proxy; an empty name is its own user."""
    global _acting_for
    _acting_for = name


def is_acting_for_other() -> bool:
    """Whether this process acts for a person that a proxy has signed in."""
    return bool(_acting_for)


def own_names(session: Session, is_postgres: bool) -> list[str]:
    """The name of the person of this process, and all their groups or roles."""
    name = current_person(session, is_postgres).name
    if is_postgres:
        return [name, *_roles(session, name)]
    return [name, *([] if _acting_for else _os_groups(name))]


def person_by_name(session: Session, name: str, is_postgres: bool) -> Person:
    """That person with the groups of this moment: roles of the database, else groups of this machine. Where no
    permission names a group, groups are not looked up: a directory service may be slow."""
    if not session.rows("SELECT 1 FROM permission WHERE substr(who, 1, 6) = 'group:' LIMIT 1", ()):
        return Person(name)
    return Person(name, frozenset(_roles(session, name) if is_postgres else _os_groups(name)))


def os_user() -> str:
    """The OS user as the kernel reports it, never the environment."""
    import os  # noqa: PLC0415 - with the next: only lookups of groups need them
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


def _roles(session: Session, name: str) -> list[str]:
    """Roles that were granted to the login, directly or not; a superuser has those alone, not all there are."""
    rows = session.rows(
        "WITH RECURSIVE up(id) AS (SELECT oid FROM pg_roles WHERE rolname = ?"
        " UNION SELECT m.roleid FROM pg_auth_members m JOIN up ON m.member = up.id)"
        " SELECT r.rolname FROM pg_roles r JOIN up ON r.oid = up.id",
        (name,),
    )
    return [str(row.rolname) for row in rows]
