"""Datasets and facets of jobs, as OpenLineage events report them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0110"
down_revision = "0109"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "job_dataset",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("is_output", sa.Boolean(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("producer", sa.Text(), nullable=False),
        sa.Column("seen_us", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "is_output", "dataset"),
    )
    op.create_index("job_dataset_dataset", "job_dataset", ["dataset", "is_output"])
    op.create_table(
        "job_facet",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("producer", sa.Text(), nullable=False),
        sa.Column("seen_us", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "name"),
    )
