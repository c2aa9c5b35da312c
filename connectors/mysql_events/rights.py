"""What the account may see and do: an empty list of events must never look like "no events"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from connectors.contract import Right, RightMissing
from connectors.mysql_events.seen import Row, Seen

GRANTS = "run connectors/mysql_events/grants.sql (headway grants mysql_events) as an account that may do all"
GRANT = re.compile(r"GRANT (?P<what>.+?) ON (?:(?P<kind>TABLE|PROCEDURE|FUNCTION) )?(?P<where>\S+) TO ", re.IGNORECASE)


def holds(grants: Sequence[str], privilege: str, schema: str = "", thing: str = "") -> bool:
    """Whether any line of SHOW GRANTS gives a privilege everywhere, on a schema or on one thing in it."""
    wanted = {"*.*"} | ({f"{schema}.*"} if schema else set()) | ({f"{schema}.{thing}"} if thing else set())
    for line in grants:
        found = GRANT.match(line)
        if found is None:
            continue
        words = {word.strip().upper() for word in found["what"].split(",")}
        where = found["where"].replace("`", "").replace('"', "").replace("\\_", "_").replace("%", "*")
        if where in wanted and words & {privilege, "ALL PRIVILEGES", "ALL"}:
            return True
    return False


def event_schemas(grants: Sequence[str]) -> set[str]:
    """Schemas on which the account itself has EVENT; "*" for all."""
    found = {match["where"].replace("`", "") for line in grants if (match := GRANT.match(line)) and _is_event(match)}
    return {where.removesuffix(".*") for where in found if where.endswith(".*")}


def _is_event(match: re.Match[str]) -> bool:
    return bool({word.strip().upper() for word in match["what"].split(",")} & {"EVENT", "ALL PRIVILEGES"})


def sees_all(seen: Seen, schemas: Sequence[str]) -> bool:
    """True when no event of the watched schemas is hidden from the account."""
    held = event_schemas(seen.grants)
    return seen.by_table or "*" in held or (bool(schemas) and set(schemas) <= held)


def require_view(seen: Seen, schemas: Sequence[str], place: str) -> None:
    """Raises RightMissing where the server would answer an empty list for want of a right."""
    if not seen.by_table and not event_schemas(seen.grants):
        raise RightMissing(f"{place}: {hidden_words(seen, schemas)}")


def hidden_words(seen: Seen, schemas: Sequence[str]) -> str:
    """Why what we see is not all there is."""
    held = event_schemas(seen.grants)
    which = ", ".join(sorted(set(schemas) - held)) or "other schemas"
    return f"events of {which} are hidden from {seen.about['role']}, without an error: {_view_mend(seen)}"


def _view_mend(seen: Seen) -> str:
    account = quoted(str(seen.about["role"]))
    if is_mysql(seen.about):
        return f"GRANT EVENT ON *.* TO {account}; (MySQL has no right to see events that does not change them)"
    return f"{GRANTS}, then {_role(seen, 'headway_view_role')}"


def _role(seen: Seen, role: str) -> str:
    account = quoted(str(seen.about["role"]))
    return f"GRANT {role} TO {account}; SET DEFAULT ROLE {role} FOR {account};"


def is_mysql(about: Row) -> bool:
    """True for MySQL, which has no mysql.event and prepares no CREATE EVENT."""
    return "mariadb" not in str(about["version"]).lower()


def quoted(account: str) -> str:
    """user@host as SQL writes it."""
    user, _, host = account.rpartition("@")
    name, where = user.replace("'", "''"), host.replace("'", "''")
    return f"'{name}'@'{where}'"


def may_start(seen: Seen, act_schema: str) -> bool:
    """Whether the account may call the procedure that starts an event."""
    return holds(seen.grants, "EXECUTE", act_schema, "event_start")


def may_hold(seen: Seen, act_schema: str) -> bool:
    """Whether the account may call the procedures that hold and release."""
    return all(holds(seen.grants, "EXECUTE", act_schema, name) for name in ("event_hold", "event_release"))


def rights(seen: Seen, schemas: Sequence[str], log_table: str | None, act_schema: str) -> tuple[Right, ...]:
    """Each right that is needed, held or with the exact SQL that gives it."""
    return tuple(_rights(seen, schemas, log_table, act_schema))


def _rights(seen: Seen, schemas: Sequence[str], log_table: str | None, act_schema: str) -> Iterator[Right]:
    sees = sees_all(seen, schemas)
    why = "" if sees else "without it the server answers an empty list, or a part, and no error"
    yield Right("see all events", sees, why, "" if sees else _view_mend(seen))
    process = holds(seen.grants, "PROCESS")
    account = quoted(str(seen.about["role"]))
    why = "" if process else "whether a body that says it runs still does cannot be told"
    yield Right("see all processes", process, why, "" if process else f"GRANT PROCESS ON *.* TO {account};")
    if log_table is not None:
        reads = seen.log_is_readable
        why = "" if reads else "not granted, or no such table with the columns of docs/connectors/mysql_events.md"
        yield Right(f"read {log_table}", reads, why, "" if reads else f"GRANT SELECT ON {log_table} TO {account};")
    still = stands_still(seen)
    if still is not None:
        yield still
    yield _act(seen, "rerun or start an event", may_start(seen, act_schema), f"procedure {act_schema}.event_start")
    words = f"procedures {act_schema}.event_hold and event_release"
    yield _act(seen, "hold and release an event", may_hold(seen, act_schema), words)


def stands_still(seen: Seen) -> Right | None:
    """What keeps every event from starting, though all say ENABLED."""
    word = str(seen.about["scheduler"])
    mend = "SET GLOBAL event_scheduler = ON;" if word == "OFF" else "event_scheduler = ON in its settings; restart it"
    return None if word == "ON" else Right("events start here", False, f"the event scheduler is {word}", mend)


def _act(seen: Seen, name: str, held: bool, door: str) -> Right:
    if is_mysql(seen.about):
        return Right(name, False, "MySQL prepares no CREATE EVENT: grants.sql is for MariaDB", "none on MySQL", "act")
    if held:
        return Right(name, True, needed_for="act")
    return Right(name, False, f"no EXECUTE on {door}", f"{GRANTS}, then {_role(seen, 'headway_act_role')}", "act")
