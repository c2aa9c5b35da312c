"""A small Snowflake with a state, behind httpx: answers statements about tasks by the SQL API and the SQL reference
(SHOW TASKS, TASK_HISTORY). It knows the expressions that it computes and refuses others as a compilation error.

Specified, not recorded: nobody here saw Snowflake itself. Its clock is moved by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx

Row = dict[str, Any]
STATEMENTS = "/api/v2/statements"
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "SKIPPED", "FAILED_AND_AUTO_SUSPENDED")
IS_CRON = """IFF("schedule" ILIKE 'USING CRON %', """
SHOWN: dict[str, Callable[[Row], Any]] = {
    """"schema_name" || '.' || "name\"""": lambda row: f"{row['schema_name']}.{row['name']}",
    """"state" = 'started'""": lambda row: str(row["state"] == "started").lower(),
    '"definition"': lambda row: row["definition"],
    '"owner"': lambda row: row["owner"],
    """REPLACE("predecessors", '"' || "database_name" || '.', '"')""": lambda row: row["predecessors"].replace(
        f'"{row["database_name"]}.', '"'
    ),
    IS_CRON + """ARRAY_TO_STRING(ARRAY_SLICE( SPLIT("schedule", ' '), 2, 7), ' '), NULL)""": lambda row: (
        " ".join(row["schedule"].split(" ")[2:7]) if row["schedule"].upper().startswith("USING CRON ") else None
    ),
    IS_CRON + """SPLIT_PART("schedule", ' ', 8), NULL)""": lambda row: (
        row["schedule"].split(" ")[7] if row["schedule"].upper().startswith("USING CRON ") else None
    ),
}
READ: dict[str, Callable[[Row], Any]] = {
    "SCHEMA_NAME || '.' || NAME": lambda row: f"{row['SCHEMA_NAME']}.{row['NAME']}",
    "JOB || '/' || RUN_ID || '/' || ATTEMPT_NUMBER": lambda row: (
        f"{row['SCHEMA_NAME']}.{row['NAME']}/{row['RUN_ID']}/{row['ATTEMPT_NUMBER']}"
    ),
    **{name: lambda row, name=name: row[name] for name in ("STATE", "ERROR_MESSAGE")},  # type: ignore[misc]
    **{
        name: lambda row, name=name: row[name] and f"{row[name].timestamp():.9f}"  # type: ignore[misc]
        for name in ("SCHEDULED_TIME", "QUERY_START_TIME", "COMPLETED_TIME")
    },
}
SHOW = re.compile(r"SHOW TASKS IN DATABASE ->> SELECT (.+) FROM \$1")
HISTORY = re.compile(
    r"SELECT (.+) FROM TABLE\(INFORMATION_SCHEMA\.TASK_HISTORY\( SCHEDULED_TIME_RANGE_START =>"
    r" DATEADD\('hour', -(\d+), CURRENT_TIMESTAMP\(\)\), RESULT_LIMIT => (\d+)\)\)"
    r" WHERE DATABASE_NAME = CURRENT_DATABASE\(\) AND \(STATE <> 'SCHEDULED' OR ATTEMPT_NUMBER > 1\)"
    r" AND \(COMPLETED_TIME IS NULL OR COMPLETED_TIME >= TO_TIMESTAMP_LTZ\((\d+)\)\)"
)


