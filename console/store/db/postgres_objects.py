"""The objects of a store's schema on PostgreSQL, and the grants on them, as the catalogs list them. Only the owner can
add or change any."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from console.store.db.session import Row, Session

NEW_STORE = Path(__file__).with_name("postgres_objects.json")
"""The objects of a new store; `python -m tests.lab.postgres_objects` writes it."""
Objects = frozenset[tuple[str, str]]
"""Names, such as "trigger x on switch", with definitions."""
_GRANTS = Path(__file__).parents[1] / "grants.sql"
_OF_GRANTS = "p.proname LIKE 'headway!_%' ESCAPE '!' AND p.proname NOT LIKE 'headway!_audit!_%' ESCAPE '!'"
"""Functions of grants.sql: an upgrade leaves those of the version before until its grants are run."""
_HOME = """
    WITH home AS (
        SELECT n.oid, n.nspname, n.nspowner, n.nspacl, quote_ident(n.nspname) AS quoted, a.relowner AS owner
        FROM pg_class a JOIN pg_namespace n ON n.oid = a.relnamespace WHERE a.oid = CAST('audit' AS regclass)),
    content AS (
        SELECT d.classid, d.objid FROM pg_depend d JOIN home h ON d.refobjid = h.oid
        WHERE d.refclassid = CAST('pg_namespace' AS regclass) AND d.deptype = 'n'
        AND d.classid <> CAST('pg_extension' AS regclass) AND NOT EXISTS (
            SELECT 1 FROM pg_depend e WHERE (e.classid, e.objid, e.deptype) = (d.classid, d.objid, 'e'))),
    relation AS (
        SELECT c.* FROM pg_class c JOIN content x ON (x.classid, x.objid) = (CAST('pg_class' AS regclass), c.oid)),
    own AS (SELECT * FROM relation WHERE relkind IN ('r', 'p')),
    function AS (
        SELECT p.oid, p.proname, p.proacl, p.proowner, pg_get_function_identity_arguments(p.oid) AS arguments, concat(
            md5(p.prosrc), ' ', p.prosecdef, ' ', NOT EXISTS (
                SELECT 1 FROM unnest(p.proconfig) AS setting WHERE setting !~ '^lock_timeout='
                AND setting NOT IN ('search_path=' || h.quoted || ', pg_temp',
                                    'search_path=pg_catalog, ' || h.quoted || ', pg_temp')),
            CASE WHEN p.proisstrict THEN ' strict' END,
            CASE WHEN p.proowner <> h.owner THEN ' of ' || CAST(p.proowner AS regrole) END) AS definition
        FROM home h, pg_proc p
        JOIN content x ON (x.classid, x.objid) = (CAST('pg_proc' AS regclass), p.oid))"""
"""The store's schema, and what is in it without extensions and their members. A function's definition has its body and
whether it runs as its owner, with no setting of another hand; and what the body does not show: that it is skipped for a
NULL, or belongs to another role, which may replace it."""
_SELECT_OBJECTS = f"""{_HOME},
    object (name, definition) AS (
        SELECT i.type || ' ' || i.identity, '' FROM content x, pg_identify_object(x.classid, x.objid, 0) i
        WHERE x.objid NOT IN (SELECT oid FROM own UNION ALL SELECT oid FROM function)
        UNION ALL SELECT 'table ' || o.relname, concat(o.relpersistence, o.relrowsecurity, o.relforcerowsecurity,
            CASE WHEN o.relowner <> h.owner THEN ' of ' || CAST(o.relowner AS regrole) END) FROM own o, home h
        UNION ALL SELECT 'column ' || o.relname || '.' || f.attname, concat(
            format_type(f.atttypid, f.atttypmod), CASE WHEN f.attnotnull THEN ' NOT NULL' END, f.attgenerated,
            f.attidentity, ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid))
        FROM own o JOIN pg_attribute f ON f.attrelid = o.oid AND f.attnum > 0 AND NOT f.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = f.attrelid AND d.adnum = f.attnum
        UNION ALL SELECT 'function ' || p.proname || '(' || p.arguments || ')', p.definition
        FROM function p WHERE NOT ({_OF_GRANTS})
        UNION ALL SELECT 'trigger ' || t.tgname || ' on ' || o.relname, pg_get_triggerdef(t.oid)
        FROM pg_trigger t JOIN own o ON o.oid = t.tgrelid WHERE NOT t.tgisinternal
        UNION ALL SELECT 'rule ' || r.rulename || ' on ' || o.relname, ''
        FROM pg_rewrite r JOIN own o ON o.oid = r.ev_class
        UNION ALL SELECT 'policy ' || p.polname || ' on ' || o.relname, ''
        FROM pg_policy p JOIN own o ON o.oid = p.polrelid
        UNION ALL SELECT 'table ' || CAST(i.inhrelid AS regclass) || ' inherits ' || o.relname, ''
        FROM pg_inherits i JOIN own o ON o.oid = i.inhparent
        UNION ALL SELECT 'constraint ' || k.conname || ' on ' || CAST(k.conrelid AS regclass),
            pg_get_constraintdef(k.oid)
        FROM pg_constraint k WHERE k.contype NOT IN ('n', 't')
        AND (k.conrelid IN (SELECT oid FROM own) OR k.confrelid IN (SELECT oid FROM own))
        UNION ALL SELECT 'index ' || i.name || ' on ' || o.relname,
            replace(pg_get_indexdef(x.indexrelid), ' INDEX ' || c.relname || ' ON ', ' INDEX ' || i.name || ' ON ')
        FROM pg_index x JOIN own o ON o.oid = x.indrelid JOIN pg_class c ON c.oid = x.indexrelid
        CROSS JOIN LATERAL (SELECT regexp_replace(c.relname, '_cc(new|old)[0-9]*$', '') AS name) i
        WHERE NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conrelid = o.oid AND (k.conindid = c.oid
            OR (k.conname = i.name AND k.contype IN ('p', 'u') AND x.indexprs IS NULL AND x.indpred IS NULL))))
    SELECT CASE WHEN name LIKE 'column %' THEN name ELSE replace(name, quoted || '.', '') END AS name,
        replace(definition, quoted || '.', '') AS definition
    FROM object, home"""  # noqa: S608  (our own text)
"""'n' and 't': constraints that say what a column and a trigger say, on some versions of the server. Indexes have the
names of those that REINDEX CONCURRENTLY is replacing."""
_SELECT_FUNCTIONS = f"{_HOME} SELECT proname AS name, arguments, definition FROM function p WHERE {_OF_GRANTS}"  # noqa: S608
_SELECT_GRANTS = f"""{_HOME},
    item (kind, name, owner, acl) AS (
        SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, c.relname, c.relowner, c.relacl FROM relation c
        UNION ALL SELECT 'column', c.relname || '.' || f.attname, c.relowner, f.attacl
        FROM relation c JOIN pg_attribute f ON f.attrelid = c.oid
        UNION ALL SELECT 'function', p.proname, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
        FROM function p WHERE {_OF_GRANTS}
        UNION ALL SELECT 'schema', nspname, nspowner, nspacl FROM home
        UNION ALL SELECT 'later ' || CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f'
            THEN 'functions' WHEN 'T' THEN 'types' ELSE 'schemas' END, '', h.owner, d.defaclacl
        FROM pg_default_acl d JOIN home h ON d.defaclnamespace IN (0, h.oid) AND d.defaclrole = h.owner)
    SELECT i.kind, i.name, a.privilege_type AS privilege, coalesce(r.rolname, 'PUBLIC') AS role, a.is_grantable
    FROM item i CROSS JOIN LATERAL aclexplode(i.acl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE a.grantee NOT IN (SELECT i.owner UNION ALL SELECT h.owner FROM home h) ORDER BY 1, 2, 3, 4"""  # noqa: S608  (our own text)
_OWN_GRANTS: Mapping[tuple[str, str], str] = {
    ("headway_store_view", "schema"): "USAGE",
    ("headway_store_view", "table"): "SELECT",
    ("headway_store_view", "table request"): "",
    ("headway_store_view", "column request.state"): "SELECT",
    ("headway_store_engine", "schema"): "USAGE",
    ("headway_store_engine", "table"): "SELECT INSERT UPDATE DELETE",
    ("headway_store_engine", "table audit"): "SELECT INSERT",
    ("headway_store_engine", "table alembic_version"): "SELECT",
    ("headway_store_engine", "sequence"): "USAGE SELECT UPDATE",
    ("PUBLIC", "schema"): "USAGE",
}
"""Privileges that grants.sql gives, or PostgreSQL, by role and kind; those of one object before those of its kind."""


def postgres_objects(session: Session) -> Objects:
    """The schema's objects, without the functions of grants.sql."""
    return frozenset((row.name, row.definition) for row in session.rows(_SELECT_OBJECTS))


def new_objects() -> Objects:
    """The objects of a new store."""
    objects: dict[str, str] = json.loads(NEW_STORE.read_text(encoding="utf-8"))
    return frozenset(objects.items())


def foreign_grants(session: Session) -> tuple[str, ...]:
    """Grants that grants.sql does not give, and functions that it does not make, or not in this form. They start no
    trigger: an engine works on such a store, and `headway audit verify` names them."""
    helpers, clients = _functions()
    expected = helpers | clients
    functions = [
        f"function {row.name}"
        for row in session.rows(_SELECT_FUNCTIONS)
        if expected.get(f"{row.name}({row.arguments})") != row.definition
    ]
    own = dict(_OWN_GRANTS)
    own |= {("headway_store_act", f"function {name.partition('(')[0]}"): "EXECUTE" for name in clients}
    grants = [
        f"grant {row.privilege} on {row.kind} {row.name}".rstrip() + f" to {row.role}"
        for row in session.rows(_SELECT_GRANTS)
        if not _is_own_grant(row, own)
    ]
    return (*sorted(set(functions)), *grants)


def _is_own_grant(row: Row, own: Mapping[tuple[str, str], str]) -> bool:
    of_kind = own.get((row.role, row.kind), "")
    return not row.is_grantable and row.privilege in own.get((row.role, f"{row.kind} {row.name}"), of_kind).split()


@cache
def _functions() -> tuple[dict[str, str], dict[str, str]]:
    """The definitions that grants.sql makes, by name and arguments: of its helpers, and of the functions for clients,
    which run as the owner."""
    helpers, _, clients = _GRANTS.read_text(encoding="utf-8").partition("\n-- For clients.\n")
    return _definitions(helpers, runs_as_owner="f"), _definitions(clients, runs_as_owner="t")


def _definitions(source: str, runs_as_owner: str) -> dict[str, str]:
    definitions: dict[str, str] = {}
    for function in re.split("CREATE (?:OR REPLACE )?FUNCTION ", source)[1:]:
        head, body, _ = function.split("$$", 2)
        name, _, arguments = head.partition(" RETURNS ")[0].rstrip(")").partition("(")
        digest = hashlib.md5(body.encode()).hexdigest()  # noqa: S324
        definitions[f"{name}({' '.join(arguments.split())})"] = f"{digest} {runs_as_owner} t"
    return definitions
