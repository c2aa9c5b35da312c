"""Ids from outside stay one segment of a path, whatever they contain (F55)."""

from __future__ import annotations

from urllib.parse import unquote

import httpx

from connectors.airflow.client import task_path
from tests.rows import each_row

IDS = [
    "../../../auth/token", "..", ".", "dag/../other", "%2e%2e%2fx", "..%2f..", "a?b=c", "a#b", "//evil.example/x",
    "\\..\\x", "a;b", "http://evil.example/", "manual__2026-11-20T02:00:00+00:00", "a b\tc\r\nHost: evil",
]  # fmt: skip


@each_row("raw", IDS)
def test_f55_an_id_is_one_part_of_the_path_and_leads_nowhere_else(raw: str) -> None:
    url = httpx.URL(f"https://airflow.example/api/v2{task_path(raw, raw, raw)}")
    parts = url.raw_path.decode().split("/")
    assert ("airflow.example", ["", "api", "v2", "dags"]) == (url.host, parts[:4])
    assert (9, "dagRuns", "taskInstances") == (len(parts), parts[5], parts[7])
    assert [raw] * 3 == [unquote(parts[place]) for place in (4, 6, 8)]
    assert not {".", ".."} & set(parts)
