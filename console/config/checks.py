"""`[checks.NAME]`: data checks by kind: query, target, credentials and limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, model_validator

from connectors.checks.queries import (
    HttpQuery,
    ObjectQuery,
    SqlQuery,
    refuse_no_condition,
    refuse_other_braces,
    refuse_other_than_select,
    refuse_unreadable_path,
)
from connectors.sdk.aws.options import AwsOptions
from connectors.sdk.option_errors import StrictOptions, Zone
from connectors.sdk.secrets import FilePath, SecretRef
from console.config.document import ConfigDocument, Table, suggestion
from console.config.sections import SystemConfig
from console.config.validation import validate
from console.config.value_types import Pause
from console.domain.check import Check, CheckCriteria, Comparator, Comparison, RowCountBand
from console.text.cleaning import clean_line

MESSAGE_LIMIT = 120
Count = Annotated[int, Field(ge=0)]
Dated = Annotated[str, Field(min_length=1), AfterValidator(refuse_other_braces)]
Column = Annotated[str, Field(min_length=1, max_length=63)]


class LimitSettings(StrictOptions):
    min: Count | None = None
    max: Count | None = None

    @model_validator(mode="after")
    def can_be(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}, so that nothing fits; swap them")
        if self.says_nothing():
            raise ValueError("has no limit: write min, max or both")
        return self

    def says_nothing(self) -> bool:
        return self.min is None and self.max is None


class RowCountLimits(LimitSettings):
    band: StrictBool = False
    """By what past days of the same weekday had."""

    def says_nothing(self) -> bool:
        return super().says_nothing() and not self.band


class FreshSettings(StrictOptions):
    column: Column
    within: Pause


class ExpectSettings(StrictOptions):
    equals: bool | int | float | str | None = None
    is_not: bool | int | float | str | None = None
    at_least: int | float | None = None
    at_most: int | float | None = None

    @model_validator(mode="after")
    def something(self) -> ExpectSettings:
        if not self.model_fields_set:
            raise ValueError("has no condition: write equals, is_not, at_least or at_most")
        self._can_be()
        return self

    def _can_be(self) -> None:
        """Raises ValueError for a value that cannot occur."""
        for name in sorted(self.model_fields_set):
            value = getattr(self, name)
            if isinstance(value, float) and not isfinite(value):
                raise ValueError(f"{name} = {value} is never so; write a number")
        low, high, only = self.at_least, self.at_most, self.equals
        if low is not None and high is not None and low > high:
            raise ValueError(f"at_least {low} is more than at_most {high}, so that nothing fits; swap them")
        if only is None:
            return
        is_number = isinstance(only, int | float) and not isinstance(only, bool)
        if (low is not None or high is not None) and not is_number:
            raise ValueError(
                f"equals {str(only).lower()} is not a number, which at_least and at_most need; keep one of them"
            )
        is_refused = only == self.is_not and isinstance(only, bool) is isinstance(self.is_not, bool)
        if is_refused or (is_number and not _between(only, low, high)):
            raise ValueError(f"equals {only!r} contradicts the other conditions, so that nothing fits; keep equals")

    def comparisons(self) -> tuple[Comparison, ...]:
        text = {"equals": Comparator.EQUALS, "is_not": Comparator.NOT, "at_least": Comparator.AT_LEAST,
                 "at_most": Comparator.AT_MOST}  # fmt: skip
        given = ((how, getattr(self, name)) for name, how in text.items())
        return tuple(Comparison(how, to) for how, to in given if to is not None)


def _between(value: Any, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


class CheckSettings(StrictOptions):
    """Settings of every check; the others belong to its kind."""

    systems: ClassVar[tuple[str, ...]] = ()
    """Kinds of systems whose connection it can use."""
    kind: str
    every: Pause = timedelta(minutes=5)
    """How long a result is valid; a check that a service or job waits for runs again then."""
    timeout: Pause = timedelta(seconds=30)
    """For the whole check."""

    timezone: Zone | None = None
    """Of the business date, and of times without one; empty: of the first service that waits for it, else UTC."""

    def asks(self) -> CheckCriteria:
        raise NotImplementedError

    def about(self) -> str:
        raise NotImplementedError

    def declared(self, name: str, zone: str) -> Check:
        return Check(
            name, self.kind, clean_line(self.about(), MESSAGE_LIMIT), self.asks(), self.every, self.timeout,
            self.timezone or zone,
            getattr(self, "system", None) or "", getattr(self, "target", None) or "",
        )  # fmt: skip


def refuse_plaintext(address: str, plain_http: bool) -> None:
    """ValueError for an address over which a secret could leak."""
    from connectors.sdk.transport.http import checked_origin  # noqa: PLC0415 - most estates check no address

    checked_origin(address, plain_http)


def _rows(value: Any) -> Any:
    return {"band": True} if value == "band" else value


def _keys(value: Any) -> Any:
    return [[key] if isinstance(key, str) else key for key in value] if isinstance(value, list) else value


def _table(name: str) -> str:
    parts = name.split(".")
    if not all(parts) or len(parts) > 3:
        raise ValueError(f'"{name}" is not a table; write "supply.rows": its schema, a dot, its name')
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
    """Which rows; {business_date} is the business date, bound as a date."""
    rows: Annotated[RowCountLimits | None, BeforeValidator(_rows)] = None
    """ "band", or { min, max, band }."""
    fresh: FreshSettings | None = None
    """How old the newest row may be."""
    unique: Annotated[tuple[Annotated[tuple[Column, ...], Field(min_length=1)], ...], BeforeValidator(_keys)] = ()
    """Keys that no two rows share: a column, or a list of columns that are one key together."""
    not_null: tuple[Column, ...] = ()
    """Columns that every row fills."""
    columns: Mapping[Column, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    """Columns that must be there, with their types."""
    query: Annotated[str, AfterValidator(refuse_other_than_select)] = ""
    """A SELECT of one value, in place of a table; {business_date} as in where."""
    expect: ExpectSettings | None = None
    """Condition on that value."""

    @model_validator(mode="after")
    def one_question(self) -> SqlSettings:
        if (self.system is None) == (self.dsn is None):
            raise ValueError("either system (a pg_cron system) or dsn is needed")
        if bool(self.table) == bool(self.query):
            raise ValueError("either table or query is needed")
        if bool(self.query) != (self.expect is not None):
            raise ValueError("query and expect belong together: what must its value be?")
        if self.query and self._of_a_table():
            raise ValueError(f"{', '.join(self._of_a_table())} apply to a table, not to a query")
        if self.table and not [name for name in self._of_a_table() if name != "where"]:
            raise ValueError("the check of the table has no condition: add rows, fresh, unique, not_null or columns")
        if "{business_date:" in self.where + self.query:
            raise ValueError("the date is bound, and takes no format here: write to_char({business_date}, 'YYYYMMDD')")
        return self

    def _of_a_table(self) -> list[str]:
        names = ("where", "rows", "fresh", "unique", "not_null", "columns")
        return [name for name in names if getattr(self, name)]

    def asks(self) -> CheckCriteria:
        rows = self.rows or RowCountLimits.model_construct()
        return CheckCriteria(
            band=RowCountBand() if rows.band else None,
            rows_min=rows.min,
            rows_max=rows.max,
            fresh=self.fresh.within if self.fresh else None,
            unique=self.unique,
            not_null=self.not_null,
            columns=tuple(self.columns.items()),
            value=self.expect.comparisons() if self.expect else (),
        )

    def question(self, zone: str) -> SqlQuery:
        return SqlQuery(
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

    def asks(self) -> CheckCriteria:
        size = self.size or LimitSettings.model_construct()
        return CheckCriteria(there=True, size_min=size.min, size_max=size.max, age=self.age)


class FileSettings(AgedSettings):
    systems: ClassVar[tuple[str, ...]] = ("cron",)
    kind: Literal["file"]
    path: Dated
    """The file, from the root on; {business_date} and {business_date:%Y%m%d} are the business date."""
    system: str | None = None
    """A cron system whose connection is used, with target."""
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
    url: Dated = Field(examples=["https://rates.example.com"])
    """Address; {business_date} and {business_date:%Y%m%d} are the business date. No credentials in it."""
    headers: Mapping[str, SecretRef] = Field(default_factory=dict)
    """Headers to send, as references."""
    token: SecretRef | None = None
    """Sent as Authorization: Bearer."""
    username: str = ""
    password: SecretRef | None = None
    ca_file: FilePath | None = None
    plain_http: StrictBool = False
    """Allows http:// to what is not this machine."""
    json_path: Annotated[str, AfterValidator(refuse_unreadable_path)] = ""
    """Where the value is in the answer: "data.items[0].rows"; a list counts as its length."""
    expect: ExpectSettings | None = None
    """Condition on that value."""
    fresh: Pause | None = None
    """The value is a time, and may be so old."""

    @model_validator(mode="after")
    def one_sender(self) -> HttpSettings:
        parts = urlsplit(self.url)
        refuse_plaintext(f"{parts.scheme}://{parts.netloc}", self.plain_http)
        if parts.fragment:
            raise ValueError("url must have no fragment")
        if self.token is not None and self.password is not None:
            raise ValueError("token, or username and password: drop one of them")
        if bool(self.username) != (self.password is not None):
            raise ValueError("username and password belong together")
        if (self.expect is not None or self.fresh is not None) != bool(self.json_path):
            raise ValueError("json_path says where the value is, expect or fresh what it must be: both are needed")
        if self.expect is not None and self.fresh is not None:
            raise ValueError("expect and fresh both check the value: drop one of them")
        return self

    def asks(self) -> CheckCriteria:
        return CheckCriteria(there=True, fresh=self.fresh, value=self.expect.comparisons() if self.expect else ())

    def question(self, zone: str) -> HttpQuery:
        return HttpQuery(self.url, self.json_path, self.fresh is not None, zone)

    def about(self) -> str:
        return f"{self.json_path} of {self.url.partition('?')[0]}" if self.json_path else self.url.partition("?")[0]


