"""Settings of a `sql` system: where the database is, the two queries, and what their columns are called."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, model_validator

from connectors.sdk.field_mapping import PROFILE_PLACES, MappedJobFields, MappedRunFields, States
from connectors.sdk.mapped_actions import MappedCall, MappedVerbs
from connectors.sdk.mapped_liveness import MappedLiveness
from connectors.sdk.option_errors import StrictOptions, formatted_like
from connectors.sdk.secrets import FilePath, SecretRef
from connectors.sdk.transport.postgres import PostgresOptions

PLACE = re.compile(r"\{([a-z_]+(?:\.[a-z_]+)?)\}")
_TEMPLATE = re.compile(r"\{\{|\$\{|\{%")
COLUMN = re.compile(r"[^.\[\]{}%]+")
_QUERY = re.compile(r"\s*(select|with|table|values)\b", re.IGNORECASE)
_CUT = re.compile(
    r"(?<![.\w])(?:(limit)\s+[\d{(]|(fetch\s+(?:first|next))\b|select\s+(?:(?:all|distinct)\s+)?(top)\s+[\d{(])",
    re.IGNORECASE,
)
_COMMENT_OR_QUOTED = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)|'[^']*'|\"[^\"]*\"", re.DOTALL)
_PARENTHESIS = re.compile(r"([()])")
_ACTING = re.compile(r"\s*(select|with|call|exec|insert|update|delete)\b", re.IGNORECASE)
PROCEDURE = re.compile(r"\s*exec\s+([\w.\[\]]+)", re.IGNORECASE)


class SqlSelect(MappedCall):
    """One SELECT of yours."""

    known_places: ClassVar[frozenset[str]] = frozenset()
    begins: ClassVar[re.Pattern[str]] = _QUERY
    what: ClassVar[str] = "SELECT (or WITH)"
    setting = "query"

    query: str
    """Run in a read-only transaction, inside of a SELECT of ours."""

    @property
    def places(self) -> list[str]:
        """The names in braces outside of comments."""
        without_comments = _COMMENT_OR_QUOTED.sub(lambda match: match[0] if match[0][0] in "'\"" else " ", self.query)
        return list(dict.fromkeys(PLACE.findall(without_comments)))

    @model_validator(mode="after")
    def without_code(self, info: ValidationInfo) -> Self:
        """In a profile, whose author may expect a template: nothing but places is filled in."""
        if PROFILE_PLACES in (info.context or {}) and (match := _TEMPLATE.search(self.query)):
            raise ValueError(f"{match[0]!r} is not evaluated: write a name in braces, as {{run}} or {{option.queue}}")
        return self

    @model_validator(mode="after")
    def one_statement(self) -> Self:
        if not self.begins.match(self.query) or ";" in self.query.rstrip().rstrip(";"):
            raise ValueError(f"query is one {self.what}, nothing behind it")
        if quoted := [name for name in self.places if f"'{{{name}}}'" in self.query]:
            raise ValueError(f"write {{{quoted[0]}}} without quotes: it is bound, not put into the text")
        return self


def _top_level(sql: str) -> str:
    """The SQL without comments, strings, quoted names and what is in parentheses; each "(" is kept."""
    pieces, depth = [], 0
    for piece in _PARENTHESIS.split(_COMMENT_OR_QUOTED.sub(" ", sql)):
        if depth == 0:
            pieces.append(piece)
        depth += (piece == "(") - (piece == ")")
    return " ".join(pieces)


class SqlListQuery(SqlSelect):
    """All rows of a list."""

    @model_validator(mode="after")
    def has_all_rows(self) -> Self:
        if cut := _CUT.search(_top_level(self.query)):
            raise ValueError(
                f"query has {cut[cut.lastindex or 0].upper()}: rows behind it would be missing, and a requested run be "
                "called absent. Fix: remove it, Headway reads a limited number of rows at a time itself"
            )
        return self


class SqlJobsQuery(SqlListQuery, MappedJobFields):
    """All jobs, a row each."""


class SqlLostQuery(SqlSelect):
    """How many rows were deleted before they were read: one number."""

    known_places = frozenset({"cursor", "until"})


class SqlRunsQuery(SqlListQuery, MappedRunFields):
    """Runs from {cursor} on, and those of {open}."""

    known_places = frozenset({"cursor", "open"})

    lost: SqlLostQuery | None = None
    """The number of rows with a cursor above {cursor}, up to {until}, that were deleted before they were read."""
    cursor: str = Field(min_length=1)
    """The column of the poll's position: it grows with every new row (a number), or with every change (a time). A row
    with a value in this column only is not a run: it moves the position."""
    cursor_is: Literal["number", "time"] = "number"
    """The type of {cursor}. The query compares numbers with >, times with >=."""

    @model_validator(mode="after")
    def cursor_and_open_runs(self) -> Self:
        if "cursor" not in self.places:
            raise ValueError(f"query needs {{cursor}}, as in WHERE {self.cursor} > {{cursor}}: it says how far we are")
        if self.lost is not None and self.cursor_is != "number":
            raise ValueError('lost: it counts numbers, and cursor_is = "time". Remove it')
        if self.cursor_is == "number" and "open" not in self.places:
            raise ValueError(
                f"a run that was open is read again by its id: WHERE {self.cursor} > {{cursor}} OR "
                f"{self.id}::text = ANY({{open}})"
            )
        return self


class SqlLivenessQuery(SqlSelect, MappedLiveness):
    """A row that shows whether the scheduler starts jobs."""


class SqlLogQuery(SqlSelect):
    """The log of one run: the first column of all rows, in their order."""

    known_places = frozenset({"run", "id", "job"})

    @model_validator(mode="after")
    def names_its_run(self) -> Self:
        if not {"run", "id"} & set(self.places):
            raise ValueError("query needs {run}, as in WHERE run = {run} ORDER BY n")
        return self


class SqlVerbQuery(SqlSelect):
    """One statement of yours that acts, best a call of a function: SELECT batch.retry({run}, {key})."""

    known_places = frozenset({"run", "job", "period", "key"})
    title: str = ""
    """Native name of the action: "retry the task"."""
    begins, what = _ACTING, "SELECT, WITH, CALL, EXEC, INSERT, UPDATE or DELETE"

    query: str
    """Run in one transaction of its own, as the user above; {run}, {job}, {period} and {key} are bound."""


class SqlHoldQuery(SqlVerbQuery):
    """One statement that enables or disables a job and writes a text of it, which takes the mark: both, or nothing."""

    known_places = frozenset({"job", "enabled", "note"})

    query: str
    """Run as a verb's; {enabled} is 1 or 0."""
    note: Annotated[str, formatted_like(r"\w+", "note")]
    """The column of a job with the text."""

    @model_validator(mode="after")
    def writes_all(self) -> Self:
        if missing := sorted(self.known_places - {*self.places}):
            raise ValueError(f"hold: send {{{missing[0]}}}")
        return self


