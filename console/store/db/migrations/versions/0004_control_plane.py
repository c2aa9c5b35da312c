"""The control plane: expectations, dependencies, promises and alert routing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

from console.store.db.migrate import add_columns, create_table

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    _incidents()
    _promises()
    _calendars()
    _dependencies()
    _findings()
    _checks()
    _alerting()


def _promises() -> None:
    add_columns("job", "budget_s float?, budget_cost float?")
    op.create_index("job_budget", "job", ["budget_cost"])
    add_columns("service", "promise text={}")
    add_columns("service_day", "promised_us big?, agreed_us big?, extension text=, instance text=, submission text=")
    on_postgres = op.get_bind().dialect.name == "postgresql"
    known = "service_day_service_id_bd_key" if on_postgres else "uq_service_day_service_id"
    convention = {"uq": "uq_%(table_name)s_%(column_0_name)s"}
    with op.batch_alter_table("service_day", naming_convention=convention) as day:
        day.drop_constraint(known, type_="unique")
        day.create_unique_constraint("service_day_once", ["service_id", "bd", "submission"])
        day.create_index("service_day_bd", ["bd"])
    with op.batch_alter_table("incident_service", naming_convention={"pk": "%(table_name)s_pkey"}) as hurt:
        hurt.add_column(sa.Column("submission", sa.Text(), nullable=False, server_default=""))
        hurt.drop_constraint("incident_service_pkey", type_="primary")
        hurt.create_primary_key("incident_service_pkey", ["incident_id", "service_id", "bd", "submission"])
    create_table(
        "extension",
        "id big, service_id int, bd text, until_us big, by text, why text, at_us big",
        sa.ForeignKeyConstraint(["service_id"], ["service.id"]),
    )
    op.create_index("extension_day", "extension", ["service_id", "bd"])
    op.create_index("extension_until", "extension", ["until_us"])


def _incidents() -> None:
    """Roots that many jobs share, what was split from what, and how often one came back."""
    add_columns(
        "incident",
        "root_shared text=, split_from big?, reopened int=0, flaps int=0, flaps_since_us big?, changes text=[]",
    )
    add_columns("target", "booted_us big?")


def _calendars() -> None:
    """Names of the calendars whose days have a promise, or on which a run is expected."""
    for table in ("job", "service"):
        add_columns(table, "calendar text=")


def _dependencies() -> None:
    """Conditions, other periods and gates; partial inputs of runs."""
    add_columns(
        "dependency",
        "condition text=success, check_name text=, period text=same, calendar text=, within_s float?, gate text=, "
        "need int=0",
    )
    add_columns("run", "partial_input text=")


def _findings() -> None:
    add_columns("incident", "rule text=")
    create_table(
        "finding",
        "id big, job_id int, run_id big?, rule text, period_key text, bd text, close_reason text, words text, "
        "evidence text, severity text, since_us big, opened_us big, closed_us big?",
    )
    is_open = sa.text("closed_us IS NULL")
    op.create_index("finding_open", "finding", ["job_id"], sqlite_where=is_open, postgresql_where=is_open)
    op.create_index("finding_job", "finding", ["job_id", "id"])
    op.create_index("finding_run", "finding", ["run_id"])


def _checks() -> None:
    """Data checks: results, waiting services, and incidents caused by them."""
    create_table(
        "check_result",
        "id big, name text, bd text, state text, since_us big, at_us big, looks int, measured text, row_count big?, "
        "words text, changed_seq big",
    )
    op.create_index("check_result_of", "check_result", ["name", "bd"])
    op.create_index("check_result_bd", "check_result", ["bd"])
    add_columns("service", "ready text=[]")
    add_columns("service_day", "awaits text=[]")
    add_columns("incident", "root_check text=")


def _alerting() -> None:
    """Notifications and suppressions per route; open incidents are not notified again."""
    create_table(
        "alert_told",
        "incident_id big, route text, words text, fingerprint text, first_us big, last_us big, times int",
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"]),
        sa.PrimaryKeyConstraint("incident_id", "route", "words"),
    )
    create_table(
        "alert_held",
        "id big, incident_id big, route text, words text, kind text, stage text, why text, since_us big, "
        "until_us big?, ended_us big?, ended_why text",
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"]),
    )
    op.create_index("alert_held_incident", "alert_held", ["incident_id", "id"])
    op.create_index("alert_held_open", "alert_held", ["ended_us"])
    op.create_index("alert_held_since", "alert_held", ["since_us"])
    op.create_index("alert_made", "alert", ["made_us"])
    _said_by_people()
    create_table(
        "rota", "name text, source text, text text, shifts text, until_us big, read_us big, tried_us big, error text"
    )
    _already_told(op.get_bind())


def _already_told(connection: sa.Connection) -> None:
    """Past notifications of open incidents, for each of the three texts."""
    rows = connection.execute(
        sa.text(
            "SELECT i.id, a.route, i.fingerprint, min(a.made_us), max(a.made_us), count(*)"
            " FROM incident i JOIN alert a ON a.incident_id = i.id AND a.kind IN ('opened', 'updated')"
            " WHERE i.closed_us IS NULL GROUP BY i.id, a.route, i.fingerprint"
        )
    ).all()
    insert = sa.text(
        "INSERT INTO alert_told (incident_id, route, words, fingerprint, first_us, last_us, times)"
        " VALUES (:id, :route, :words, :fingerprint, :first, :last, :times)"
    )
    for number, route, fingerprint, first, last, times in rows:
        technical = _technical(fingerprint)
        for words, said in (
            ("technical", technical), ("shadow", technical), ("business", _business(connection, number)),
        ):  # fmt: skip
            row = {"id": number, "route": route, "words": words, "fingerprint": said}
            connection.execute(insert, {**row, "first": first, "last": last, "times": times})


def _technical(fingerprint: str) -> str:
    """Root, services and end. An unreadable one stays and is notified again."""
    try:
        return json.dumps(json.loads(fingerprint)[:3], separators=(",", ":"))
    except (ValueError, TypeError):
        return fingerprint


def _business(connection: sa.Connection, incident_id: int) -> str:
    """Status of each affected service, with the minute of its expected finish."""
    rows = connection.execute(
        sa.text(
            "SELECT s.name, h.bd, h.timeliness, h.expected_us FROM incident_service h JOIN service s"
            " ON s.id = h.service_id WHERE h.incident_id = :id"
        ),
        {"id": incident_id},
    )
    return json.dumps(sorted([name, bd, stands, _minute(at)] for name, bd, stands, at in rows), separators=(",", ":"))


def _minute(at_us: int | None) -> str:
    if at_us is None:
        return ""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=at_us // 60_000_000)).isoformat()


def _said_by_people() -> None:
    """Acknowledgements, silences and usefulness of alerts."""
    create_table(
        "acknowledgement",
        "id big, incident_id big, made_by text, why text, made_us big, until_us big, ended_us big?, ended_by text",
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"]),
    )
    op.create_index("acknowledgement_incident", "acknowledgement", ["incident_id", "id"])
    create_table(
        "silence",
        "id big, matchers text, from_us big, until_us big, why text, made_by text, made_us big, ended_us big?, "
        "ended_by text",
    )
    op.create_index("silence_until", "silence", ["until_us"])
    create_table(
        "alert_useful",
        "alert_id big, useful bool, said_by text, why text, said_us big",
        sa.ForeignKeyConstraint(["alert_id"], ["alert.id"]),
    )
