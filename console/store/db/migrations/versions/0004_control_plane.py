"""The control plane: what is expected, what feeds what, what was promised, and who must know."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

from console.store.db.migrate import create_table

revision = "0004"
down_revision = "0003"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _incidents()
    _promises()
    _calendars()
    _dependencies()
    _findings()
    _checks()
    _alerting()


def _promises() -> None:
    for name in ("budget_s", "budget_cost"):
        op.add_column("job", sa.Column(name, sa.Float(), nullable=True))
    op.create_index("job_budget", "job", ["budget_cost"])
    with op.batch_alter_table("service") as service:
        service.add_column(sa.Column("promise", sa.Text(), nullable=False, server_default="{}"))
    with op.batch_alter_table("service_day") as day:
        for name in ("promised_us", "agreed_us"):
            day.add_column(sa.Column(name, BIG, nullable=True))
        for name in ("extension", "instance", "submission"):
            day.add_column(sa.Column(name, sa.Text(), nullable=False, server_default=""))
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
    with op.batch_alter_table("incident") as incident:
        incident.add_column(sa.Column("root_shared", sa.Text(), nullable=False, server_default=""))
        incident.add_column(sa.Column("split_from", BIG, nullable=True))
        incident.add_column(sa.Column("reopened", sa.Integer(), nullable=False, server_default="0"))
        incident.add_column(sa.Column("flaps", sa.Integer(), nullable=False, server_default="0"))
        incident.add_column(sa.Column("flaps_since_us", BIG, nullable=True))
        incident.add_column(sa.Column("changes", sa.Text(), nullable=False, server_default="[]"))
    with op.batch_alter_table("target") as target:
        target.add_column(sa.Column("booted_us", BIG, nullable=True))


def _calendars() -> None:
    """Names of the calendars whose days have a promise, or on which a run is expected."""
    for table in ("job", "service"):
        op.add_column(table, sa.Column("calendar", sa.Text(), nullable=False, server_default=""))


def _dependencies() -> None:
    """Conditions, other periods and gates; and of runs what they read that was partial."""
    with op.batch_alter_table("dependency") as dependency:
        dependency.add_column(sa.Column("condition", sa.Text(), nullable=False, server_default="success"))
        dependency.add_column(sa.Column("check_name", sa.Text(), nullable=False, server_default=""))
        dependency.add_column(sa.Column("period", sa.Text(), nullable=False, server_default="same"))
        dependency.add_column(sa.Column("calendar", sa.Text(), nullable=False, server_default=""))
        dependency.add_column(sa.Column("within_s", sa.Float(), nullable=True))
        dependency.add_column(sa.Column("gate", sa.Text(), nullable=False, server_default=""))
        dependency.add_column(sa.Column("need", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("partial_input", sa.Text(), nullable=False, server_default=""))


def _findings() -> None:
    with op.batch_alter_table("incident") as incident:
        incident.add_column(sa.Column("rule", sa.Text(), nullable=False, server_default=""))
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
    """What is asked of data: the looks at it, who waits for them, and incidents whose cause is one."""
    create_table(
        "check_result",
        "id big, name text, bd text, state text, since_us big, at_us big, looks int, measured text, row_count big?, "
        "words text, changed_seq big",
    )
    op.create_index("check_result_of", "check_result", ["name", "bd"])
    op.create_index("check_result_bd", "check_result", ["bd"])
    op.add_column("service", sa.Column("ready", sa.Text, nullable=False, server_default="[]"))
    op.add_column("service_day", sa.Column("awaits", sa.Text, nullable=False, server_default="[]"))
    op.add_column("incident", sa.Column("root_check", sa.Text, nullable=False, server_default=""))


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _alerting() -> None:
    """What each route was told and what is held back; what open incidents had told before is not told anew."""
    op.create_table(
        "alert_told",
        sa.Column("incident_id", BIG, sa.ForeignKey("incident.id"), nullable=False),
        *map(_text, ("route", "words", "fingerprint")),
        sa.Column("first_us", BIG, nullable=False),
        sa.Column("last_us", BIG, nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "route", "words"),
    )
    op.create_table(
        "alert_held",
        sa.Column("id", BIG, nullable=False),
        sa.Column("incident_id", BIG, sa.ForeignKey("incident.id"), nullable=False),
        *map(_text, ("route", "words", "kind", "stage", "why")),
        sa.Column("since_us", BIG, nullable=False),
        sa.Column("until_us", BIG, nullable=True),
        sa.Column("ended_us", BIG, nullable=True),
        _text("ended_why"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("alert_held_incident", "alert_held", ["incident_id", "id"])
    op.create_index("alert_held_open", "alert_held", ["ended_us"])
    op.create_index("alert_held_since", "alert_held", ["since_us"])
    op.create_index("alert_made", "alert", ["made_us"])
    _said_by_people()
    op.create_table(
        "rota",
        *map(_text, ("name", "source", "text", "shifts")),
        *(sa.Column(name, BIG, nullable=False) for name in ("until_us", "read_us", "tried_us")),
        _text("error"),
        sa.PrimaryKeyConstraint("name"),
    )
    _already_told(op.get_bind())


def _already_told(connection: sa.Connection) -> None:
    """What open incidents had told: all of it in technical words, which said what business words say, and what the
    shadow route saw."""
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
    """Root, services and end: a route is told of no other's shadow. What cannot be read stays, and is told anew."""
    try:
        return json.dumps(json.loads(fingerprint)[:3], separators=(",", ":"))
    except (ValueError, TypeError):
        return fingerprint


def _business(connection: sa.Connection, incident_id: int) -> str:
    """How each hurt service stands, and the minute in which it is expected."""
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
    """Acknowledgements, silences, and what was said of an alert."""
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