class ObjectSettings(AgedSettings, AwsOptions):
    kind: Literal["object"]
    bucket: Annotated[str, Field(min_length=3, max_length=63)]
    key: Annotated[str, AfterValidator(refuse_other_braces)] = ""
    """The object; {business_date} and {business_date:%Y%m%d} are the business date."""
    prefix: Annotated[str, AfterValidator(refuse_other_braces)] = ""
    """Instead of key: all objects below it; size is theirs together, age that of the newest."""
    objects: LimitSettings | None = None
    """How many there may be below prefix."""
    region: str | None = None  # type: ignore[assignment]  # a profile, or another S3, may have none

    @model_validator(mode="after")
    def one_question(self) -> ObjectSettings:
        if bool(self.key) == bool(self.prefix):
            raise ValueError("either key or prefix is needed")
        if self.objects is not None and not self.prefix:
            raise ValueError("objects are counted below a prefix, which is missing")
        return self

    def asks(self) -> CheckCriteria:
        count = self.objects or LimitSettings.model_construct()
        return replace(super().asks(), rows_min=count.min, rows_max=count.max)

    def question(self) -> ObjectQuery:
        return ObjectQuery(self.bucket, self.key, self.prefix)

    def about(self) -> str:
        return f"s3://{self.bucket}/{self.key or self.prefix}"