class FakeSnowflake:
    """`hangs` names tasks whose runs do not end; `hidden`: tasks that the role may not monitor. `forbidden`: a
    pattern of statements that answer 403. `partition`: rows of the first partition of a result."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC) - timedelta(seconds=30)
        self.tasks = [
            self._task("LOAD_ORDERS", "USING CRON 0 3 * * 1-5 Europe/Berlin"),
            self._task("MART", "60 MINUTES"),
        ]
        self.history: list[Row] = []
        self.hangs: set[str] = set()
        self.hidden: set[str] = set()
        self.forbidden = ""
        self.partition = 100_000
        self.requests: list[str] = []
        for hours in (6, 5, 4):
            self.run("LOAD_ORDERS", "FAILED", self.now - timedelta(hours=hours))
            self.run("MART", "SUCCEEDED", self.now - timedelta(hours=hours, minutes=-10))

    def _task(self, name: str, schedule: str) -> Row:
        return {
            "name": name, "database_name": "ETL", "schema_name": "PUBLIC", "owner": "LOADER", "comment": "",
            "schedule": schedule, "state": "started", "predecessors": "[]", "definition": f"CALL {name}()",
        }  # fmt: skip

    def run(self, task: str, state: str, at: datetime, database: str = "ETL", attempt: int = 1) -> Row:
        scheduled = state == "SCHEDULED"
        row: Row = {
            "NAME": task, "DATABASE_NAME": database, "SCHEMA_NAME": "PUBLIC", "STATE": state,
            "ERROR_MESSAGE": "Numeric value 'n/a' is not recognized" if state.startswith("FAILED") else None,
            "SCHEDULED_TIME": at, "QUERY_START_TIME": None if scheduled else at + timedelta(seconds=2),
            "COMPLETED_TIME": at + timedelta(minutes=3) if state in ENDED else None,
            "RUN_ID": int(at.timestamp() * 1000), "ATTEMPT_NUMBER": attempt,
        }  # fmt: skip
        self.history.append(row)
        return row

    def tick(self) -> None:
        """Time goes on, and executing runs end."""
        self.now += timedelta(seconds=30)
        for row in self.history:
            if row["STATE"] == "EXECUTING" and row["NAME"] not in self.hangs:
                row |= {"STATE": "SUCCEEDED", "COMPLETED_TIME": self.now}

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") != "Bearer right":
            return self._reply(401, {"code": "390303", "message": "Invalid OAuth access token."})
        if (request.method, request.url.path) != ("POST", STATEMENTS):
            return self._reply(404, {"code": "391917", "message": "Not found"})
        body = json.loads(request.content)
        statement = " ".join(body["statement"].split())
        self.requests.append(statement.split(" ")[0])
        if self.forbidden and re.search(self.forbidden, statement):
            return self._reply(403, {"code": "390403", "message": "Insufficient privileges"})
        expected = {"warehouse": "OPS_WH", "role": "HEADWAY", "timeout": 20}
        if {name: value for name, value in body.items() if name in expected} != expected:
            return self._reply(422, {"code": "000606", "message": "No active warehouse selected"})
        if match := SHOW.fullmatch(statement):
            rows = [row for row in self.tasks if row["database_name"] == body["database"]]
            return self._table(match[1], SHOWN, [row for row in rows if row["name"] not in self.hidden])
        if match := HISTORY.fullmatch(statement):
            rows = self._history(timedelta(hours=int(match[2])), int(match[3]))
            rows = [row for row in rows if row["DATABASE_NAME"] == body["database"]]
            rows = [row for row in rows if row["STATE"] != "SCHEDULED" or row["ATTEMPT_NUMBER"] > 1]
            since = datetime.fromtimestamp(int(match[4]), UTC)
            rows = [row for row in rows if row["COMPLETED_TIME"] is None or row["COMPLETED_TIME"] >= since]
            return self._table(match[1], READ, rows)
        return self._reply(422, {"code": "001003", "message": "SQL compilation error: syntax error"})

    def _history(self, back: timedelta, limit: int) -> list[Row]:
        """Of the whole account, the latest first: no more than `limit`."""
        assert back < timedelta(days=7), "SCHEDULED_TIME_RANGE_START is not within the last seven days"
        assert limit <= 10_000, "RESULT_LIMIT is over 10000"
        rows = [row for row in self.history if row["NAME"] not in self.hidden]
        rows = [row for row in rows if row["SCHEDULED_TIME"] >= self.now - back]
        return sorted(rows, key=lambda row: float(row["SCHEDULED_TIME"].timestamp()), reverse=True)[:limit]

    def _table(self, select: str, known: dict[str, Callable[[Row], Any]], rows: list[Row]) -> httpx.Response:
        columns = [tuple(item.rsplit(" AS ", 1)) for item in _items(select)]
        unknown = [expression for expression, *_ in columns if expression not in known]
        if unknown:
            return self._reply(422, {"code": "000904", "message": f"invalid identifier {unknown[0]}"})
        names = [column[-1] for column in columns]
        data = [[known[expression](row) for expression, *_ in columns] for row in rows]
        about = {
            "numRows": len(data), "format": "jsonv2", "rowType": [{"name": name, "type": "TEXT"} for name in names],
            "partitionInfo": [{"rowCount": len(data), "uncompressedSize": 1256}],
        }  # fmt: skip
        body = {"resultSetMetaData": about, "data": data[: self.partition], "code": "090001", "sqlState": "00000"}
        return self._reply(200, body | {"message": "Statement executed successfully."})

    def _reply(self, status: int, body: Any) -> httpx.Response:
        return httpx.Response(status, json=body, headers={"date": format_datetime(self.now, usegmt=True)})


def _items(select: str) -> list[str]:
    """The items of a select list: commas within parentheses separate none."""
    items, depth = [""], 0
    for character in select:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            items.append("")
        else:
            items[-1] += character
    return [item.strip() for item in items]
