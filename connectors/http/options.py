"""Settings of an `http` system: the address, the account, and the names of its lists and fields."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, ValidationInfo, field_validator, model_validator

from connectors.sdk.field_mapping import (
    PROFILE_PLACES,
    FieldPath,
    MappedFields,
    MappedJobFields,
    MappedRunFields,
    States,
)
from connectors.sdk.mapped_actions import MappedCall, MappedVerbs
from connectors.sdk.mapped_liveness import MappedLiveness
from connectors.sdk.option_errors import StrictOptions, formatted_like
from connectors.sdk.rest_options import AccountOptions
from connectors.sdk.secrets import SecretRef
from connectors.sdk.transport.http import FIELD_NAME, checked_origin, is_header_value, plain_path

PLACEHOLDER = re.compile(r"\{([a-z_]+(?:\.[a-z_]+)?)\}")
NEXT_HEADER = "Link"
"""In `next`, the header that names the next page."""
ReadMethod = Literal["GET", "POST"]
"""Of a call that changes nothing."""
PlainValue = str | int | float | bool
PROTOCOL_HEADERS = frozenset({
    "accept-encoding", "connection", "content-length", "expect", "host", "keep-alive", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
"""Headers that the HTTP client sets, in lower case."""


def _no_protocol_header(name: str) -> str:
    if name.lower() in PROTOCOL_HEADERS or name.lower().startswith("proxy-"):
        raise ValueError(f"the HTTP client sets the header {name}. Fix: remove it")
    return name


HeaderName = Annotated[
    str, Field(max_length=60), formatted_like(FIELD_NAME.pattern, "X-Api-Key"), AfterValidator(_no_protocol_header)
]


def _header_text(text: str) -> str:
    if not is_header_value(text) or len(text) > MAX_HEADER_CHARACTERS:
        raise ValueError(
            f"the value of a header must be at most {MAX_HEADER_CHARACTERS} printable ASCII characters, without a space"
            " at either end. Fix: shorten it, or remove the other characters"
        )
    return text


MAX_HEADER_CHARACTERS = 200
HeaderText = Annotated[str, AfterValidator(_header_text)]


def without_code(value: Any, info: ValidationInfo) -> Any:
    """In a profile, text for a call has names in braces and no other template: nothing else is filled in, and
    nothing is evaluated."""
    for text in _texts(value) if PROFILE_PLACES in (info.context or {}) else ():
        if match := _CODE.search(PLACEHOLDER.sub("", text)):
            raise ValueError(f"{match[0]!r} is not evaluated: write a name in braces, as {{id}} or {{option.account}}")
    return value


_CODE = re.compile(r"[{}`]|\$\(|<%")


CallPath = Annotated[
    str, formatted_like(r"(?s)(/.*)?", "/api/runs"), AfterValidator(without_code), AfterValidator(plain_path)
]
"""Below the address of the system."""


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from (str(name), *_texts(item))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


class HttpCall(MappedCall):
    """One request. In path, query and body a name in braces is filled in."""

    known_places = frozenset({"id"})

    server: Annotated[str, AfterValidator(lambda url: url and checked_origin(url))] = ""
    """Address of the server that answers it, where that is not `url` of the system."""
    path: Annotated[CallPath, formatted_like(r"(?s)/.*", "/api/runs")] = Field(examples=["/api/runs"])
    """Below the address, beginning with a slash."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    """GET, or what the API wants."""
    query: dict[str, Annotated[PlainValue | dict[str, PlainValue], AfterValidator(without_code)]] = Field(
        default_factory=dict
    )
    """Behind the question mark; a table is sent as JSON."""
    body: dict[str, Annotated[Any, AfterValidator(without_code)]] | None = None
    """As JSON."""

    @cached_property
    def places(self) -> frozenset[str]:
        """The names in braces that are filled in, found once: each request asks for them."""
        return frozenset(self._found_places())

    def _found_places(self) -> set[str]:
        return set(PLACEHOLDER.findall(json.dumps([self.path, self.query, self.body], default=str)))


class HttpHeadersCall(HttpCall):
    """A request with headers of its own."""

    headers: dict[HeaderName, Annotated[HeaderText, AfterValidator(without_code)]] = Field(default_factory=dict)
    """Headers of this call besides those of every request; a name in braces is filled in."""

    def _found_places(self) -> set[str]:
        return super()._found_places() | self._header_places

    @property
    def _header_places(self) -> set[str]:
        return set(PLACEHOLDER.findall(json.dumps(self.headers)))


class HttpListCall(HttpCall):
    """A request that is answered with rows."""

    may_nest: ClassVar[bool] = False
    table: ClassVar[str]
    """Its key in the mapping."""
    method: ReadMethod = "GET"
    """GET, or POST where the API takes the filter in a body."""

    rows: FieldPath = ""
    """Path to their list in the answer; empty: the answer is the list; "tasks.*": an object of rows, whose names are
    their field "*"; of runs "jobs.*.builds": the rows of every row of a list, which is their field "*"."""
    rows_optional: StrictBool = False
    """An answer without it has no rows: the API leaves out empty lists."""
    columns: FieldPath = ""
    """Path to the columns, where each row is a list of values: the `name` of each is the field of its value."""
    count: FieldPath = ""
    """Path to the number of rows: where fewer came on all pages together, rows are missing, and that is reported."""
    next: FieldPath = ""
    """Path to the token of the next page, for {cursor}; the first page is requested without it. "Link": the header of
    that name, whose link of the relation "next" has the token."""
    next_query: str = ""
    """At `next` is a link, and the token is the value of this name in its query; the link is never followed."""
    next_path: CallPath = ""
    """Path of later pages, {cursor} in it, where they have one of their own. Of a link at `next`, the token is the last
    part of its path."""
    first_page: int = Field(default=1, ge=0, le=1, strict=True)
    """The first {page}: 1, or 0 where the API counts pages from 0."""
    paging: Literal["none", "server", "capped"] | None = None
    """"none": it gives all rows at once, however many. "server": it decides how many rows a page has; by {offset} or
    {page} the list is read up to a page without rows. "capped": it gives {limit} rows at most and no others, so as
    many are reported. Else it pages by {cursor}, {offset} or {page}, and takes {limit}."""

    def _found_places(self) -> set[str]:
        return super()._found_places() | set(PLACEHOLDER.findall(self.next_path))

    @field_validator("rows")
    @classmethod
    def one_star(cls, path: str) -> str:
        names = path.split(".")
        if names[0] == "*" or names.count("*") > 1:
            raise ValueError(f'{path!r} may have one ".*", behind a name: write "tasks.*" or "jobs.*.builds"')
        if "*" in names[:-1] and not cls.may_nest:
            raise ValueError(f'{path!r}: only runs has the rows of every row of a list. Fix: name one list, as "jobs"')
        return path

    @property
    def is_nested(self) -> bool:
        """Whether its rows are those of every row of a list."""
        return ".*." in self.rows

    @model_validator(mode="after")
    def one_way_to_page(self, info: ValidationInfo) -> Self:
        if "end" in self.places and "offset" not in self.places:
            raise ValueError("{end} is {offset} and {limit} together: send {offset} as well")
        paging = sorted({"cursor", "offset", "page"} & self.places)
        if self.next and "cursor" not in self.places:
            raise ValueError(
                f'next: "{self.next}" is the token of the next page, which no page is requested with. '
                "Fix: send {cursor} in query or body, or in next_path"
            )
        if self.next == NEXT_HEADER and not (self.next_query or self.next_path):
            raise ValueError(
                f'next: "{NEXT_HEADER}" is the header with the link of the next page. '
                "Fix: name in next_query the parameter of that link that has the token"
            )
        if "cursor" in self.places and not self.next:
            key = self._key_with("{cursor}")
            raise ValueError(f"{key}{{cursor}} is the token of the next page. Fix: name in next where an answer has it")
        by_server = self.paging == "server" and paging
        takes_limit = (paging or self.paging == "capped") and {"limit", "end"} & self.places
        is_bounded = self.paging == "none" or by_server or takes_limit
        if PROFILE_PLACES in (info.context or {}) and not is_bounded:
            raise ValueError(
                f"{'query: ' if self.query else ''}its pages have no bound: send {{limit}}, and {{cursor}}, {{offset}} "
                "or {page}; or say paging = "
                '"none" where one answer is the whole list'
            )
        if self.first_page == 0 and "page" not in self.places:
            raise ValueError("first_page: no page is requested by its number. Fix: send {page}, or remove first_page")
        if len(paging) > 1:
            raise ValueError(f"it pages by {{{paging[0]}}} and by {{{paging[1]}}}: keep one")
        if paging and self.paging in ("none", "capped"):
            raise ValueError(f'paging = "{self.paging}", and it pages by {{{paging[0]}}}: keep one')
        if self.next_path and ("{cursor}" not in self.next_path or self.next_query):
            raise ValueError("next_path: send {cursor} in it, and leave out next_query")
        return self


class HttpJobsCall(HttpListCall, MappedJobFields):
    """The list of jobs; where an API has none, its list of runs."""

    table = "jobs"

    known_places = frozenset({"limit", "cursor", "offset", "page"})

    only_with: FieldPath = ""
    """Rows without a value here are not jobs, and left out."""
    retries: FieldPath = ""
    """How often the source tries a failed run of the job again, where each try is a run that names no other."""


class HttpJobRunsCall(HttpListCall):
    """The list of the runs of one job, where a run does not name its job."""

    table = "runs.of_job"
    known_places = frozenset({"limit", "cursor", "offset", "page", "job"})

    id: FieldPath = Field(min_length=1)
    """Identity of the run."""


class HttpOpenRunsCall(HttpListCall):
    """The list of the open runs, whose rows are as those of runs."""

    table = "runs.open"
    known_places = frozenset({"limit", "cursor", "offset", "page"})


class HttpQueueCall(HttpListCall):
    """The list of the requested runs that have no id yet; they show our key as runs do."""

    table = "runs.queue"
    known_places = frozenset()


class HttpChildrenCall(HttpListCall, MappedFields):
    """The list of the runs that one run started. Their states are those of runs."""

    table = "parts.children"
    known_places = frozenset({"limit", "cursor", "offset", "page", "id"})

    id: FieldPath = Field(min_length=1)
    """Its identity, which grows with each try: {part} of the log."""
    name: FieldPath = Field(min_length=1)
    """Its name, the same for each try."""
    state: FieldPath = Field(min_length=1)
    """Its native state."""
    started: FieldPath = ""
    """When it began."""
    ended: FieldPath = ""
    """When it ended."""
    message: FieldPath = ""
    """Why it failed."""
    account: FieldPath = ""
    """The account that started this try."""

    @model_validator(mode="after")
    def tries_share_a_name(self) -> Self:
        if self.id == self.name:
            raise ValueError(
                f'name is the same for each try of a part, and id is not: both are "{self.id}". Fix: name another '
                "field, or leave out [parts] and name in runs.attempt the number of the latest attempt"
            )
        return self


class HttpPartsCall(HttpChildrenCall):
    """The list of the parts of one run, each with all of its tries: the jobs of a pipeline. Their states are those of
    runs."""

    table = "parts"

    children: HttpChildrenCall | None = None
    """The list of the runs that the run started, as parts without a log; one without a state started none. A run that
    succeeded counts as running until they have ended, and as partial where one of them failed."""


class HttpRunsCall(HttpListCall, MappedRunFields):
    """The list of runs, oldest change first where the API can; with {job}, each job has its own."""

    table = "runs"
    known_places = frozenset({"limit", "cursor", "offset", "page", "end", "since", "until", "job"})
    may_nest = True

    job: FieldPath = ""
    """The id of its job; without it, of_job. "*": the job whose list it is, where each job has its own."""
    attempt: FieldPath = ""
    """The number of its latest attempt, where a rerun repeats a run under its id and no other attempt is listed."""
    attempt_counts: Literal["attempts", "starts"] = "attempts"
    """"starts": the number at attempt rises when an attempt begins, so one that waits or is queued is the next."""
    first_started: FieldPath = ""
    """When its first attempt began, where the list does not show when the latest one began. started is then where a
    single run shows that: "attempts[-1].began"."""
    retry: FieldPath = ""
    """The id of the run that the source starts next because this one failed: both are attempts of one run. Until that
    one is read, alone if need be, this one is RETRYING; a failed run whose next one is gone stays failed."""
    retry_within: int = Field(default=600, ge=1, le=86_400, strict=True)
    """With jobs.retries or retried_by: the next try begins at most so many seconds after the end of a failed run."""
    retried_by: FieldPath = ""
    """The one that repeats a run whose state is `retrying`: without a value, or after retry_within, it has failed."""
    only_with: FieldPath = ""
    """Rows without a value here are of no job, and left out."""
    open: HttpOpenRunsCall | None = None
    """The list of open runs, where this one has ended runs alone."""
    queue: HttpQueueCall | None = None
    """The queue in which a requested run waits before it is listed."""
    of_job: HttpJobRunsCall | None = None
    """The list of a job's runs, where a run does not name its job."""
    history_days: int = Field(default=0, ge=0, le=3650, strict=True)
    """How far back the first poll reads; 0: all."""
    retention_days: int = Field(default=0, ge=0, le=3650, strict=True)
    """How long the source keeps runs; 0: for ever. No poll asks further back, and one after a longer pause reports a
    gap."""
    oldest_first: StrictBool = False
    """The list is sorted by change, the oldest first, and takes {since}: a poll goes on from the last change, so that
    rows that move to the end while it reads hide no others."""

    one: CallPath = ""
    """Path of a single run, {id} in it, and {job}: open runs that the list does not show any more are looked up
    there."""
    gone_text: str = ""
    """Text in the body of a refusal with status 400 by which a single run is gone, as with 404."""
    expired_text: str = ""
    """Text in the body of a refusal with status 400 by which the token of a later page has expired, as with 410: the
    list is read again from the last change that was read completely."""
    one_row: FieldPath = ""
    """Path to the run in that answer; empty: the answer is the run."""
    newest_first: StrictBool = False
    """The list is sorted by when runs were made, the newest first: a poll reads it down to what it knew."""

    def _found_places(self) -> set[str]:
        return super()._found_places() | (set(PLACEHOLDER.findall(self.one)) - {"id", "job"})

    @model_validator(mode="after")
    def sorted_by_a_field(self) -> Self:
        if self.newest_first and not (self.queued or self.started):
            raise ValueError("newest_first: say in queued or started when a run was made")
        if self.attempt_counts == "starts" and not self.attempt:
            raise ValueError('attempt_counts = "starts": name in attempt the field with the number')
        if self.first_started and (self.started == self.first_started or not self.attempt):
            raise ValueError(
                "first_started: name in attempt the number of the latest attempt, and leave out started, or name in it "
                "when that one began"
            )
        if self.first_started and self.duration and not self.ended:
            raise ValueError(
                "duration: with first_started, a later attempt would end by the start of the first one. "
                "Fix: name ended, or leave out duration"
            )
        if self.retry and (not self.one or self.attempt):
            raise ValueError("retry: say in one where the next run is read alone, and leave out attempt")
        if self.one and "{id}" not in self.one:
            raise ValueError(f'one: "{self.one}" is the same for every run. Fix: send {{id}} in it')
        if self.oldest_first and not ({"since", "page"} <= self.places and self.changed):
            raise ValueError("oldest_first: send {since} and {page}, and say in changed when a row changed")
        if self.queue is not None and not self.key:
            raise ValueError("queue: say in key where a run shows our key")
        if bool(self.job) == (self.of_job is not None):
            raise ValueError("a run names its job (job), or each job lists its runs (of_job): give one of them")
        return self


