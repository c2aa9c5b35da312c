"""A small Salesforce with a state, behind httpx: records of AsyncApexJob made from Salesforce's own types, which judge
the fields of each query of jobs and each page of its answer; texts by the examples of the REST API Developer Guide. It
gives the selected fields alone and refuses others, as SOQL does.

Specified, not recorded: nobody here saw Salesforce itself. Its clock is moved by hand.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs

import httpx

from tests.fakes.described import Row, described

API = described("salesforce")
RECORD = {"$ref": "AsyncApexJob"}
DATA = "/services/data/v62.0"
LOAD, MART = "01pRO0000005QcLYAU", "01pRO0000005QcQYAU"
CLASSES = {LOAD: "LoadOrdersBatch", MART: "MartQueueable"}
ENDED = ("Completed", "Failed", "Aborted")
READ = re.compile(
    r"SELECT ([\w, ]+) FROM AsyncApexJob WHERE JobType IN \('BatchApex', 'Queueable'\) AND ApexClassId != null"
    r" AND \(CompletedDate >= (\S+) OR CompletedDate = null\) ORDER BY CreatedDate"
)
GROUPED = re.compile(
    r"SELECT ApexClassId, ApexClass.Name className, MAX\(CreatedDate\) latest FROM AsyncApexJob WHERE JobType IN"
    r" \('BatchApex', 'Queueable'\) AND ApexClassId != null GROUP BY ApexClassId, ApexClass.Name"
)
LITERAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def written(at: datetime) -> str:
    """As the API writes an instant."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


class FakeSalesforce:
    """`hangs` names classes whose jobs do not end. `forbidden`: a pattern of calls that answer 403. `per_page`: rows of
    a page."""

    def __init__(self) -> None:
        self.now = (datetime.now(UTC) - timedelta(seconds=30)).replace(microsecond=0)
        self.records: list[Row] = []
        self.hangs: set[str] = set()
        self.forbidden = ""
        self.requests: list[str] = []
        self.tokens = 0
        self.per_page = 2000
        self.locators: dict[str, list[Row]] = {}
        for hours in (6, 5, 4):
            self.job(LOAD, "Failed", self.now - timedelta(hours=hours))
            self.job(MART, "Completed", self.now - timedelta(hours=hours, minutes=-10))

    def job(self, apex_class: str | None, status: str, at: datetime, kind: str = "BatchApex", errors: Any = 0) -> Row:
        failed = status == "Failed"
        row = API.row(
            "AsyncApexJob",
            Id=f"707RO000{len(self.records):07}YAU",
            ApexClassId=apex_class,
            JobType=kind,
            Status=status,
            NumberOfErrors=errors,
            CreatedDate=written(at),
            CompletedDate=written(at + timedelta(minutes=3)) if status in ENDED else None,
            ExtendedStatus="First error: Update failed" if failed or errors else None,
        )
        self.records.append(row)
        return row

    def tick(self) -> None:
        """Time goes on, and processing jobs end."""
        self.now += timedelta(seconds=30)
        for row in self.records:
            if row["Status"] == "Processing" and row["ApexClassId"] not in self.hangs:
                row |= {"Status": "Completed", "CompletedDate": written(self.now)}

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/services/oauth2/token":
            return self._token(request)
        call = f"{request.method} {request.url.path.removeprefix(DATA)}"
        self.requests.append(call)
        if request.headers.get("authorization") != f"Bearer 00DRO!{self.tokens}":
            return self._error(401, "INVALID_SESSION_ID", "Session expired or invalid")
        if self.forbidden and re.search(self.forbidden, call):
            return self._error(403, "INSUFFICIENT_ACCESS", "insufficient access rights")
        method = API.method(request.method, request.url.path)
        if method is None:
            return self._error(404, "NOT_FOUND", "The requested resource does not exist")
        if faults := API.faults_of_request(method, dict(request.url.params), {}):
            return self._error(400, "MALFORMED_QUERY", f"Not as described: {faults}")
        return self._answer(request)

    def _token(self, request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        if form != {"grant_type": "client_credentials", "client_id": "headway", "client_secret": "right"}:
            body = {"error": "invalid_client", "error_description": "invalid client credentials"}
            return httpx.Response(400, json=body)
        self.tokens += 1
        return self._reply({"access_token": f"00DRO!{self.tokens}", "token_type": "Bearer", "scope": "api"})

    def _reply(self, body: Any) -> httpx.Response:
        return httpx.Response(200, json=body, headers={"date": format_datetime(self.now, usegmt=True)})

    def _error(self, status: int, code: str, message: str) -> httpx.Response:
        return httpx.Response(status, json=[{"message": message, "errorCode": code}])

    def _answer(self, request: httpx.Request) -> httpx.Response:
        match (request.method, *request.url.path.removeprefix(DATA).strip("/").split("/")):
            case ("GET", "query"):
                return self._query(request.url.params["q"])
            case ("GET", "query", locator) if not request.url.query and locator in self.locators:
                return self._page(self.locators[locator], locator)
            case ("GET", "sobjects", "AsyncApexJob", record):
                row = next((row for row in self.records if row["Id"] == record), None)
                if row is not None:
                    attributes = {"type": "AsyncApexJob", "url": f"{DATA}/sobjects/AsyncApexJob/{record}"}
                    return self._reply({"attributes": attributes, **row})
        return self._error(404, "NOT_FOUND", "The requested resource does not exist")

    def _query(self, query: str) -> httpx.Response:
        read_at_all = [row for row in self.records if row["JobType"] in ("BatchApex", "Queueable")]
        rows = [row for row in read_at_all if row["ApexClassId"] is not None]
        if GROUPED.fullmatch(query):
            latest = {row["ApexClassId"]: row["CreatedDate"] for row in rows}
            records = [
                {"attributes": {"type": "AggregateResult"}, "ApexClassId": key, "className": CLASSES[key], "latest": at}
                for key, at in latest.items()
            ]
            return self._reply({"totalSize": len(records), "done": True, "records": records})
        match = READ.fullmatch(query)
        if match is None or not LITERAL.fullmatch(match[2]):
            return self._error(400, "MALFORMED_QUERY", "unexpected token")
        fields = match[1].split(", ")
        if unknown := [*API.misfits(dict.fromkeys(fields), RECORD)]:
            return self._error(400, "INVALID_FIELD", f"No such column on entity 'AsyncApexJob': {unknown[0]}")
        since = datetime.fromisoformat(match[2])
        ends = [(row, row["CompletedDate"]) for row in sorted(rows, key=lambda row: str(row["CreatedDate"]))]
        rows = [row for row, end in ends if end is None or datetime.fromisoformat(end) >= since]
        return self._page([{"attributes": {}} | {name: row[name] for name in fields} for row in rows])

    def _page(self, rows: list[Row], locator: str = "") -> httpx.Response:
        first = int(locator.rpartition("-")[2] or 0)
        page, last = rows[first : first + self.per_page], first + self.per_page
        body: Row = {"totalSize": len(rows), "done": last >= len(rows), "records": page}
        if last < len(rows):
            self.locators[following := f"{locator.rpartition('-')[0] or f'01gRO{len(self.locators)}'}-{last}"] = rows
            body["nextRecordsUrl"] = f"{DATA}/query/{following}"
        records = [{name: value for name, value in row.items() if name != "attributes"} for row in page]
        assert [] == list(API.misfits(body | {"records": records}, {"$ref": "QueryResult"}))
        return self._reply(body)
