"""What the role may see and do, read from one row about it: an empty list must never look like "no jobs"."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.contract import NotSupported, Right, RightMissing
from connectors.pg_cron.parse import Row, version_of
from connectors.transport.postgres import quoted

GRANTS = "run connectors/pg_cron/grants.sql (headway grants pg_cron) as a superuser"
OLDEST_VERSION = (1, 4)
STANDBY = Right(
    "jobs start here",
    False,
    "this server is a standby: pg_cron runs on the primary only",
    "name the primary as its host",
)


def require_view(access: Row, place: str) -> None:
    """Raises NotSupported without a pg_cron that we know, RightMissing without SELECT on its two tables."""
    if access["version"] is None:
        where = f'connect to database "{access["cron_database"]}"' if access["cron_database"] else "check dbname"
        raise NotSupported(f"{place}: extension pg_cron is not in this database; {where} (SHOW cron.database_name)")
    if version_of(access) < OLDEST_VERSION:
        raise NotSupported(f"{place}: pg_cron {access['version']} is too old; 1.4 or newer is needed")
    if not (access["may_enter"] and access["may_read_jobs"] and access["may_read_runs"]):
        mend = "; ".join(right.mend for right in rights(access) if right.held is False and right.needed_for == "view")
        raise RightMissing(f"{place}: role {access['role']} may not read pg_cron's tables: {mend}")


def sees_all(access: Row) -> bool:
    """True when row security hides no job and no run from the role."""
    return bool(access["sees_all_jobs"] and access["sees_all_runs"])


def hidden_words(access: Row) -> str:
    """Why what we see is not all there is."""
    return f"row security shows role {access['role']} only its own jobs and runs: {granted(access, 'headway_view')}"


def door(access: Row) -> str | None:
    """How this role may add a one-shot entry: "function", "direct" (superuser), "own" (its own jobs only), None."""
    if access["may_rerun"]:
        return "function"
    if access["may_schedule"] or access["is_super"]:
        return "direct" if access["is_super"] else "own"
    return None


def rights(access: Row) -> tuple[Right, ...]:
    """Each right that is needed, held or with the exact SQL that gives it."""
    return tuple(_rights(access))


def granted(access: Row, of: str = "headway_act") -> str:
    """How the role gets what a role of grants.sql has; one of them needs no more than that file."""
    own = access["role"] in ("headway_act", of)  # headway_act has what headway_view has
    return GRANTS if own else f"GRANT {of} TO {quoted(access['role'])}; where that role is missing, first {GRANTS}"


def _rights(access: Row) -> Iterator[Right]:
    if access["version"] is None:  # there is nothing here that a right could be given to
        yield Right(
            "pg_cron in this database", False, f"it is not in database {access['database']}", _elsewhere(access)
        )
        return
    role = quoted(access["role"])
    tables = (("may_read_jobs", "job"), ("may_read_runs", "job_run_details"))
    yield _right("usage of schema cron", access["may_enter"], f"GRANT USAGE ON SCHEMA cron TO {role};")
    for column, table in tables:
        yield _right(f"read cron.{table}", access[column], f"GRANT SELECT ON cron.{table} TO {role};")
    for column, table in (("sees_all_jobs", "job"), ("sees_all_runs", "job_run_details")):
        policy = quoted(f"{access['role']}_all")
        mend = f"CREATE POLICY {policy} ON cron.{table} FOR SELECT TO {role} USING (true);"
        yield Right(
            f"see all rows of cron.{table}",
            bool(access[column]),
            "" if access[column] else f"row security shows role {access['role']} only its own rows",
            "" if access[column] else mend,
        )
    yield _log_run(access)
    if access["is_standby"]:
        yield STANDBY
    yield from _act(access)


def _elsewhere(access: Row) -> str:
    found = access["cron_database"]
    return f'dbname = "{found}"' if found else "name as dbname what SHOW cron.database_name tells a superuser"


def _right(name: str, held: object, mend: str) -> Right:
    return Right(name, bool(held), "" if held else "not granted", "" if held else mend)


def _log_run(access: Row) -> Right:
    name, setting = "pg_cron records runs (cron.log_run)", access["log_run"]
    if setting == "on":
        return Right(name, True)
    if setting is None:
        mend = f"GRANT pg_read_all_settings TO {quoted(access['role'])};"
        return Right(name, None, "the setting is hidden from this role", mend)
    return Right(name, False, "cron.log_run is off: no run leaves a row", "cron.log_run = on, then restart PostgreSQL")


def _act(access: Row) -> Iterator[Right]:
    found = door(access)
    why = "only jobs of its own" if found == "own" else "no EXECUTE on the function rerun"
    yield _may(access, "rerun or start a job", found in ("function", "direct"), why)
    yield _may(access, "hold and release a job", access["may_hold"], "no EXECUTE on the functions hold and release")
    yield _may(access, "take a mark alone from a job", access["may_clear"], "no EXECUTE on the function clear")
    yield _may(access, "cancel a run", access["may_cancel"], "no EXECUTE on the function cancel")


def _may(access: Row, name: str, held: object, why: str) -> Right:
    if held:
        return Right(name, True, needed_for="act")
    mend = granted(access)
    return Right(name, False, f"{why} for role {access['role']}", mend, needed_for="act")