class HttpLogFilesCall(HttpListCall):
    """The list of the files that are together the log of a run."""

    table = "log.files"
    known_places = frozenset({"limit", "cursor", "offset", "page", "id", "job"})

    id: FieldPath = Field(min_length=1)
    """Identity of the file: {file} of the log."""
    title: FieldPath = Field(min_length=1)
    """Its name, the line before its text."""


class HttpLogCall(HttpHeadersCall):
    """The log of a run."""

    known_places = frozenset({"id", "job", "part", "file", "attempt", "since", "until", "offset", "cursor"})
    method: ReadMethod = "GET"

    files: HttpLogFilesCall | None = None
    """The list of its files; the log is then each {file}, one after the other."""

    text: FieldPath = ""
    """Path to it in a JSON answer; empty: the answer is the log."""
    text_is_json: StrictBool = False
    """The text is JSON itself: a text in quotes, or null without a log."""
    parts: FieldPath = ""
    """Path to a list of parts, together the log; text is then a field of each."""
    next: FieldPath = ""
    """Path to the token of the next parts, for {cursor}: a number of a line, or a text. The first ones are requested
    without it; an answer without parts, or with the token of before, is the last one. Of a text by {offset}: the byte
    behind it."""
    ranges: StrictBool = False
    """The server answers Range requests, so that a long log is read in pieces."""

    @model_validator(mode="after")
    def text_of_each_part(self) -> Self:
        if self.text_is_json and not self.text:
            raise ValueError("text_is_json: name in text where an answer has the log")
        if self.parts and not self.text:
            raise ValueError("parts: say in text which field of each part is the log")
        if "offset" in self.places and self.next and not self.text:
            raise ValueError(
                "text: next is the byte behind a text by {offset}. Fix: name in text where an answer has it"
            )
        is_by_offset = "offset" in self.places and bool(self.text) and not self.parts
        if not is_by_offset and ((not self.parts and self.next) or ("cursor" in self.places) != bool(self.next)):
            raise ValueError(
                "next: {cursor} and next belong together, for a log in parts: {cursor} is the value at next"
            )
        if ("file" in self.places) != (self.files is not None) or (self.files and (self.text or self.ranges)):
            raise ValueError("files: send {file} in the path of the log, and leave out text, parts and ranges")
        if "offset" in self.places and (self.parts or self.ranges or {"file", "cursor"} & self.places):
            raise ValueError("path: {offset} is a byte of one log: leave out parts, ranges, {file} and {cursor}")
        if is_by_offset and not self.next:
            raise ValueError(
                "next: a text by {offset} needs the byte behind it. Fix: name in next where an answer has it"
            )
        return self


