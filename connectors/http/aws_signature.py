"""Requests to an AWS service signed with Signature Version 4, for profiles of AWS APIs that boto3 does not send."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote

import httpx

from connectors.sdk.aws.options import AwsIdentity
from connectors.sdk.contract import SecretResolver
from connectors.sdk.errors import AccessRefused
from connectors.sdk.transport.http import HttpAccount


class AwsAccount(HttpAccount):
    """An identity of AWS. It is read at first use, and again after a refusal."""

    can_renew = True

    def __init__(self, options: AwsIdentity, service: str, secrets: SecretResolver, source: str) -> None:
        super().__init__(secrets, None, None, None)
        self._options, self._service, self._source = options, service, source
        self._credentials: Any = None

    def _made(self) -> dict[str, str]:
        """No headers: `sign` adds those of each request."""
        try:
            from botocore.credentials import Credentials
            from botocore.exceptions import BotoCoreError
            from botocore.session import Session
        except ImportError:
            raise AccessRefused(f'{self._source}: the package boto3 is missing: install "headway[aws]"') from None
        options = self._options
        if options.access_key_id is not None:
            key, secret = (self._secrets(name).strip() for name in (options.access_key_id, options.secret_access_key))
            token = self._secrets(options.session_token).strip() if options.session_token is not None else None
            self._credentials = Credentials(key, secret, token)
            return {}
        try:
            self._credentials = Session(profile=options.profile).get_credentials()
        except BotoCoreError as error:
            raise AccessRefused(f"{self._source}: {str(error)[:300]}. Correct the AWS profile.") from None
        if self._credentials is None:
            fix = "Give access_key_id and secret_access_key, a profile, or a role"
            raise AccessRefused(f"{self._source}: no AWS identity. {fix}.")
        return {}

    def sign(self, request: httpx.Request) -> None:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError

        # AWS encodes the query strictly before it compares, httpx leaves some characters.
        query = parse_qsl(request.url.query.decode("ascii"), keep_blank_values=True)
        strict = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
        path = request.url.raw_path.partition(b"?")[0]
        request.url = request.url.copy_with(raw_path=path + (b"?" + strict.encode() if strict else b""))
        signed = AWSRequest(request.method, str(request.url), data=request.content)
        try:
            SigV4Auth(self._credentials.get_frozen_credentials(), self._service, self._options.region).add_auth(signed)
        except BotoCoreError as error:
            raise AccessRefused(f"{self._source}: no AWS identity: {str(error)[:300]}") from None
        for name, value in signed.headers.items():
            request.headers[name] = value
