"""The descriptions of this folder: the calls that profiles send and the schemas of their answers, without texts.

All are in Google's discovery format. Google publishes it (google-api-python-client, Apache License 2.0, Google LLC);
of Azure and Control-M it is made from the models of the vendor's client, which is generated from the vendor's OpenAPI
description (azure-mgmt-datafactory and azure-synapse-artifacts, MIT License, Microsoft; ctm-python-client, BSD
3-Clause, BMC Software). Of Salesforce it has the record of the vendor's types, which are generated from its WSDL
(@salesforce/types, Apache License 2.0, Salesforce, Inc.); its paths are those of the REST API Developer Guide. Made on
2026-11-27. To renew:

    pip install --no-deps --target FOLDER google-api-python-client==2.202.0 azure-mgmt-datafactory==9.2.0 \
        azure-synapse-artifacts==0.22.0 ctm-python-client==2.6.6
    npm pack --silent @salesforce/types@1.9.0 | xargs tar --extract --directory FOLDER --file
    python -m tests.fakes.descriptions.renew FOLDER
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
GOOGLE = {
    "bigquerydatatransfer.v1": r"projects\.locations\.transferConfigs\.((runs\.)?(list|get)|patch|runs\.\w+\.list)",
    "cloudscheduler.v1": r"projects\.locations\.jobs\.(list|get|patch|pause|resume)",
    "logging.v2": r"entries\.list",
    "run.v2": r"projects\.locations\.jobs\.(list|run|executions\.(list|get|cancel))",
    "workflowexecutions.v1": r"projects\.locations\.workflows\.executions\.(list|get|create|cancel|stepEntries\.list)",
    "workflows.v1": r"projects\.locations\.workflows\.list",
}
FIELDS = {
    "id", "httpMethod", "flatPath", "path", "parameters", "location", "required", "request", "response", "$ref", "type",
    "format", "items", "properties", "additionalProperties", "enum",
}  # fmt: skip
CLIENTS: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "azure_data_factory": (
        "azure/mgmt/datafactory",
        {
            "pipelines": ("list_by_factory", "create_run"),
            "pipeline_runs": ("query_by_factory", "get", "cancel"),
            "activity_runs": ("query_by_pipeline_run",),
        },
    ),
    "azure_synapse": (
        "azure/synapse/artifacts",
        {
            "pipeline": ("get_pipelines_by_workspace", "create_pipeline_run"),
            "pipeline_run": (
                "query_pipeline_runs_by_workspace", "get_pipeline_run", "query_activity_runs", "cancel_pipeline_run",
            ),
        },
    ),
    "control_m": (
        "clients/ctm_api_client",
        {"run": ("get_jobs_status_by_filter", "get_job_status", "get_job_output", "rerun_job")},
    ),
}  # fmt: skip
SALESFORCE = {"query": "query", "query_more": "query/{locator}", "get": "sobjects/AsyncApexJob/{id}"}
SCRIPT = {"string": "string", "ID": "string", "Date": "string", "number": "number", "boolean": "boolean"}
PLAIN = {"str": "string", "int": "integer", "long": "integer", "float": "number", "bool": "boolean"}


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


def of_google(folder: Path, api: str, pattern: str) -> Row:
    path = folder / "googleapiclient/discovery_cache/documents" / f"{api}.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    methods = [item for item in _methods(document) if re.fullmatch(rf"{document['name']}\.{pattern}", item["id"])]
    head = {key: document[key] for key in ("id", "revision", "rootUrl", "servicePath")}
    return head | {"schemas": document["schemas"], "methods": {item["id"]: item for item in methods}}


def of_client(folder: Path, operations: dict[str, tuple[str, ...]]) -> Row:
    """From the source of a client that AutoRest (Azure) or OpenAPI Generator (Control-M) made."""
    models = "\n".join(file.read_text(encoding="utf-8") for file in sorted((folder / "models").glob("*.py")))
    schemas = {}
    for name, body in re.findall(r"(?ms)^class (\w+)\(.*?\n(.*?)(?=^class |\Z)", models):
        table = re.search(r"(?ms)^    (?:_attribute_map|openapi_types) = (\{.*?^    \})|_attribute_map = (\{\})", body)
        if table is not None:
            schemas[name] = _schema(body, ast.literal_eval(table[1] or table[2]))
    methods = {}
    for group, names in operations.items():
        file = next(
            file for file in folder.rglob(f"*{group}_*.py") if file.stem in (f"_{group}_operations", f"{group}_api")
        )
        for name in names:
            methods[f"{group}.{name}"] = _operation(file.read_text(encoding="utf-8"), name)
    return {"rootUrl": "", "servicePath": "", "schemas": schemas, "methods": methods}


def _schema(body: str, fields: Row) -> Row:
    renamed = re.search(r"(?ms)^    attribute_map = (\{.*?^    \})", body)
    keys = ast.literal_eval(renamed[1]) if renamed else {}
    required = set(re.findall(r"\"(\w+)\": \{[^}]*\"required\": True|Invalid value for `(\w+)`, must not be", body))
    schema: Row = {"type": "object", "properties": {}}
    for name, field in fields.items():
        *path, key = (field["key"] if isinstance(field, dict) else keys[name]).split(".")
        kind = field["type"] if isinstance(field, dict) else field
        if not key:
            continue  # further fields, which AutoRest keeps
        home = schema["properties"]
        for part in path:
            home = home.setdefault(part, {"type": "object", "properties": {}})["properties"]
        home[key] = _type(kind) | ({"required": True} if any(name in found for found in required) else {})
    return schema


def _type(kind: str) -> Row:
    many = re.fullmatch(r"\[(.*)\]|list\[(.*)\]", kind)
    if many:
        return {"type": "array", "items": _type(many[1] or many[2])}
    if kind.startswith(("{", "dict(")) or kind in ("object", "JSON"):
        return {"type": "object", "additionalProperties": {"type": "any"}}
    if kind in ("iso-8601", "datetime"):
        return {"type": "string", "format": "date-time"}
    return {"type": PLAIN[kind]} if kind in PLAIN else {"$ref": kind}


def _operation(source: str, name: str) -> Row:
    blocks = re.findall(
        rf"(?ms)^ *def (?:build_{name}_request|{name}|{name}_with_http_info)\(.*?(?=^ {{,4}}def |^ {{,4}}@|^class |\Z)",
        source,
    )
    text = "\n".join(blocks)
    path = re.search(r"""["'](/[^"'\s]*)["']""", text)
    method = re.search(r"""method="([A-Z]+)"|'(GET|POST)',\n""", text)
    assert path is not None, name
    assert method is not None, name
    azure = re.findall(r"(?m)^( +)_params\[\"([^\"]+)\"\] =", text)
    query = {field: {"required": True} if len(indent) == 4 else {} for indent, field in azure}
    query |= {field: {} for field in re.findall(r"query_params\.append\(\('(\w+)'", text)}
    sent = re.search(r'_serialize\.body\(\w+, "(\w+)"', text)
    answer = re.search(r'_deserialize\("(\w+)"|200: "(\w+)"', text)
    places = {place: {"location": "path", "required": True} for place in re.findall(r"\{(\w+)\}", path[1])}
    found: Row = {
        "httpMethod": method[1] or method[2],
        "flatPath": path[1].lstrip("/"),
        "parameters": places | {field: {"location": "query"} | item for field, item in query.items()},
    }
    reply = next((kind for kind in (answer.groups() if answer else ()) if kind not in (None, "str")), "")
    return found | ({"request": {"$ref": sent[1]}} if sent else {}) | ({"response": {"$ref": reply}} if reply else {})


def of_salesforce(folder: Path) -> Row:
    """Of the one object that the profile queries. Objects that its fields name are left open."""
    text = (folder / "package/lib/tooling.d.ts").read_text(encoding="utf-8")
    schemas: Row = {}
    for name in ("sObject", "AsyncApexJob", "QueryResult"):
        body = re.search(rf"(?ms)^export type {name} = (?:sObject & )?\{{\n(.*?)^\}};", text)
        assert body is not None, name
        fields = re.findall(r"(?m)^    (\w+)\??: (\w+);", body[1])
        schemas[name] = {"type": "object", "properties": {field: _script_type(kind) for field, kind in fields}}
    schemas["AsyncApexJob"]["properties"] |= schemas.pop("sObject")["properties"]
    schemas["QueryResult"]["properties"]["records"] = {"type": "array", "items": {"$ref": "AsyncApexJob"}}
    methods: Row = {}
    for name, path in SALESFORCE.items():
        places = {place: {"location": "path", "required": True} for place in re.findall(r"\{(\w+)\}", path)}
        methods[name] = {
            "httpMethod": "GET",
            "flatPath": f"services/data/v{{version}}/{path}",
            "parameters": {"version": {"location": "path", "required": True}} | places,
            "response": {"$ref": "AsyncApexJob" if name == "get" else "QueryResult"},
        }
    methods["query"]["parameters"]["q"] = {"location": "query", "required": True}
    return {"rootUrl": "", "servicePath": "", "schemas": schemas, "methods": methods}


def _script_type(kind: str) -> Row:
    if kind not in SCRIPT:
        return {"type": "object", "additionalProperties": {"type": "any"}}
    return {"type": SCRIPT[kind]} | ({"format": "date-time"} if kind == "Date" else {})


def reduced(document: Row) -> Row:
    """The document with the schemas that its methods need, and no texts."""
    methods = {name: _cut(item) for name, item in document.pop("methods").items()}
    schemas: Row = {}
    refs = re.findall(r'"\$ref": "(\w+)"', json.dumps(methods))
    while refs:
        ref = refs.pop()
        if ref not in schemas:
            schemas[ref] = _cut(document["schemas"][ref])
            refs += re.findall(r'"\$ref": "(\w+)"', json.dumps(schemas[ref]))
    parts = {"schemas": dict(sorted(schemas.items())), "resources": {"all": {"methods": methods}}}
    return document | {"kind": "discovery#restDescription"} | parts


if __name__ == "__main__":
    source = Path(sys.argv[1])
    documents = {api: of_google(source, api, pattern) for api, pattern in GOOGLE.items()}
    documents |= {api: of_client(source / folder, operations) for api, (folder, operations) in CLIENTS.items()}
    documents["salesforce"] = of_salesforce(source)
    for api, document in documents.items():
        text = json.dumps(reduced(document), separators=(",", ":"), sort_keys=True)
        Path(__file__).with_name(f"{api}.json").write_text(f"{text}\n", encoding="utf-8")
