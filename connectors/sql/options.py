"""Settings of a `sql` system: where the database is, the two queries, and what their columns are called."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.mapped_fields import JobFields, RunFields, States
from connectors.transport.postgres import PostgresOptions

PLACE = re.compile(r"\{([a-z_]+)\}")
_QUERY = re.compile(r"\s*(select|with|table|values)\b", re.IGNORECASE)


class Query(BaseModel):
    """One SELECT of yours."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str
    """Run in a read-only transaction, inside of a SELECT of ours."""

    def check(self, known: set[str]) -> None:
        if not _QUERY.match(self.query) or ";" in self.query.rstrip().rstrip(";"):
            raise ValueError("query is one SELECT (or WITH), nothing behind it")
        odd = sorted(set(PLACE.findall(self.query)) - known)
        if odd:
            names = ", ".join(f"{{{name}}}" for name in sorted(known)) or "none"
            raise ValueError(f"{{{odd[0]}}} means nothing in this query; there are {names}")


class JobsQuery(Query, JobFields):
    """All jobs, a row each."""

    @model_validator(mode="after")
    def known_places(self) -> Self:
        self.check(set())
        return self


class RunsQuery(Query, RunFields):
    """Runs from {cursor} on, and those of {open}."""

    cursor: str = Field(min_length=1)
    """The column that tells how far we are: it grows with every new row (a number), or with every change (a time)."""
    cursor_is: Literal["number", "time"] = "number"
    """What {cursor} is bound as. Numbers are asked for with >, times with >=."""

    @model_validator(mode="after")
    def known_places(self) -> Self:
        self.check({"cursor", "open"})
        if "{cursor}" not in self.query:
            raise ValueError(f"query needs {{cursor}}, as in WHERE {self.cursor} > {{cursor}}: it says how far we are")
        if self.cursor_is == "number" and "{open}" not in self.query:
            raise ValueError(
                f"a run that was open is read again by its id: WHERE {self.cursor} > {{cursor}} OR "
                f"{self.id}::text = ANY({{open}})"
            )
        return self


class LogQuery(Query):
    """The log of one run: one row, one text."""

    @model_validator(mode="after")
    def known_places(self) -> Self:
        self.check({"id"})
        if "{id}" not in self.query:
            raise ValueError("query needs {id}, as in WHERE id::text = {id}")
        return self


class SqlOptions(PostgresOptions):
    """Where the database is and who looks, and how its tables are read."""

    overlap: float = Field(default=60.0, ge=0, le=86_400)
    """Seconds that a row may be committed behind others: so long a missing number is asked for again, and so long
    before the newest time rows are read again."""
    jobs: JobsQuery
    """The jobs."""
    runs: RunsQuery
    """The runs."""
    states: States
    """Its words for a run's state, and ours."""
    log: LogQuery | None = None
    """What a run left as text."""