class SqlMapping(StrictOptions):
    """How tables are read, and the statements of actions."""

    overlap: float = Field(default=60.0, ge=0, le=86_400)
    """Seconds that a row may be committed behind others: a missing number is read again for so long, and rows are read
    again from so long before the newest time."""
    jobs: SqlJobsQuery
    """The jobs."""
    runs: SqlRunsQuery
    """The runs."""
    states: States
    """Its states of a run, and ours."""
    log: SqlLogQuery | None = None
    """The log of a run."""
    liveness: SqlLivenessQuery | None = None
    """Whether the scheduler starts jobs."""
    hold: SqlHoldQuery | None = None
    """How a job is disabled under a mark."""
    verbs: MappedVerbs[SqlVerbQuery] = MappedVerbs()
    """The statements of actions."""

    @model_validator(mode="after")
    def actions_are_found_again(self) -> Self:
        self.verbs.require_key(self.runs.key)
        if (self.verbs.rerun or self.verbs.start) and not COLUMN.fullmatch(self.runs.key):
            raise ValueError(f"runs.key = {self.runs.key!r} is not a column: name it in the query, with AS")
        changed = "verbs.cancel" if self.verbs.cancel else "verbs.mark" if self.verbs.mark else ""
        if changed and "open" not in self.runs.places:
            raise ValueError(
                f"{changed}: its result could not be looked up. Add to runs.query: "
                f"OR {self.runs.id}::text = ANY({{open}})"
            )
        self.verbs.require_places("run")
        return self


class DsnOptions(StrictOptions):
    """Where the database is, and who signs in."""

    dsn: SecretRef
    """The address, as a reference because it holds a password: mssql://user:password@host:1433/database."""
    sslrootcert: FilePath | None = None
    """The CA that is trusted; the machine's own when not given. `check` reports ?tls=off in the DSN each time."""


class SqlOptions(PostgresOptions, SqlMapping):
    """Where the database is, who signs in, and how its tables are read."""

    @model_validator(mode="after")
    def holds_by_a_profile(self) -> Self:
        if self.hold is not None:
            raise ValueError("hold: only a profile holds; write one with headway connector new NAME --profile")
        return self