KINDS: Mapping[str, type[CheckSettings]] = {
    "sql": SqlSettings,
    "file": FileSettings,
    "http": HttpSettings,
    "object": ObjectSettings,
}


def zone_of(name: str, document: Table) -> str:
    """The zone of the first service that waits for the check."""
    for service in document.get("services", {}).values():
        if isinstance(service, dict) and name in _ready_checks(service):
            return str(service.get("timezone", "UTC"))
    return "UTC"


def check_checks(
    checks: Mapping[str, CheckSettings], systems: Mapping[str, SystemConfig], document: Table, reading: ConfigDocument
) -> None:
    """Reports unknown checks of dependencies and services, and checks whose system is missing or unsuitable."""
    known = list(document.get("checks", {}))
    for key, name in _waiting(document):
        if name not in known:
            reading.fault(key, f'no check "{name}". {suggestion(name, known, "checks")}')
    for name, check in checks.items():
        _check_connection(name, check, systems, document, reading)


def read_checks(tables: Table, reading: ConfigDocument) -> Iterator[tuple[str, CheckSettings]]:
    """Yields the checks without faults, by name, in the order of the file."""
    for name, table in tables.items():
        key = ("checks", name)
        if not name.strip() or clean_line(name) != name:
            reading.fault(key, f"{name!a} holds what cannot be shown or typed. Rename it.")
        if not isinstance(table, dict) or "kind" not in table:
            reading.fault(key, f'has no kind. Add kind = "…", one of: {", ".join(KINDS)}.')
        elif str(table["kind"]) not in KINDS:
            reading.fault((*key, "kind"), f'no kind "{table["kind"]}". {suggestion(str(table["kind"]), KINDS)}')
        elif (settings := validate(KINDS[str(table["kind"])], table, key, reading)) is not None:
            yield name, settings


def _check_connection(
    name: str, check: CheckSettings, systems: Mapping[str, SystemConfig], document: Table, reading: ConfigDocument
) -> None:
    used, key = getattr(check, "system", None), ("checks", name, "system")
    if used is None:
        return
    if used not in document.get("systems", {}):
        reading.fault(key, f'no system "{used}". {suggestion(used, document.get("systems", {}))}')
        return
    system = systems.get(used)
    if system is None:
        return
    if system.settings.kind not in check.systems:
        text = f'"{used}" is of kind "{system.settings.kind}"; a check of kind "{check.kind}" uses a system of kind'
        reading.fault(key, f"{text} {', '.join(check.systems)}. Name another, or say where it is here.")
    target = getattr(check, "target", None)
    if target is not None and target not in system.targets:
        reading.fault(("checks", name, "target"), f'"{used}" has no "{target}". {suggestion(target, system.targets)}')


def _waiting(document: Table) -> Iterator[tuple[tuple[str, ...], str]]:
    for service, table in document.get("services", {}).items():
        for name in _ready_checks(table):
            yield ("services", service, "ready"), name
    for number, table in enumerate(document.get("dependencies", []), 1):
        named = table.get("check") if isinstance(table, dict) else None
        if isinstance(named, str) and named:
            yield ("dependencies", str(number), "check"), named


def _ready_checks(table: object) -> list[str]:
    value = table.get("ready") if isinstance(table, dict) else None
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
