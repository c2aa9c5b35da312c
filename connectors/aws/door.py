"""The door to AWS: boto3 for its models, keys and signatures, one deadline for a whole call, errors of the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader, create_loader
from botocore.parsers import ResponseParserError

from connectors.aws.errors import sorted_client_error, sorted_local_error
from connectors.aws.options import AwsOptions
from connectors.aws.values import Reply
from connectors.aws.wire import AwsWire
from connectors.contract import (
    AccessRefused,
    AnswerUnfit,
    Clock,
    ConnectorError,
    OutcomeUnknown,
    Secrets,
    SystemUnreachable,
)
from connectors.transport.http_wire import Deadline

MOST_PAGES = 100


class AwsDoor:
    """One region as one identity. Clients are made at the first call, and anew after a refusal. Not thread safe."""

    def __init__(
        self,
        title: str,
        options: AwsOptions,
        secrets: Secrets,
        transport: httpx.BaseTransport | None = None,
        addresses: Mapping[str, str | None] | None = None,
    ) -> None:
        """`title`: "Step Functions", for messages. `addresses`: of services that are not at `options.endpoint_url`."""
        self._options, self._secrets, self._addresses = options, secrets, addresses or {}
        self.place = f"{title} {options.endpoint_url or options.region}"
        self._wire = AwsWire(self.place, options.ca_file, transport)
        self._clients: dict[str, Any] = {}

    @property
    def deadline(self) -> Deadline:
        """Of all calls until it is set anew."""
        return self._wire.deadline

    @deadline.setter
    def deadline(self, deadline: Deadline) -> None:
        self._wire.deadline = deadline

    @property
    def clock(self) -> Clock | None:
        """The service's clock, by the last answer."""
        return self._wire.clock

    def begin(self, timeout_seconds: float) -> Deadline:
        """From now on all calls together have so long."""
        self.deadline = Deadline(timeout_seconds)
        return self.deadline

    def call(self, service: str, method: str, needed: str, once: bool = False, **parameters: Any) -> Reply:
        """The reply, which has at least the key `needed`: an empty one must not look like an empty list. `once`: it
        changes something; on a fresh connection, and what is lost after its first byte is OutcomeUnknown."""
        if self.deadline.left <= 0:
            raise SystemUnreachable(f"{self.place}: no answer within {self.deadline.seconds:g} s")
        try:
            call: Callable[..., Reply] = getattr(self._client(service), method)
            self._wire.once = once
            reply = call(**parameters)
        except ClientError as error:
            found = sorted_client_error(error, self.place, service, once)
            if isinstance(found, AccessRefused):
                self._clients.clear()  # keys may have been changed: they are read again next time
            raise found from None
        except (BotoCoreError, ResponseParserError) as error:
            raise sorted_local_error(error, self.place, once) from None
        except (ValueError, OverflowError, RecursionError, TypeError, KeyError, AttributeError) as error:
            words = f"{self.place}: the answer to {method} cannot be read: {type(error).__name__}: {str(error)[:200]}"
            raise (OutcomeUnknown if once else AnswerUnfit)(words) from None
        finally:
            self._wire.once = False
        if needed not in reply:
            words = f"{self.place}: the answer to {method} is without {needed}"
            raise (OutcomeUnknown if once else AnswerUnfit)(words)
        return reply

    def pages(self, operation: str, page: Callable[[str | None], Reply], rows: str, next_name: str) -> Iterator[Reply]:
        """All rows of a list, page by page. Raises SystemUnreachable when pages repeat."""
        token, seen = None, set()
        for _ in range(MOST_PAGES):
            reply = page(token)
            yield from reply[rows]
            token = reply.get(next_name)
            if not token:
                return
            if token in seen:
                break
            seen.add(token)
        raise AnswerUnfit(f"{self.place}: {operation} never ends: its pages repeat")

    def identity(self) -> str:
        """Who asks, in words, by sts:GetCallerIdentity, which needs no right."""
        try:
            return f"asks as {self.call('sts', 'get_caller_identity', 'Arn')['Arn']}"
        except ConnectorError as error:
            return f"who asks is not known: {error}"

    def close(self) -> None:
        """Closes connections."""
        self._wire.close()
        self._clients.clear()

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._made(service)
        return self._clients[service]

    def _made(self, service: str) -> Any:
        import boto3
        import botocore.session
        from botocore.config import Config

        options, keys = self._options, self._keys()
        config = Config(
            retries={"total_max_attempts": 1},
            inject_host_prefix=False,
            parameter_validation=True,
            user_agent_extra="headway",
        )
        bare = botocore.session.Session()
        bare.register_component("data_loader", _loader())
        session: Any = boto3.session.Session(
            botocore_session=bare, profile_name=options.profile, region_name=options.region
        )
        address = self._addresses.get(service, options.endpoint_url)
        client = session.client(service, endpoint_url=address, config=config, **keys)
        client.meta.events.register("before-send", self._wire.send)
        return client

    def _keys(self) -> dict[str, str]:
        found = {
            "aws_access_key_id": self._options.access_key_id,
            "aws_secret_access_key": self._options.secret_access_key,
            "aws_session_token": self._options.session_token,
        }
        return {name: self._secrets(reference) for name, reference in found.items() if reference is not None}


@cache
def _loader() -> Loader:
    """botocore's models of AWS, read once per process."""
    return create_loader()
