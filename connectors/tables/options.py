"""Settings of a system of tables: where they are, who signs in, and when new data is expected."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from connectors.sdk.daily_time import ExpectedDelivery, JobName
from connectors.sdk.option_errors import StrictOptions, Zone
from connectors.sdk.secrets import SecretRef

_SECRET = re.compile(r"secret|password|token|credential|access.?key|account.?key|sas\b", re.IGNORECASE)

Properties = dict[str, str | SecretRef]


def _properties(properties: Properties) -> Properties:
    for name, value in properties.items():
        if isinstance(value, str) and _SECRET.search(name) and not name.lower().endswith(("uri", "url", "endpoint")):
            raise ValueError(f'{name} is a secret: write a reference, {{ env = "NAME" }} or {{ file = "PATH" }}')
        if name.startswith("py-"):
            raise ValueError(f"{name} loads code; it is not supported")
    return properties


class TableOptions(StrictOptions):
    """One `[systems.NAME.tables.TABLE]`."""

    title: str = ""
    """A short description of the table."""
    delta: str = ""
    """Address of a Delta table: "/lake/orders", "s3://acme-lake/orders"."""
    iceberg: str = ""
    """Name of an Iceberg table in the catalog: "sales.orders"."""
    expected: ExpectedDelivery | None = None
    """When new data is expected; without it, each commit is a run of its own."""

    @model_validator(mode="after")
    def one_format(self) -> TableOptions:
        if bool(self.delta) == bool(self.iceberg):
            raise ValueError('one of delta = "/lake/orders" and iceberg = "sales.orders" is needed')
        return self


class TablesOptions(StrictOptions):
    """Tables that share storage or a catalog."""

    zone: Zone = "UTC"
    """In which expected times are meant."""
    storage: Annotated[Properties, AfterValidator(_properties)] = {}
    """Storage options of Delta tables, as deltalake names them: AWS_REGION, AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID."""
    catalog: Annotated[Properties, AfterValidator(_properties)] = {}
    """Properties of the catalog of Iceberg tables, as pyiceberg names them: type, uri, credential, s3.region; and
    its name, by which a catalog of type "sql" finds its tables ("default")."""
    tables: Annotated[dict[JobName, TableOptions], Field(min_length=1)]
    """The tables, by name."""

    @model_validator(mode="after")
    def catalog_of_iceberg(self) -> TablesOptions:
        if any(table.iceberg for table in self.tables.values()) and not self.catalog:
            raise ValueError('Iceberg tables need their catalog: catalog = { type = "rest", uri = "https://…" }')
        return self
