"""What the role may see and do, read from one row about it: an empty list must never look like "no jobs"."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.contract import NotSupported, Right, RightMissing
from connectors.pgagent.parse import Row, version_of
from connectors.pgagent.statements import TABLES
from connectors.transport.postgres import quoted

GRANTS = "run connectors/pgagent/grants.sql (headway grants pgagent) as a superuser"
OLDEST_VERSION = (4, 0)
STEP_COLUMNS = "jstid, jstjobid, jstname, jstdesc, jstenabled, jstkind, jstcode, jstdbname, jstonerror"
"""All but jstconnstr, which may hold a password."""


def require_view(access: Row, place: str) -> None:
    """Raises NotSupported without a pgAgent that we know, RightMissing where any of its tables cannot be read."""
    if access["version"] is None:
        raise NotSupported(
            f"{place}: extension pgagent is not in this database; dbname names the one that pgAgent connects to"
        )
    if version_of(access) < OLDEST_VERSION:
        raise NotSupported(f"{place}: pgAgent's schema {access['version']} is too old; 4.0 or newer is needed")
    if not access["may_enter"] or set(TABLES) - {*access["readable"]}:
        mend = "; ".join(right.mend for right in rights(access) if right.held is False and right.needed_for == "view")
        raise RightMissing(f"{place}: role {access['role']} may not read pgAgent's tables: {mend}")


def sees_all(access: Row) -> bool:
    """True when row security hides no row of any table from the role."""
    return not access["hidden"]


def hidden_words(access: Row) -> str:
    """Why what we see is not all there is."""
    tables = ", ".join(access["hidden"])
    return f"row security may hide rows of {tables} from role {access['role']}: {GRANTS}, then {_member(access)}"


def rights(access: Row) -> tuple[Right, ...]:
    """Each right that is needed, held or with the exact SQL that gives it."""
    return tuple(_rights(access))


def _member(access: Row, of: str = "headway_view") -> str:
    return f"GRANT {of} TO {quoted(access['role'])};"


def _rights(access: Row) -> Iterator[Right]:
    role = quoted(access["role"])
    yield _right("usage of schema pgagent", access["may_enter"], f"GRANT USAGE ON SCHEMA pgagent TO {role};")
    for table in TABLES:
        columns = f" ({STEP_COLUMNS})" if table == "pga_jobstep" else ""
        mend = f"GRANT SELECT{columns} ON pgagent.{table} TO {role};"
        yield _right(f"read pgagent.{table}", table in access["readable"], mend)
    for table in access["hidden"]:
        policy = quoted(f"{access['role']}_all")
        mend = f"CREATE POLICY {policy} ON pgagent.{table} FOR SELECT TO {role} USING (true);"
        yield Right(f"see all rows of pgagent.{table}", False, f"row security may hide rows from {role}", mend)
    yield from _act(access)


def _right(name: str, held: object, mend: str) -> Right:
    return Right(name, bool(held), "" if held else "not granted", "" if held else mend)


def _act(access: Row) -> Iterator[Right]:
    yield _may(access, "rerun or start a job", access["may_start"], "no EXECUTE on the function pgagent_start")
    words = "no EXECUTE on the functions pgagent_hold and pgagent_release"
    yield _may(access, "hold and release a job", access["may_hold"], words)


def _may(access: Row, name: str, held: object, why: str) -> Right:
    if held:
        return Right(name, True, needed_for="act")
    mend = f"{GRANTS}, then {_member(access, 'headway_act')}"
    return Right(name, False, f"{why} for role {access['role']}", mend, needed_for="act")