class HttpWriteCall(HttpHeadersCall):
    """A call that changes something; it is sent once."""

    redirects: StrictBool = False
    """It answers what it has done with a redirect to a page at or below {job} or {id} in its path, which is not
    followed. After any other redirect the outcome is looked up."""


class HttpVerbCall(HttpWriteCall):
    """The call of an action."""

    known_places = frozenset({"id", "job", "key", "period"})
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    title: str = ""
    """Native name of the action: "retry the failed jobs"."""

    def _found_places(self) -> set[str]:
        return super()._found_places() - self.copied

    @property
    def secret_places(self) -> set[str]:
        elsewhere = set(PLACEHOLDER.findall(self.path)) | self._header_places
        return set(PLACEHOLDER.findall(json.dumps([self.query, self.body], default=str))) - elsewhere

    @property
    def copied(self) -> set[str]:
        """The fields of the run that a rerun sends again, as {run.argument}."""
        return {name for name in super()._found_places() if name.startswith("run.")}


class HttpActionListCall(HttpListCall):
    """The list of actions that the API accepted with {key}; empty if the action did not arrive."""

    table = "verbs.actions"
    known_places = frozenset({"limit", "cursor", "offset", "page", "key"})

    run: FieldPath = Field(min_length=1)
    """The id of the run that an action made or repeated; an action without one is not done yet."""


