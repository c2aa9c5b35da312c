"""`[checks.NAME]` by its kind: of which table, file, address or object something is asked, and how we get there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from connectors.checks.questions import (
    HttpQuestion,
    ObjectQuestion,
    SqlQuestion,
    refuse_no_condition,
    refuse_other_braces,
    refuse_other_than_select,
    refuse_unreadable_path,
)
from connectors.secrets import FilePath, SecretRef
from console.config.check_settings import (
    CheckSettings,
    Column,
    Dated,
    ExpectSettings,
    FreshSettings,
    LimitSettings,
    RowSettings,
)
from console.config.models import Pause
from console.model.checks import Asks, Band


def refuse_open(address: str, plain_http: bool) -> None:
    """ValueError for an address over which a secret could leak."""
    from connectors.transport.http import checked_origin  # noqa: PLC0415 - most estates check no address

    checked_origin(address, plain_http)


def _rows(value: Any) -> Any:
    return {"band": True} if value == "band" else value


def _keys(value: Any) -> Any:
    return [[one] if isinstance(one, str) else one for one in value] if isinstance(value, list) else value


def _table(name: str) -> str:
    parts = name.split(".")
    if not all(parts) or len(parts) > 3:
        raise ValueError(f'"{name}" is no table; write "supply.rows": its schema, a dot, its name')
    return name


class SqlSettings(CheckSettings):
    systems: ClassVar[tuple[str, ...]] = ("pg_cron",)
    kind: Literal["sql"]
    system: str | None = None
    """A pg_cron system, whose database and login are used."""
    dsn: SecretRef | None = None
    """Another PostgreSQL: its whole connection string."""
    table: Annotated[str, AfterValidator(_table)] | None = None
    """ "supply.rows": its schema, a dot, its name."""
    where: Annotated[str, AfterValidator(refuse_no_condition)] = ""
    """Which rows; {bd} is the business date, bound as a date."""
    rows: Annotated[RowSettings | None, BeforeValidator(_rows)] = None
    """ "band", or { min, max, band, days, tolerance }."""
    fresh: FreshSettings | None = None
    """How old the newest row may be."""
    unique: Annotated[tuple[Annotated[tuple[Column, ...], Field(min_length=1)], ...], BeforeValidator(_keys)] = ()
    """Keys that no two rows share: a column, or a list of columns that are one key together."""
    not_null: tuple[Column, ...] = ()
    """Columns that every row fills."""
    columns: Mapping[Column, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    """Columns that must be there, with their types."""
    query: Annotated[str, AfterValidator(refuse_other_than_select)] = ""
    """A SELECT of one value, in place of a table; {bd} as in where."""
    expect: ExpectSettings | None = None
    """What that value must be."""

    @model_validator(mode="after")
    def one_question(self) -> SqlSettings:
        if (self.system is None) == (self.dsn is None):
            raise ValueError("either system (a pg_cron system) or dsn is needed")
        if bool(self.table) == bool(self.query):
            raise ValueError("either table or query is needed")
        if bool(self.query) != (self.expect is not None):
            raise ValueError("query and expect belong together: what must its value be?")
        if self.query and self._of_a_table():
            raise ValueError(f"{', '.join(self._of_a_table())} ask of a table, not of a query")
        if self.table and not [name for name in self._of_a_table() if name != "where"]:
            raise ValueError("nothing is asked of the table: add rows, fresh, unique, not_null or columns")
        if "{bd:" in self.where + self.query:
            raise ValueError("the date is bound, and takes no format here: write to_char({bd}, 'YYYYMMDD')")
        return self

    def _of_a_table(self) -> list[str]:
        names = ("where", "rows", "fresh", "unique", "not_null", "columns")
        return [name for name in names if getattr(self, name)]

    def asks(self) -> Asks:
        rows = self.rows or RowSettings.model_construct()
        return Asks(
            band=Band(rows.days, rows.tolerance) if rows.band else None,
            rows_min=rows.min,
            rows_max=rows.max,
            fresh=self.fresh.within if self.fresh else None,
            unique=self.unique,
            not_null=self.not_null,
            columns=tuple(self.columns.items()),
            value=self.expect.comparisons() if self.expect else (),
        )

    def question(self, zone: str) -> SqlQuestion:
        return SqlQuestion(
            tuple((self.table or "").split(".")) if self.table else (), self.where, self.rows is not None,
            self.fresh.column if self.fresh else "", self.unique, self.not_null, bool(self.columns), self.query, zone,
        )  # fmt: skip

    def about(self) -> str:
        where = f"on {self.system}" if self.system else "of a dsn"
        return f"table {self.table} {where}" if self.table else f"a query {where}"


class AgedSettings(CheckSettings):
    size: LimitSettings | None = None
    """Bytes."""
    age: Pause | None = None
    """How long ago it may have been written."""

    def asks(self) -> Asks:
        size = self.size or LimitSettings.model_construct()
        return Asks(there=True, size_min=size.min, size_max=size.max, age=self.age)


class FileSettings(AgedSettings):
    systems: ClassVar[tuple[str, ...]] = ("cron",)
    kind: Literal["file"]
    path: Dated
    """The file, from the root on; {bd} and {bd:%Y%m%d} are the business date."""
    system: str | None = None
    """A cron system by whose door the file is looked at, with target."""
    target: str | None = None
    """Which of its hosts."""
    host: str | None = None
    """Another host, by SSH; without it and system, a file of the engine's own machine."""
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: str = "headway"
    key: FilePath | SecretRef | None = None
    """Private key: a file, or a reference to its text."""
    key_passphrase: SecretRef | None = None
    known_hosts: FilePath = Path("~/.ssh/known_hosts")

    @model_validator(mode="after")
    def one_place(self) -> FileSettings:
        if not self.path.startswith("/"):
            raise ValueError("path must begin at the root: /data/…")
        if self.system is not None and self.host is not None:
            raise ValueError("system already says which host: drop host")
        if (self.system is None) != (self.target is None):
            raise ValueError("system and target belong together: which of its hosts?")
        if self.host is not None and self.key is None:
            raise ValueError("host needs key, the private key of its user")
        return self

    def about(self) -> str:
        place = f"{self.target} of {self.system}" if self.system else self.host or "this machine"
        return f"file {self.path} on {place}"


