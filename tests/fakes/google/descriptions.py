"""The parts of Google's discovery documents that the profiles use, beside this file, and what does not fit them.

Cut on 2026-11-25 from the wheel of google-api-python-client 2.202.0 (Apache License 2.0, Google LLC), without
descriptions. To renew: unpack the wheel, and

    python -m tests.fakes.google.descriptions FOLDER/googleapiclient/discovery_cache/documents
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
FOLDER = Path(__file__).parent
METHODS = {
    "bigquerydatatransfer.v1": r"projects\.locations\.transferConfigs\.((runs\.)?(list|get)|patch|runs\.\w+\.list)",
    "cloudscheduler.v1": r"projects\.locations\.jobs\.(list|get|patch|pause|resume)",
    "logging.v2": r"entries\.list",
    "run.v2": r"projects\.locations\.jobs\.(list|run|executions\.(list|get|cancel))",
    "workflowexecutions.v1": r"projects\.locations\.workflows\.executions\.(list|get|create|cancel|stepEntries\.list)",
    "workflows.v1": r"projects\.locations\.workflows\.list",
}
FIELDS = {
    "id", "httpMethod", "flatPath", "path", "parameters", "location", "request", "response", "$ref", "type", "items",
    "properties", "additionalProperties", "enum",
}  # fmt: skip
TYPES = {"string": str, "boolean": bool, "integer": int, "object": dict, "array": list}


class Description:
    def __init__(self, name: str) -> None:
        self.text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
        document = json.loads(self.text)
        self.host = document["rootUrl"].removeprefix("https://").rstrip("/")
        self._schemas: Row = document["schemas"]
        self._methods: list[Row] = document["resources"]["all"]["methods"].values()

    def method(self, http_method: str, path: str) -> Row | None:
        for method in self._methods:
            pattern = "[^/:]+".join(map(re.escape, re.split(r"\{\w+\}", method["flatPath"])))
            if method["httpMethod"] == http_method and re.fullmatch(pattern, path.lstrip("/")):
                return method
        return None

    def misfits(self, value: Any, schema: Row, place: str = "") -> Iterator[str]:
        """What of a value its schema does not have; a word outside of an enum is none: a test may invent one."""
        schema = self._schemas.get(schema.get("$ref", ""), schema)
        if "type" in schema and not isinstance(value, TYPES.get(schema["type"], object)):
            yield f"{place} is no {schema['type']}"
        elif isinstance(value, dict):
            for name, item in value.items():
                below = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
                if below is None:
                    yield f"{place}.{name} is not there"
                else:
                    yield from self.misfits(item, below, f"{place}.{name}")
        elif isinstance(value, list):
            for item in value:
                yield from self.misfits(item, schema["items"], f"{place}[]")


def _methods(resource: Row) -> Iterator[Row]:
    yield from resource.get("methods", {}).values()
    for below in resource.get("resources", {}).values():
        yield from _methods(below)


def _cut(value: Any, is_named: bool = False) -> Any:
    """`is_named`: an object whose names are not those of the format."""
    if not isinstance(value, dict):
        return value
    items = {name: item for name, item in value.items() if is_named or name in FIELDS}
    return {name: _cut(item, not is_named and name in ("properties", "parameters")) for name, item in items.items()}


def cut(document: Row, pattern: str) -> Row:
    """The document with the methods of a pattern and the schemas that they need."""
    name = document["name"]
    methods = {item["id"]: _cut(item) for item in _methods(document) if re.fullmatch(rf"{name}\.{pattern}", item["id"])}
    schemas: Row = {}
    refs = re.findall(r'"\$ref": "(\w+)"', json.dumps(methods))
    while refs:
        ref = refs.pop()
        if ref not in schemas:
            schemas[ref] = _cut(document["schemas"][ref])
            refs += re.findall(r'"\$ref": "(\w+)"', json.dumps(schemas[ref]))
    head = {key: document[key] for key in ("kind", "id", "revision", "rootUrl", "servicePath")}
    return {**head, "schemas": dict(sorted(schemas.items())), "resources": {"all": {"methods": methods}}}


if __name__ == "__main__":
    for api, needed in METHODS.items():
        whole = json.loads((Path(sys.argv[1]) / f"{api}.json").read_text(encoding="utf-8"))
        text = json.dumps(cut(whole, needed), separators=(",", ":"), sort_keys=True)
        (FOLDER / f"{api}.json").write_text(f"{text}\n", encoding="utf-8")