class HttpVerbs(MappedVerbs[HttpVerbCall]):
    """The calls of the verbs, and the list by which an action is found."""

    shows_key: ClassVar[str] = "name in runs.key where a run shows it, or in verbs.actions the list that does"
    actions: HttpActionListCall | None = None
    """Where no run shows the key of an action, it is looked up here."""


class HttpAccountCall(HttpCall):
    """The account of the token at the API."""

    known_places = frozenset()
    method: ReadMethod = "GET"

    name: FieldPath = Field(min_length=1)
    """Path to the account's name, as `parts.account` shows it."""


class HttpLivenessCall(HttpCall, MappedLiveness):
    """The call whose answer shows whether the scheduler starts jobs."""

    known_places = frozenset()
    method: ReadMethod = "GET"


class HttpSwitchCall(HttpWriteCall):
    """A call that pauses or resumes a job and writes no text; written as its path alone, a POST."""

    known_places = frozenset({"job", "key"})
    method: Literal["POST", "PUT", "PATCH", "DELETE"] = "POST"


class HttpResumeCall(HttpSwitchCall):
    """A call that resumes a job. With {note} it writes the text as well, which outlives the pause then."""

    known_places = HttpSwitchCall.known_places | {"note"}

    @property
    def writes_text(self) -> bool:
        return "note" in self.places


