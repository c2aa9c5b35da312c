"""Rows of fake servers, made from the descriptions in `descriptions`, and what does not fit there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

Row = dict[str, Any]
FOLDER = Path(__file__).parent / "descriptions"
TYPES: Row = {"string": str, "boolean": bool, "integer": int, "number": (int, float), "object": dict, "array": list}
NUMBERS = ("integer", "number")


class Description:
    def __init__(self, name: str) -> None:
        self.text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
        document = json.loads(self.text)
        self.host = document["rootUrl"].removeprefix("https://").rstrip("/")
        self._schemas: Row = document["schemas"]
        self._methods: list[Row] = document["resources"]["all"]["methods"].values()

    def row(self, schema: str, **values: Any) -> Row:
        """The values, and one for each other field of the schema. Instants, values of an enum, truth, objects and lists
        are left out unless given or required: each test sets them."""
        row: Row = self._made(self._schemas[schema], values)
        assert [] == list(self.misfits(row, {"$ref": schema}))
        return row

    def _made(self, schema: Row, value: Any, name: str = "") -> Any:
        """`value`: ... where there is none."""
        schema = self._schemas.get(schema.get("$ref", ""), schema)
        properties: Row = schema.get("properties", {})
        if isinstance(value, dict):
            fields = {key: item for key, item in properties.items() if key in value or self._is_made(item)}
            made = {key: self._made(item, value.get(key, ...), key) for key, item in fields.items()}
            return {**made, **{key: item for key, item in value.items() if key not in made}}
        if isinstance(value, list):
            return [self._made(schema.get("items", {}), item) for item in value]
        if value is not ...:
            return value
        if "properties" in schema:
            return self._made(schema, {})
        if "enum" in schema:
            return schema["enum"][0]
        if "date" in schema.get("format", ""):
            return "2026-11-20T03:00:00Z"
        is_number = "int" in schema.get("format", "") or schema["type"] in NUMBERS
        others = {"string": "1" if is_number else name, "boolean": True, "array": [], "object": {}}
        return others.get(schema["type"], 1)

    def _is_made(self, schema: Row) -> bool:
        is_fact = (
            "enum" in schema or "date" in schema.get("format", "") or schema.get("type") not in ("string", *NUMBERS)
        )
        return not is_fact or schema.get("required") is True

    def method(self, http_method: str, path: str) -> Row | None:
        """That of a path, with the most text of its own where several are."""
        methods = {}
        for method in self._methods:
            texts = re.split(r"\{\w+\}", method["flatPath"])
            pattern = "[^/]+".join(map(re.escape, texts))
            if method["httpMethod"] == http_method and re.fullmatch(pattern, path.lstrip("/")):
                methods[sum(map(len, texts))] = method
        return methods[max(methods)] if methods else None

    def faults_of_request(self, method: Row, query: Row, body: Row) -> list[str]:
        """Parameters and fields that a method does not take, and required ones that are missing."""
        parameters: Row = {name: item for name, item in method["parameters"].items() if item["location"] == "query"}
        required = {name for name, item in parameters.items() if item.get("required")}
        names = {*query} ^ {*parameters} & ({*query} | required)
        return [*sorted(names), *self.misfits(body, method.get("request", {"properties": {}}))]

    def misfits(self, value: Any, schema: Row, place: str = "") -> Iterator[str]:
        """What of a value its schema does not have; a word outside of an enum is none: a test may invent one."""
        schema = self._schemas.get(schema.get("$ref", ""), schema)
        if value is not None and "type" in schema and not isinstance(value, TYPES.get(schema["type"], object)):
            yield f"{place} is no {schema['type']}"
        elif isinstance(value, dict):
            fields = schema.get("properties", {}).items()
            yield from (
                f"{place}.{name} is missing" for name, item in fields if item.get("required") and name not in value
            )
            for name, item in value.items():
                below = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
                if below is None:
                    yield f"{place}.{name} is not there"
                else:
                    yield from self.misfits(item, below, f"{place}.{name}")
        elif isinstance(value, list):
            for item in value:
                yield from self.misfits(item, schema["items"], f"{place}[]")


@cache
def described(name: str) -> Description:
    return Description(name)
