"""botocore's errors, sorted by what happens next.

Codes: "Common Errors" and the operations' own errors in the API references of Step Functions, EventBridge Scheduler,
Glue, Batch and CloudWatch Logs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from typing import Any

from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from connectors.contract import (
    AccessRefused,
    AnswerUnfit,
    ConnectorError,
    NotSupported,
    OutcomeUnknown,
    RightMissing,
    TooBusy,
)
from connectors.transport.http_reply import LATER as LATER_STATUSES
from connectors.transport.http_reply import NEVER_5XX, retry_after
from connectors.transport.http_reply import REFUSED as REFUSED_STATUSES

NO_IDENTITY = (
    NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound, SSOError,
    TokenRetrievalError,
)  # fmt: skip
THROTTLED_SECONDS = 5.0
_TITLE = re.compile(r"<title[^>]*>([^<]*)</title", re.IGNORECASE)
SERVICES = {"stepfunctions": "states"}
"""How a service is called in IAM, where that is not its name."""
RIGHTS = {"UpdateSchedule": "scheduler:UpdateSchedule, and iam:PassRole on the schedule's role,"}
EVERYWHERE = frozenset({
    "ListStateMachines", "DescribeStateMachine", "ListExecutions", "DescribeExecution", "GetJobs", "GetJobRuns",
    "DescribeJobQueues", "ListJobs", "DescribeJobs", "ListSchedules",
})  # fmt: skip
"""What every server of theirs has: a 500 there is a bad moment, elsewhere it may be a server without the operation."""


class Gone(NotSupported):
    """What was asked for is not there (any more)."""


class NoIdentity(AccessRefused):
    """Nobody asks: this machine has no keys for it, or not the profile that is named. No right is missing."""


class AlreadyThere(NotSupported):
    """An execution of this name exists: the request arrived before."""


BY_CODE: Mapping[str, type[ConnectorError]] = {
    **dict.fromkeys(
        (
            "ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "InvalidClientTokenId",
            "InvalidSignatureException", "MissingAuthenticationToken", "MissingAuthenticationTokenException",
            "OptInRequired", "SignatureDoesNotMatch", "UnrecognizedClientException",
        ),
        AccessRefused,
    ),
    **dict.fromkeys(
        ("AccessDenied", "AccessDeniedException", "KmsAccessDeniedException", "NotAuthorized"), RightMissing
    ),
    **dict.fromkeys(
        (
            "KmsThrottlingException", "RequestLimitExceeded", "ServiceQuotaExceededException", "SlowDown", "Throttling",
            "ThrottlingException", "TooManyRequestsException",
        ),
        TooBusy,
    ),
    **dict.fromkeys(
        (
            "InternalFailure", "InternalServerError", "InternalServerException", "InternalServiceException",
            "OperationTimeoutException", "RequestAbortedException", "RequestExpired", "RequestTimeout",
            "RequestTimeoutException", "ServerException", "ServiceUnavailable", "ServiceUnavailableException",
        ),
        AnswerUnfit,
    ),
    **dict.fromkeys(
        (
            "EntityNotFoundException", "ExecutionDoesNotExist", "ResourceNotFound", "ResourceNotFoundException",
            "StateMachineDoesNotExist",
        ),
        Gone,
    ),
    "ExecutionAlreadyExists": AlreadyThere,
    **dict.fromkeys(
        (
            "ClientException", "ConcurrentRunsExceededException", "ConflictException", "ExecutionLimitExceeded",
            "ExecutionNotRedrivable", "InvalidArn", "InvalidExecutionInput", "InvalidInputException", "InvalidName",
            "InvalidParameterException", "InvalidToken", "KmsInvalidStateException", "MalformedHttpRequestException",
            "RequestEntityTooLargeException", "ResourceNumberLimitExceededException", "StateMachineDeleting",
            "StateMachineTypeNotSupported", "UnknownOperationException", "ValidationError", "ValidationException",
        ),
        NotSupported,
    ),
}  # fmt: skip
"""Error code -> its sort; any other is sorted by its HTTP status."""


def code_of(error: ClientError) -> str:
    """AWS's word for the error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def right_of(service: str, operation: str) -> str:
    """The IAM action that allows an operation of a service (boto3's name of it)."""
    return RIGHTS.get(operation, f"{SERVICES.get(service, service)}:{operation}")


def sorted_client_error(error: ClientError, place: str, service: str, once: bool) -> ConnectorError:
    """The contract's error for an error answer. `once`: an action was sent; a server error leaves it unknown."""
    code, operation = code_of(error), str(error.operation_name)
    status, headers = _status(error)
    words = f"{place}: {operation} answered {status} {_said(error, code)}"
    sort = BY_CODE.get(code) or _by_status(status)
    if issubclass(sort, RightMissing):
        return sort(f"{words}; allow {right_of(service, operation)} to this identity.")
    if issubclass(sort, AccessRefused):
        return sort(f"{words}. Check the keys, their end, and this machine's clock.")
    if issubclass(sort, TooBusy):
        return sort(words, retry_after(headers.get("retry-after")) or THROTTLED_SECONDS)
    if status == 500 and headers.get("content-type", "").startswith("text/html") and operation not in EVERYWHERE:
        return NotSupported(f"{place}: this server does not have {operation}: 500 with a web page, as no AWS answers")
    if once and issubclass(sort, AnswerUnfit):
        return OutcomeUnknown(f"{words}. It is looked up.")
    return sort(words)


def _by_status(status: int) -> type[ConnectorError]:
    if status == 429:
        return TooBusy
    if status in REFUSED_STATUSES:
        return RightMissing if status == 403 else AccessRefused
    is_later = (status >= 500 and status not in NEVER_5XX) or status in LATER_STATUSES
    return AnswerUnfit if is_later else NotSupported


def sorted_local_error(error: Exception, place: str, once: bool) -> ConnectorError:
    """The contract's error for one that botocore raised itself."""
    words = " ".join(str(error).split())[:300]
    if isinstance(error, ProfileNotFound):
        mend = "Write it into ~/.aws/config of whoever runs the engine, or correct profile"
        return NoIdentity(f"{place}: {words.rstrip('.')}. {mend}.")
    if isinstance(error, NO_IDENTITY):
        return NoIdentity(
            f"{place}: {words.rstrip('.')}. Give access_key_id and secret_access_key, a profile, or a role."
        )
    unread = f"{place}: an answer cannot be read: {type(error).__name__}: {words}"
    return OutcomeUnknown(unread) if once else AnswerUnfit(unread)


def _said(error: ClientError, code: str) -> str:
    """AWS's words; of a web page, which is whole in them, its title."""
    said = " ".join(str(error.response.get("Error", {}).get("Message", "")).split())
    if not said.startswith("<"):
        return f"{code}: {said[:300]}"
    title = _TITLE.search(said)
    named = f' "{unescape(title[1]).strip()[:100]}"' if title and title[1].strip() else ""
    return f"with a web page{named}, as a proxy or a load balancer does"


def _status(error: ClientError) -> tuple[int, dict[str, Any]]:
    metadata = error.response.get("ResponseMetadata", {})
    return int(metadata.get("HTTPStatusCode", 0)), dict(metadata.get("HTTPHeaders", {}))