class HttpSettings(CheckSettings):
    kind: Literal["http"]
    url: Dated
    """Address; {bd} and {bd:%Y%m%d} are the business date. No credentials in it."""
    headers: Mapping[str, SecretRef] = Field(default_factory=dict)
    """Headers to send, as references."""
    token: SecretRef | None = None
    """Sent as Authorization: Bearer."""
    username: str = ""
    password: SecretRef | None = None
    ca_file: FilePath | None = None
    plain_http: bool = False
    """Allows http:// to what is not this machine."""
    json_path: Annotated[str, AfterValidator(refuse_unreadable_path)] = ""
    """Where the value is in the answer: "data.items[0].rows"; a list counts as its length."""
    expect: ExpectSettings | None = None
    """What that value must be."""
    fresh: Pause | None = None
    """The value is a time, and may be so old."""

    @model_validator(mode="after")
    def one_sender(self) -> HttpSettings:
        parts = urlsplit(self.url)
        refuse_open(f"{parts.scheme}://{parts.netloc}", self.plain_http)
        if parts.fragment:
            raise ValueError("url must have no fragment")
        if self.token is not None and self.password is not None:
            raise ValueError("token, or username and password: drop one of them")
        if bool(self.username) != (self.password is not None):
            raise ValueError("username and password belong together")
        if (self.expect is not None or self.fresh is not None) != bool(self.json_path):
            raise ValueError("json_path says where the value is, expect or fresh what it must be: both are needed")
        if self.expect is not None and self.fresh is not None:
            raise ValueError("expect and fresh ask of one value: drop one of them")
        return self

    def asks(self) -> Asks:
        return Asks(there=True, fresh=self.fresh, value=self.expect.comparisons() if self.expect else ())

    def question(self, zone: str) -> HttpQuestion:
        return HttpQuestion(self.url, self.json_path, self.fresh is not None, zone)

    def about(self) -> str:
        return f"{self.json_path} of {self.url.partition('?')[0]}" if self.json_path else self.url.partition("?")[0]


class ObjectSettings(AgedSettings):
    kind: Literal["object"]
    bucket: Annotated[str, Field(min_length=3, max_length=63)]
    key: Annotated[str, AfterValidator(refuse_other_braces)] = ""
    """The object; {bd} and {bd:%Y%m%d} are the business date."""
    prefix: Annotated[str, AfterValidator(refuse_other_braces)] = ""
    """Instead of key: all objects below it; size is theirs together, age that of the newest."""
    objects: LimitSettings | None = None
    """How many there may be below prefix."""
    region: str | None = None
    endpoint_url: str | None = None
    """Another S3 than that of AWS."""
    plain_http: bool = False
    ca_file: FilePath | None = None
    access_key_id: SecretRef | None = None
    """With secret_access_key; without both and profile: the usual chain of AWS (environment, instance role)."""
    secret_access_key: SecretRef | None = None
    session_token: SecretRef | None = None
    profile: str | None = None

    @model_validator(mode="after")
    def one_identity(self) -> ObjectSettings:
        if self.endpoint_url is not None:
            refuse_open(self.endpoint_url, self.plain_http)
        if bool(self.key) == bool(self.prefix):
            raise ValueError("either key or prefix is needed")
        if self.objects is not None and not self.prefix:
            raise ValueError("objects are counted below a prefix, and there is none")
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key belong together: give both or none")
        if self.profile is not None and self.access_key_id is not None:
            raise ValueError("a profile brings its own keys: drop access_key_id and secret_access_key, or the profile")
        return self

    def asks(self) -> Asks:
        count = self.objects or LimitSettings.model_construct()
        return replace(super().asks(), rows_min=count.min, rows_max=count.max)

    def question(self) -> ObjectQuestion:
        return ObjectQuestion(self.bucket, self.key, self.prefix)

    def about(self) -> str:
        return f"s3://{self.bucket}/{self.key or self.prefix}"