class HttpHoldCall(HttpWriteCall):
    """The call that writes a text of a job, which takes the mark, and pauses or resumes the job unless calls of their
    own do. With `resume` and no `pause` it pauses the job, and the text is the reason of the pause, which each pause
    replaces or clears, unless `resume` writes it too."""

    known_places = frozenset({"job", "enabled", "paused", "note", "key"})
    method: Literal["POST", "PUT", "PATCH"] = "PUT"

    job_path: CallPath = ""
    """Path of the job, {job} in it: it is read again right before it is written. Empty: the list is read for it."""
    pause: HttpSwitchCall | None = None
    """The call that pauses the job, where that is one of its own: it is sent after the text."""
    resume: HttpResumeCall | None = None
    """The call that resumes the job: it is sent before the text. A reason ends with the pause, and is not written.
    With {note}: the text is written with the pause and with this call, and stays after it."""
    note: Annotated[str, formatted_like(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", "suspension.reason")] = Field(
        examples=["description"]
    )
    """Path to the text of a job."""
    one_line: StrictBool = False
    """The text has no line breaks: the mark follows it after a space, and not on a line of its own."""
    note_in: Literal["list", "job"] = "list"
    """"job": the list of jobs does not show the text, so each paused job is read by job_path."""

    def _found_places(self) -> set[str]:
        return super()._found_places() | set(PLACEHOLDER.findall(self.job_path))

    @property
    def is_reason(self) -> bool:
        """Whether the text is the reason of a pause, which ends with it."""
        return self.resume is not None and self.pause is None and not self.resume.writes_text

    @model_validator(mode="before")
    @classmethod
    def switches_by_path(cls, document: Any) -> Any:
        """A path alone is a POST."""
        if not isinstance(document, dict):
            return document
        calls = {name: document[name] for name in ("pause", "resume") if isinstance(document.get(name), str)}
        return {**document, **{name: {"path": path} for name, path in calls.items()}}

    @model_validator(mode="after")
    def switches_have_its_server(self) -> Self:
        """A call that names no `server` or `redirects` has those of the hold."""
        shared = {"server": self.server, "redirects": self.redirects}
        calls: dict[str, HttpSwitchCall] = {}
        for name, call in (("pause", self.pause), ("resume", self.resume)):
            if call is not None:
                inherited = {key: shared[key] for key in shared.keys() - call.model_fields_set}
                calls[name] = call.model_copy(update=inherited)
        return self.model_copy(update=calls)

    @model_validator(mode="after")
    def writes_both(self) -> Self:
        if self.pause and not self.resume:
            raise ValueError("pause: a hold must be released as well. Fix: name the call resume")
        if self.pause and self.resume and self.resume.writes_text:
            raise ValueError("resume: the call at path writes {note} already. Fix: remove {note} here, or remove pause")
        if misplaced := sorted({*PLACEHOLDER.findall(f"{self.path} {self.job_path}")} & {"enabled", "paused"}):
            raise ValueError(
                f"{{{misplaced[0]}}} is true or false, which no path takes. Fix: send it in body or query, or name the "
                "calls pause and resume"
            )
        sent = super()._found_places()
        if "job" not in sent:
            raise ValueError("path: the call is the same for every job. Fix: send {job} in it")
        if "note" not in sent:
            key = "path" if self.body is None else "body"
            raise ValueError(
                f"{key}: the call sends no {{note}}, so it writes no mark. Fix: send {{note}} in body or query"
            )
        if bool({"enabled", "paused"} & sent) != (self.resume is None):
            raise ValueError(
                "send {enabled} or {paused}; or name the calls pause and resume; or only resume, where this call "
                "pauses the job and {note} is its reason"
            )
        if (self.job_path or self.note_in == "job") and "{job}" not in self.job_path:
            raise ValueError("job_path: send {job} in it: it is read before each write, and with note_in for its mark")
        return self


class HttpMapping(StrictOptions):
    """How the lists of an API are read, and the calls of actions."""

    limit: int = Field(default=100, ge=1, le=10_000, strict=True)
    """Rows of a page: {limit}."""
    overlap: float = Field(default=60.0, ge=0, le=86_400, strict=True)
    """Seconds before the newest change that are read again: rows may be written late."""
    requests_per_second: float | None = Field(default=None, ge=0.2, le=1000)
    """Requests per second, at most. Polls and actions are limited separately: set half of the API's limit."""
    slash: Annotated[str, formatted_like(r"(/[a-z]+/)?", "/job/")] = ""
    """In a path it replaces each slash in the id of a job, where jobs are in folders. The id of a run is then that of
    its job, a slash and a number."""
    jobs: HttpJobsCall
    """The list of jobs."""
    runs: HttpRunsCall
    """The list of runs."""
    states: States
    """Its states of a run, and ours."""
    log: HttpLogCall | None = None
    """Where a run's log is; with parts, the log of {part}."""
    parts: HttpPartsCall | None = None
    """The parts of a run, and so its attempts."""
    account: HttpAccountCall | None = None
    """The account that we use, by which a rerun is found again."""
    liveness: HttpLivenessCall | None = None
    """Whether the scheduler starts jobs."""
    hold: HttpHoldCall | None = None
    """How a job is paused under a mark."""
    verbs: HttpVerbs = HttpVerbs()
    """The calls of actions."""

    @model_validator(mode="after")
    def actions_are_found_again(self) -> Self:
        rerun = self.verbs.rerun
        if any(call is not None and call.copied for call in (self.verbs.start, self.verbs.cancel, self.verbs.mark)):
            raise ValueError("verbs: only rerun sends a field of a run ({run.…}) again")
        if rerun is not None and rerun.copied and not self.runs.one:
            raise ValueError(f"verbs.rerun: {{{min(rerun.copied)}}} is read from the run. Fix: name runs.one")
        self._require_places()
        attempts = {"[parts]": self.parts, "runs.first": self.runs.first, "runs.attempt": self.runs.attempt}
        counted_by = [name for name, setting in attempts.items() if setting]
        is_counted = rerun is not None and self.counts_attempts(rerun)
        if is_counted and not self.runs.one:
            raise ValueError(
                "verbs.rerun: its attempt could not be looked up. "
                'Fix: name in runs.one the path of a single run, as "/api/runs/{id}"'
            )
        if is_counted and self.parts is not None and not (self.verbs.actions or (self.account and self.parts.account)):
            raise ValueError(
                "verbs.rerun: an attempt of Headway looks like an attempt of a person, so a lost rerun would "
                "never be found. Fix: name parts.account and [account]; or, where a retry is a run of its own, send "
                "{key} and name runs.key, or name runs.first and remove [parts]"
            )
        key_field = self.runs.key or (self.verbs.actions.run if self.verbs.actions else "")
        (self.verbs.model_copy(update={"rerun": None}) if is_counted else self.verbs).require_key(key_field)
        if len(counted_by) > 1:
            key = counted_by[-1] if counted_by[-1] != "[parts]" else "parts"
            raise ValueError(
                f"{key}: attempts of a run are counted by {' and by '.join(counted_by)}. Fix: keep one of them"
            )
        if self.runs.attempt and not self.runs.one:
            raise ValueError(
                "runs.attempt: an attempt that ended unseen could not be looked up. "
                'Fix: name in runs.one the path of a single run, as "/api/runs/{id}"'
            )
        place = re.search(r"\[-?\d+\]", self.runs.key)
        if place and rerun is not None and "key" in rerun.places and (self.runs.attempt or self.parts is not None):
            raise ValueError(
                f'runs.key: "{self.runs.key}" shows one rerun of a run, and a second one would not be found. '
                f"Fix: write [*] for {place[0]}"
            )
        if self.hold is not None:
            self._require_readable_hold(self.hold)
        if self.log is not None and ("part" in self.log.places) != (self.parts is not None):
            raise ValueError("log.path: {part} and [parts] belong together. Fix: send {part}, or remove [parts]")
        if self.log is not None and "attempt" in self.log.places and not self.runs.attempt:
            raise ValueError("log: {attempt} is the number of an attempt. Fix: name it in runs.attempt, or remove it")
        return self

    def require_own_headers(self, sign_in: Collection[str]) -> None:
        """Raises ValueError for a header of a call that would replace one of the sign-in."""
        taken = {name.lower() for name in sign_in}
        calls: dict[str, HttpHeadersCall | None] = {"log": self.log, "hold": self.hold}
        calls |= {f"verbs.{key}": call for key, call in self.verbs.named.items()}
        if self.hold is not None:
            calls |= {"hold.pause": self.hold.pause, "hold.resume": self.hold.resume}
        for key, call in calls.items():
            for name in call.headers if call is not None else ():
                if name.lower() in taken:
                    raise ValueError(f"{key}.headers.{name}: the sign-in sends this header. Fix: remove it")

    def _require_places(self) -> None:
        """Raises ValueError for a call that would be about another run or job."""
        self.verbs.require_places("id")
        if self.verbs.rerun is not None and (self.parts is not None or self.runs.attempt):
            self.verbs.rerun.require_place("verbs.rerun", "id")
        if self.verbs.actions is not None:
            self.verbs.actions.require_place("verbs.actions", "key")
            if self.verbs.rerun is not None:
                self.verbs.rerun.require_place("verbs.rerun", "key")
        if self.log is not None:
            self.log.require_place("log", "id", "part", "file")
            if self.log.files is not None:
                self.log.files.require_place("log.files", "id")
        if self.parts is not None:
            self.parts.require_place("parts", "id")
            if self.parts.children is not None:
                self.parts.children.require_place("parts.children", "id")
        if self.runs.of_job is not None:
            self.runs.of_job.require_place("runs.of_job", "job")
        if self.hold is not None:
            for name, call in {"pause": self.hold.pause, "resume": self.hold.resume}.items():
                if call is not None:
                    call.require_place(f"hold.{name}", "job")

    def counts_attempts(self, rerun: HttpVerbCall) -> bool:
        """Whether a rerun is found by the attempts of its run: it repeats the run under its id, or neither a
        run nor verbs.actions shows its key."""
        by_run = self.parts is not None or (bool(self.runs.first) and self.verbs.actions is None)
        return bool(self.runs.attempt) or (by_run and not ("key" in rerun.places and self.runs.key))

    def poll_problem(self, seconds: float) -> str:
        """Why a page of runs, with the lists of parts of each, cannot be read within a poll of so many seconds; "" if
        it can."""
        rate, lists = self.requests_per_second, 0 if self.parts is None else 1 + (self.parts.children is not None)
        needed = (1 + self.limit * lists) / rate if rate and lists else 0.0
        if rate is None or needed <= seconds:
            return ""
        most = max(1, int((seconds * rate - 1) / lists))
        time = math.ceil(needed)
        return (
            f"a page of {self.limit} runs takes {1 + self.limit * lists} requests with their parts, {time} s at "
            f"requests_per_second = {rate:g}, and a poll has {seconds:g} s (poll_timeout). Fix: set limit = {most}, or "
            f'poll_timeout = "{time}s" in the system'
        )

    def _require_readable_hold(self, hold: HttpHoldCall) -> None:
        """Raises ValueError for a hold that no answer could show."""
        jobs = self.jobs
        if not (jobs.paused or jobs.enabled):
            raise ValueError("hold: no answer shows whether a job is paused. Fix: name jobs.paused or jobs.enabled")
        if hold.note in (jobs.id, jobs.paused, jobs.enabled):
            raise ValueError(
                f'hold.note: "{hold.note}" is the id or the pause of a job, and never returns the mark. '
                "Fix: name the field that returns {note}, or remove [hold] and give lacks.hold"
            )


class HttpOptions(AccountOptions, HttpMapping):
    """Address of the API, the account, and how its lists are read."""

    url: str = Field(examples=["https://batch.example.com"])
    """Address, with the path that all calls share."""
    headers: dict[HeaderName, SecretRef] = Field(default_factory=dict)
    """Other headers whose values are secrets: { "X-Api-Key" = { env = "KEY" } }."""

    @model_validator(mode="after")
    def holds_by_a_profile(self) -> Self:
        if self.hold is not None:
            raise ValueError("hold: only a profile holds; write one with headway connector new NAME --profile")
        return self

    @model_validator(mode="after")
    def one_authorization(self) -> Self:
        account = "token" if self.token is not None else "password" if self.password is not None else ""
        name = next((name for name in self.headers if name.lower() == "authorization"), "")
        if account and name:
            raise ValueError(f'headers: "{name}" and {account} both set the Authorization header: remove one of them')
        self.require_own_headers({*self.headers, *(["authorization"] if account else [])})
        return self
