"""Permissions, acting rules, groups, and the services downstream of a job, as of the caller's transaction.

Clients and the engine run the same plain SQL, so that they reach the same decisions. Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from console.domain.access import ActingRules, ActionSubject, PermissionRule, Person, Role
from console.domain.stored import from_json, stored_text
from console.store.db.session import Row, Session
from console.store.errors import NotAllowed
from console.store.meta import get_meta, set_meta
from console.store.row_values import from_row

ACTING_KEY = "acting"
"""Key in `meta` of `[acting]`, JSON."""
DEFAULT_RULES = ActingRules((), per_hour=0, policy_per_hour=0, cards=())
"""Rules of a store without a config."""
HOUR_US = 3_600_000_000

_SELECT_PERMISSIONS = "SELECT who, role, systems, services, tiers FROM permission ORDER BY id"
_NEXT_BELOW = (
    "WITH start AS (SELECT k.a FROM {keys}) SELECT d.downstream_id AS id FROM start CROSS JOIN dependency d WHERE"
    " d.upstream_id = start.a UNION SELECT j.parent_id FROM start CROSS JOIN job j WHERE j.id = start.a UNION SELECT"
    " j.id FROM start CROSS JOIN job j WHERE j.parent_id = start.a"
)
_PLAN_OF = "FROM plan p JOIN plan_step s ON s.plan_id = p.id WHERE s.action_key = ?"
_acting_for = ""


def write_permissions(session: Session, permissions: Sequence[PermissionRule], rules: ActingRules) -> bool:
    """Replaces the stored permissions and rules; True if they differ."""
    rows = [
        (rule.who, rule.role.text, *(json.dumps(list(names)) for names in (rule.systems, rule.services, rule.tiers)))
        for rule in permissions
    ]
    is_changed = session.rows(_SELECT_PERMISSIONS) != rows
    if is_changed:
        session.rows("DELETE FROM permission")
        for number, values in enumerate(rows, 1):
            session.rows(
                "INSERT INTO permission (id, who, role, systems, services, tiers) VALUES (?, ?, ?, ?, ?, ?)",
                (number, *values),
            )
    acting = stored_text(rules)
    is_changed |= get_meta(session, ACTING_KEY) != acting
    set_meta(session, {ACTING_KEY: acting})
    return is_changed


def load_permissions(session: Session) -> tuple[list[PermissionRule], ActingRules]:
    rows = session.rows(_SELECT_PERMISSIONS)
    permissions = [from_row(PermissionRule, row, role=Role[row.role.upper()]) for row in rows]
    acting = get_meta(session, ACTING_KEY)
    if acting is None:
        return permissions, DEFAULT_RULES
    return permissions, from_json(ActingRules, json.loads(acting))


def action_subject(session: Session, job_id: int) -> ActionSubject:
    """The job's system, and every service downstream of it, through dependencies of any origin."""
    job = session.first(
        "SELECT s.name AS system, j.name AS job FROM job j JOIN system s ON s.id = j.system_id WHERE j.id = ?",
        (job_id,),
    )
    if job is None:
        return ActionSubject()
    below, frontier = {job_id}, [job_id]  # a task counts as its whole DAG
    while frontier:
        frontier = list({row.id for row in session.by_keys(_NEXT_BELOW, frontier)} - below - {None})
        below.update(frontier)
    services = session.rows("SELECT name, tier, terminals FROM service WHERE NOT removed ORDER BY tier, name")
    affected = tuple((row.name, row.tier) for row in services if not below.isdisjoint(json.loads(row.terminals)))
    modes = session.rows("SELECT DISTINCT mode FROM dependency WHERE downstream_id = ?", (job_id,))
    return ActionSubject(job.system, job.job, affected, modes=frozenset(row.mode for row in modes))


