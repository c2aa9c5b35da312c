"""An Airflow server in name only, for a peer that shows nothing without one: it lists so many DAGs, page by page.

Pages are made once, so that what is timed is the program that reads them.
"""

from __future__ import annotations

import json
import re
import socket
import threading

_DAG = {
    "dag_id": "", "dag_display_name": "", "is_paused": False, "is_stale": False, "last_parsed_time": None,
    "last_parse_duration": None, "last_expired": None, "bundle_name": None, "bundle_version": None,
    "relative_fileloc": None, "fileloc": "/dags/all.py", "description": None, "timetable_summary": "10 3 * * *",
    "timetable_description": None, "tags": [], "max_active_tasks": 16, "max_active_runs": 16,
    "max_consecutive_failed_dag_runs": 0, "has_task_concurrency_limits": False, "has_import_errors": False,
    "next_dagrun_logical_date": None, "next_dagrun_data_interval_start": None, "next_dagrun_data_interval_end": None,
    "next_dagrun_run_after": None, "owners": ["team-3"], "file_token": "",
}  # fmt: skip
_PAGE = re.compile(rb"GET \S*/dags\?limit=(\d+)&offset=(\d+) ")


def serve(port: int, dags: int) -> None:
    """Answers on that port of this machine until it is ended."""
    pages: dict[tuple[int, int], bytes] = {}
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            line, _ = server.accept()
            threading.Thread(target=_answer_all, args=(line, dags, pages), daemon=True).start()


def _answer_all(line: socket.socket, dags: int, pages: dict[tuple[int, int], bytes]) -> None:
    with line, line.makefile("rwb") as pipe:
        while request := pipe.readline():
            while pipe.readline().strip():
                pass
            pipe.write(_answer(request, dags, pages))
            pipe.flush()


def _answer(request: bytes, dags: int, pages: dict[tuple[int, int], bytes]) -> bytes:
    match = _PAGE.match(request)
    if match is None:
        return _reply({"dags": [], "total_entries": 0})
    limit, offset = map(int, match.groups())
    if (limit, offset) not in pages:
        names = (f"job_{number:05d}" for number in range(offset, min(dags, offset + limit)))
        rows = [_DAG | {"dag_id": name, "dag_display_name": name} for name in names]
        pages[limit, offset] = _reply({"dags": rows, "total_entries": dags})
    return pages[limit, offset]


def _reply(body: object) -> bytes:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data
