"""The AWS client: boto3 signs and parses, our own HTTP client sends; one deadline per call, errors of the contract.

botocore's timeouts count per socket operation, it has no size limit, and it takes a torn body for an empty answer. Its
event "before-send" lets another sender answer (figures: docs/decisions/2026-11-20-aws-sender.md).

Error codes: "Common Errors" and the operations' own errors in the API references of Step Functions, EventBridge
Scheduler, Glue, Batch and CloudWatch Logs. AWS has no question "what may I?" that needs no permission itself, so
permissions are tried.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from copy import copy
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any, cast

import httpx
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.hooks import HierarchicalEmitter
from botocore.loaders import Loader, create_loader
from botocore.parsers import ResponseParserError

from connectors.sdk.aws.options import AwsIdentity, AwsOptions
from connectors.sdk.aws.values import AwsReply
from connectors.sdk.contract import SecretResolver, SourcePermission
from connectors.sdk.errors import (
    AccessRefused,
    ConnectorError,
    InvalidAnswer,
    NotSupported,
    OutcomeUnknown,
    PermissionMissing,
    RateLimited,
    RecordUnreadable,
    SystemUnreachable,
)
from connectors.sdk.fields import masked_head
from connectors.sdk.records import Inventory, JobRecord, SkippedRecord, TargetClock
from connectors.sdk.transport.call_limits import Deadline, lists_requests
from connectors.sdk.transport.http import LATER as LATER_STATUSES
from connectors.sdk.transport.http import LISTED, NEVER_5XX, HttpEndpoint, HttpReply, Transport, retry_after
from connectors.sdk.transport.http import REFUSED as REFUSED_STATUSES

NO_IDENTITY = (
    NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound, SSOError,
    TokenRetrievalError,
)  # fmt: skip
THROTTLED_SECONDS = 5.0
_TITLE = re.compile(r"<title[^<>]*>([^<]*)</title", re.IGNORECASE)
SERVICES = {"stepfunctions": "states", "emr": "elasticmapreduce"}
"""Names of services in IAM, where they differ."""
PERMISSIONS = {
    "ListObjectsV2": "s3:ListBucket",
    "UpdateSchedule": "scheduler:UpdateSchedule, and iam:PassRole on the schedule's role,",
}
EVERYWHERE = frozenset({
    "ListStateMachines", "DescribeStateMachine", "ListExecutions", "DescribeExecution", "GetJobs", "GetJobRuns",
    "DescribeJobQueues", "ListJobs", "DescribeJobs", "ListSchedules", "ListClusters", "ListSteps", "DescribeStep",
})  # fmt: skip
"""Operations of every AWS server: a 500 is temporary there, and elsewhere may mean a missing operation."""


class AwsNotFound(NotSupported):
    """The requested object does not exist."""


class AwsNoIdentity(AccessRefused):
    """No identity: this machine has no keys, or not the named profile. No permission is missing."""


class AwsAlreadyExists(NotSupported):
    """An execution of this name exists: the request arrived before."""


SORTS: Mapping[type[ConnectorError], tuple[str, ...]] = {
    AccessRefused: (
        "ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "InvalidClientTokenId",
        "InvalidSignatureException", "MissingAuthenticationToken", "MissingAuthenticationTokenException",
        "OptInRequired", "SignatureDoesNotMatch", "UnrecognizedClientException",
    ),
    PermissionMissing: ("AccessDenied", "AccessDeniedException", "KmsAccessDeniedException", "NotAuthorized"),
    RateLimited: (
        "KmsThrottlingException", "RequestLimitExceeded", "ServiceQuotaExceededException", "SlowDown", "Throttling",
        "ThrottlingException", "TooManyRequestsException",
    ),
    InvalidAnswer: (
        "InternalFailure", "InternalServerError", "InternalServerException", "InternalServiceException",
        "OperationTimeoutException", "RequestAbortedException", "RequestExpired", "RequestTimeout",
        "RequestTimeoutException", "ServerException", "ServiceUnavailable", "ServiceUnavailableException",
    ),
    AwsNotFound: (
        "EntityNotFoundException", "ExecutionDoesNotExist", "ResourceNotFound", "ResourceNotFoundException",
        "StateMachineDoesNotExist",
    ),
    AwsAlreadyExists: ("ExecutionAlreadyExists",),
    NotSupported: (
        "ClientException", "ConcurrentRunsExceededException", "ConflictException", "ExecutionLimitExceeded",
        "ExecutionNotRedrivable", "InvalidArn", "InvalidExecutionInput", "InvalidInputException", "InvalidName",
        "InvalidParameterException", "InvalidRequestException", "InvalidToken", "KmsInvalidStateException",
        "MalformedHttpRequestException", "RequestEntityTooLargeException", "ResourceNumberLimitExceededException",
        "StateMachineDeleting", "StateMachineTypeNotSupported", "UnknownOperationException",
        "ValidationError", "ValidationException",
    ),
}  # fmt: skip
BY_CODE = {code: sort for sort, codes in SORTS.items() for code in codes}
"""Error code -> its sort; any other is sorted by its HTTP status."""


def permission_of(service: str, operation: str) -> str:
    """The IAM action that allows an operation of a service (boto3's name of it)."""
    return PERMISSIONS.get(operation, f"{SERVICES.get(service, service)}:{operation}")


def operation_of(method: str) -> str:
    """AWS's name of an operation, by that of its method in boto3."""
    return method.title().replace("_", "")


def _listed(service: str, method: str, parameters: Mapping[str, Any]) -> str:
    """A call in a list of requests: its service, operation, and parameters that are names or numbers, no tokens."""
    plain = (
        f" {name}={value}"
        for name, value in parameters.items()
        if isinstance(value, str | int) and not name.endswith("Token")
    )
    return f"{service} {operation_of(method)}{''.join(plain)}"


def sorted_client_error(error: ClientError, place: str, service: str, once: bool) -> ConnectorError:
    """The contract's error for an error answer. `once`: an action was sent; a server error leaves it unknown."""
    details, metadata = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
    code, operation = str(details.get("Code", "")), str(error.operation_name)
    status, headers = int(metadata.get("HTTPStatusCode", 0)), dict(metadata.get("HTTPHeaders", {}))
    message = " ".join(str(details.get("Message", "")).split())
    reason = f"{code}: {masked_head(message, 300)}"
    if message.startswith("<"):
        title = _TITLE.search(message)
        named = f' "{masked_head(unescape(title[1]).strip(), 100)}"' if title and title[1].strip() else ""
        reason = f"with a web page{named}, as a proxy or a load balancer does"
    text = f"{place}: {operation} answered {status} {reason}"
    is_later = (status >= 500 and status not in NEVER_5XX) or status in LATER_STATUSES
    sort: type[ConnectorError] = InvalidAnswer if is_later else NotSupported
    if code in BY_CODE:
        sort = BY_CODE[code]
    elif status == 429:
        sort = RateLimited
    elif status in REFUSED_STATUSES:
        sort = PermissionMissing if status == 403 else AccessRefused
    if issubclass(sort, PermissionMissing):
        return sort(f"{text}; allow {permission_of(service, operation)} to this identity.")
    if issubclass(sort, AccessRefused):
        return sort(f"{text}. Check the keys, their end, and this machine's clock.")
    if issubclass(sort, RateLimited):
        return sort(text, retry_after(headers.get("retry-after")) or THROTTLED_SECONDS)
    if status == 500 and headers.get("content-type", "").startswith("text/html") and operation not in EVERYWHERE:
        return NotSupported(f"{place}: this server does not have {operation}: 500 with a web page, as no AWS answers")
    if once and issubclass(sort, InvalidAnswer):
        return OutcomeUnknown(f"{text}. It is looked up.")
    return sort(text)


def sorted_local_error(error: Exception, place: str, once: bool) -> ConnectorError:
    text = masked_head(" ".join(str(error).split()), 300)
    if isinstance(error, ProfileNotFound):
        fix = "Fix: add it to ~/.aws/config of the user that runs the engine, or correct profile"
        return AwsNoIdentity(f"{place}: {text.rstrip('.')}. {fix}.")
    if isinstance(error, NO_IDENTITY):
        return AwsNoIdentity(
            f"{place}: {text.rstrip('.')}. Give access_key_id and secret_access_key, a profile, or a role."
        )
    unread = f"{place}: an answer cannot be read: {type(error).__name__}: {text}"
    return OutcomeUnknown(unread) if once else InvalidAnswer(unread)


class AwsSender:
    """Sends what botocore has signed: one deadline and one size limit for the whole call. Not thread safe."""

    def __init__(self, place: str, ca_file: Path | None = None, transport: Transport = None) -> None:
        self.place = place
        self.deadline = Deadline(0.0)
        self.clock: TargetClock | None = None
        """The service's clock by the last answer's Date header."""
        self.once = False
        """True while an action is sent: on a fresh connection, and what is lost after its first byte is unknown."""
        self.listed = ""
        """The call in a list of requests."""
        self._endpoint = HttpEndpoint(place, "", transport=transport, ca_file=ca_file)

    def send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """The answer to a signed request. Raises SystemUnreachable, AccessRefused, or with `once` OutcomeUnknown."""
        url, body = str(request.url), cast("bytes | None", request.body)
        headers = [(_text(name), _text(value)) for name, value in request.headers.items()]
        try:
            message = httpx.Request(
                str(request.method), url, headers=headers, content=body, extensions={LISTED: self.listed}
            )
        except httpx.InvalidURL as error:
            raise RecordUnreadable(
                masked_head(f"{self.place}: a name that no address can hold: {error}", 300)
            ) from None
        call = f"{request.method} {url.partition('?')[0]}"
        reply = self._endpoint.exchange(message, call, self.deadline, self.once, may_repeat=not self.once)
        self.clock = reply.clock or self.clock
        answer_headers: Any = dict(reply.headers)
        return AWSResponse(url, reply.status, answer_headers, _RawBody(self._checked(reply)))

    def close(self) -> None:
        self._endpoint.close()

    def _checked(self, reply: HttpReply) -> bytes:
        """The body that botocore gets. Refused: a login page or a redirect, whatever its status says (moto calls its
        schedules HTML), and a body that is not whole JSON, which botocore takes for an empty answer."""
        if reply.status == 200 and not reply.body and "etag" in reply.headers:  # S3's answer to PutObject
            return b""
        kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_page = kind in ("text/html", "text/plain") and not reply.body.lstrip().startswith(b"{")
        if 300 <= reply.status < 400 or (reply.status < 300 and is_page):
            raise AccessRefused(
                f"{reply.place} is {kind or 'of no content type'}, not as AWS answers: "
                "a login or a proxy is in between. Correct endpoint_url or the network."
            )
        if reply.status >= 300 or kind.endswith("xml"):  # STS answers in XML, the other services in JSON
            return reply.body
        not_numbers: list[str] = []
        try:
            table = reply.parsed(not_numbers.append)
            if not isinstance(table, dict):
                raise InvalidAnswer(f"{reply.place} is a JSON {type(table).__name__}, not an object")
        except InvalidAnswer as error:
            raise (OutcomeUnknown(str(error)) if self.once else error) from None
        return json.dumps(table).encode() if not_numbers else reply.body


class _RawBody(io.BytesIO):
    """A body as botocore wants to read it."""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self.read()


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


MAX_PAGES = 100


class AwsClient:
    """One region as one identity. Clients are created at first use, and again after a refusal. Not thread safe."""

    def __init__(
        self,
        title: str,
        options: AwsOptions,
        secrets: SecretResolver,
        transport: Transport = None,
        addresses: Mapping[str, str | None] | None = None,
    ) -> None:
        """`title`: "Step Functions", for messages. `addresses`: of services that are not at `options.endpoint_url`."""
        self._options, self._secrets, self._addresses = options, secrets, addresses or {}
        self.region = options.region
        self.place = f"{title} {options.endpoint_url or options.region}"
        self.deadline = Deadline(0.0)
        """Of all calls until the next one is set."""
        self._sender = AwsSender(self.place, options.ca_file, transport)
        self._clients: dict[str, Any] = {}

    @property
    def clock(self) -> TargetClock | None:
        """The service's clock, by the last answer."""
        return self._sender.clock

    def call(self, service: str, method: str, needed: str, once: bool = False, **parameters: Any) -> AwsReply:
        """The reply, which has at least the key `needed`: an empty one must not look like an empty list. `once`: it
        changes something; on a fresh connection, and what is lost after its first byte is OutcomeUnknown."""
        if self.deadline.left <= 0:
            raise SystemUnreachable(f"{self.place}: no answer within {self.deadline.seconds:g} s")
        try:
            if service not in self._clients:
                self._clients[service] = self._made(service)
            call: Callable[..., AwsReply] = getattr(self._clients[service], method)
            self._sender.deadline, self._sender.once = self.deadline, once
            self._sender.listed = _listed(service, method, parameters) if lists_requests() else ""
            reply = call(**parameters)
        except ClientError as error:
            result = sorted_client_error(error, self.place, service, once)
            if isinstance(result, AccessRefused):
                self._clients.clear()  # keys may have been changed: they are read again next time
            raise result from None
        except (BotoCoreError, ResponseParserError) as error:
            raise sorted_local_error(error, self.place, once) from None
        except (ValueError, OverflowError, RecursionError, TypeError, KeyError, AttributeError) as error:
            reason = masked_head(str(error), 200)
            text = f"{self.place}: the answer to {method} cannot be read: {type(error).__name__}: {reason}"
            raise (OutcomeUnknown if once else InvalidAnswer)(text) from None
        finally:
            self._sender.once = False
        if needed not in reply:
            text = f"{self.place}: the answer to {method} is without {needed}"
            raise (OutcomeUnknown if once else InvalidAnswer)(text)
        return reply

    def page(
        self, service: str, method: str, rows: str, token_name: str, token: str | None, **parameters: Any
    ) -> tuple[list[AwsReply], str | None]:
        """One page of a list, and the token of the next page."""
        which = {**parameters, token_name: token} if token else parameters
        reply = self.call(service, method, rows, **which)
        return reply[rows], reply.get(token_name)

    def rows(self, service: str, method: str, rows: str, token_name: str, **parameters: Any) -> Iterator[AwsReply]:
        """All rows of a list. `token_name`: of the next page. Raises InvalidAnswer when pages repeat."""
        token, seen = None, set()
        for _ in range(MAX_PAGES):
            page, token = self.page(service, method, rows, token_name, token, **parameters)
            yield from page
            if not token:
                return
            if token in seen:
                break
            seen.add(token)
        operation = operation_of(method)
        raise InvalidAnswer(f"{self.place}: {operation} never ends: its pages repeat")

    def about(self, requested: str, name: str, reply: AwsReply) -> AwsReply:
        """The reply, whose field `name` must be the requested one: a proxy may mix answers up. Raises
        RecordUnreadable."""
        if reply.get(name) != requested:
            answered = f"the answer is about {reply.get(name)}, the request was for {requested}"
            raise RecordUnreadable(f"{self.place}: {answered}")
        return reply

    def identity(self) -> str:
        """The identity as text, by sts:GetCallerIdentity, which needs no permission."""
        try:
            return f"asks as {self.call('sts', 'get_caller_identity', 'Arn')['Arn']}"
        except ConnectorError as error:
            return f"identity unknown: {error}"

    def close(self) -> None:
        self._sender.close()
        self._clients.clear()

    def _made(self, service: str) -> Any:
        import boto3
        from botocore.config import Config

        options = self._options
        config = Config(retries={"total_max_attempts": 1}, inject_host_prefix=False, user_agent_extra="headway")
        session: Any = boto3.session.Session(
            botocore_session=signed_in_session(options, self._secrets), region_name=options.region
        )
        address = self._addresses.get(service, options.endpoint_url)
        client = session.client(service, endpoint_url=address, config=config)
        client.meta.events.register("before-send", self._sender.send)
        return client


def signed_in_session(options: AwsIdentity, secrets: SecretResolver) -> Any:
    """botocore's session of an identity, with its secrets read now. Raises BotoCoreError."""
    import botocore.session

    session = botocore.session.Session(
        event_hooks=copy(_builtin_handlers()), include_builtin_handlers=False, profile=options.profile
    )
    session.register_component("data_loader", _shared_loader())
    if options.access_key_id is not None:
        references = (options.access_key_id, options.secret_access_key, options.session_token)
        keys: list[Any] = [secrets(reference).strip() if reference is not None else None for reference in references]
        session.set_credentials(*keys)
    return session


_shared_loader: Callable[[], Loader] = cache(create_loader)
"""botocore's models of AWS, read once per process."""


@cache
def _builtin_handlers() -> HierarchicalEmitter:
    """botocore's own event handlers, to be copied: registering them is half the cost of a client."""
    import botocore.session

    emitter = HierarchicalEmitter()
    botocore.session.Session(event_hooks=emitter)
    return emitter


def untried_permission(name: str, fix: str) -> SourcePermission:
    """A permission to act, which cannot be checked without acting."""
    return SourcePermission(name, None, "AWS shows this only when it is tried", fix, needed_for="act")


def try_permission(
    service: str, operation: str, do: Callable[[], object], needed_for: str = "view"
) -> SourcePermission:
    """Whether an operation of a service (boto3's name) is allowed; a missing object proves that it is. Raises
    AwsNoIdentity without an identity: then no permission is missing."""
    name = permission_of(service, operation)
    try:
        with suppress(AwsNotFound):
            do()
    except AwsNoIdentity:
        raise
    except AccessRefused as error:
        return SourcePermission(name, False, str(error), f"allow {name} to this identity", needed_for)
    return SourcePermission(name, True, needed_for=needed_for)


def read_inventory(
    client: AwsClient,
    operation: str,
    rows: Iterable[AwsReply],
    read: Callable[[AwsReply], JobRecord | None],
    previous_hash: str,
    selects: Callable[[str], bool],
    unread: Iterable[SkippedRecord] = (),
) -> Inventory:
    """The jobs that `read` makes of the rows (None: deleted). Unreadable rows are skipped, after `unread`."""
    jobs: list[JobRecord] = []
    skipped = [*unread]
    for row in rows:
        try:
            job = read(row)
        except (RecordUnreadable, AccessRefused) as error:
            skipped.append(SkippedRecord(operation, str(error), masked_head(str(row), 200)))
            continue
        if job is not None:
            jobs.append(job)
    return Inventory.since(previous_hash, jobs, not skipped, client.clock, skipped, selects)