def recent_actions(session: Session, by: str, before_us: int, key: str) -> int:
    """Number of unrefused actions requested by this person in the hour before the action `key`, plan steps included."""
    planned = session.rows(
        "SELECT COUNT(*) AS total FROM plan_step s JOIN plan p ON p.id = s.plan_id WHERE lower(p.requested_by) ="
        " lower(?) AND s.verb <> 'wait' AND s.state = 'planned' AND p.state IN ('running', 'paused', 'stopped')"
        " AND p.requested_us > ? AND p.requested_us < ?",
        (by, before_us - HOUR_US, before_us),
    )
    requested = _count_recent(
        session, "origin IN ('person', 'plan') AND lower(requested_by) = lower(?)", (by,), before_us, key
    )
    return requested + int(planned[0].total)


def recent_actions_before_plan(session: Session, by: str, key: str) -> int:
    """As `recent_actions`, before the start of the plan that the action `key` is a step of."""
    rows = session.rows(f"SELECT p.requested_us {_PLAN_OF} AND p.requested_by = ?", (key, by))
    return recent_actions(session, by, rows[0].requested_us, "") if rows else 0


def plan_of(session: Session, key: str) -> Row | None:
    """`id`, `state` and `resumed_by` of the plan whose step the action `key` is; None without one."""
    return session.first(f"SELECT p.id, p.state, p.resumed_by {_PLAN_OF}", (key,))


def recent_policy_actions(session: Session, before_us: int, key: str) -> int:
    """Number of holds and starts by policies in the hour before the action `key`, without refused ones."""
    where = "origin IN ('hold', 'trigger') AND verb IN ('hold', 'start')"
    return _count_recent(session, where, (), before_us, key)


def _count_recent(session: Session, where: str, values: tuple[str, ...], before_us: int, key: str) -> int:
    rows = session.rows(
        f"SELECT COUNT(*) AS total FROM action WHERE {where} AND state <> 'refused' AND requested_us > ?"  # noqa: S608
        " AND (requested_us < ? OR (requested_us = ? AND key < ?))",
        (*values, before_us - HOUR_US, before_us, before_us, key),
    )
    return int(rows[0].total)


def is_start_of_hold(session: Session, key: str) -> bool:
    """True for the start that follows a hold by Headway."""
    return bool(session.rows("SELECT 1 FROM hold WHERE start_key = ?", (key,)))


def current_person(session: Session, is_postgres: bool) -> Person:
    """The PostgreSQL login, the OS user as the kernel reports it, or the user authenticated by a proxy; that one has no
    groups on SQLite: an account of this machine with the same name may be another person."""
    if is_postgres:
        login = str(session.rows("SELECT session_user AS login")[0].login)
        if _acting_for and login != _acting_for:
            raise NotAllowed(f"{_acting_for} is signed in at the store's database as {login}: nothing is done")
        return replace(person_by_name(session, login, is_postgres=True), is_visitor=bool(_acting_for))
    return (
        Person(_acting_for, is_visitor=True) if _acting_for else person_by_name(session, os_user(), is_postgres=False)
    )


def act_for(name: str) -> None:
    """Makes this process act for a user authenticated by a proxy; with an empty name, for its own user."""
    global _acting_for
    _acting_for = name


def own_names(session: Session, is_postgres: bool) -> list[str]:
    """Name of the person of this process, and of their groups or roles."""
    name = current_person(session, is_postgres).name
    if is_postgres:
        return [name, *_roles(session, name)]
    return [name, *([] if _acting_for else _os_groups(name))]


def person_by_name(session: Session, name: str, is_postgres: bool) -> Person:
    """That person with their groups: roles of the database, else groups of this machine (looked up only if a permission
    names one)."""
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
            continue  # a group with a number but without a name


def _roles(session: Session, name: str) -> list[str]:
    rows = session.rows(
        "WITH RECURSIVE up(id) AS (SELECT oid FROM pg_roles WHERE rolname = ? UNION SELECT m.roleid FROM"
        " pg_auth_members m JOIN up ON m.member = up.id) SELECT r.rolname FROM pg_roles r JOIN up ON r.oid = up.id",
        (name,),
    )
    return [str(row.rolname) for row in rows]
